"""Find the images and videos that a label file names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from judge.errors import InputError
from judge.media.decoding import VIDEO_SUFFIXES as VIDEO_FILE_SUFFIXES
from judge.media.file_names import is_hidden
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.media.sources import file_url_to_path

VIDEO_SUFFIXES = (*VIDEO_FILE_SUFFIXES, ".yuv")
MEDIA_FOLDERS = ("", "images", "Images", "image", "videos", "img")
"""Folders below the root in which a path is tried before the whole tree is searched."""
LABEL_FOLDERS = ("Scores", "Test split/Device Split", "Test split/Scene Split", "DATA/MOS", "annotations")
"""Folders of published sets that hold label files, below the set's own: PIQ23, AIGCIQA2023, SDG-30K."""


class MediaIndex:
    """Find images and videos below a folder by the name that a label file gives them.

    A name is tried as a path below the folder, then below its folders `images`, `videos` and the like. Then
    it is searched anywhere below the folder: the file whose path agrees with the most trailing parts of the
    name is taken. A name without suffix (`.png`) is also found with one. Nothing is found when two files
    agree equally well.

    Where nothing is found there, and the folder is one of the `LABEL_FOLDERS` of published sets, the set's
    own folder is searched. Where a label file is given, so are the folders beside its own that are called
    `images`, `videos` and the like, and a name with a folder in it is tried below the three folders above.

    Args:
        root: the folder, or a label file in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._roots = [self.root, *_list_roots(self.root, is_file=not root.is_dir())]
        self._above = [] if root.is_dir() else list(self.root.resolve().parents)[:3]
        self._indices: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path | None:
        """Return the path of the file, or None. Names that leave the folder (`..`) are not found."""
        name = file_url_to_path(name, "data").replace("\\", "/").lstrip("/")
        if name.startswith("./"):
            name = name[2:]
        if not name or ".." in name.split("/"):
            return None
        for root in self._roots:
            for folder in MEDIA_FOLDERS:
                path = root / folder / name
                if path.is_file():
                    return path
            found = self._search(root, name)
            if found is not None:
                return found
        above = (folder / name for folder in self._above) if "/" in name else iter(())
        return next((path for path in above if path.is_file()), None)

    def list_media(self, kind: str = "image") -> list[str]:
        """Return the paths below the folder of all images or videos there."""
        suffixes = VIDEO_SUFFIXES if kind == "video" else IMAGE_SUFFIXES
        paths = {path for found in self._index(self.root).values() for path in found}
        return sorted(path for path in paths if path.lower().endswith(suffixes))

    def _search(self, root: Path, name: str) -> Path | None:
        parts = name.split("/")
        suffixes = IMAGE_SUFFIXES + VIDEO_SUFFIXES
        candidates = [p for p in self._index(root).get(parts[-1], []) if p.lower().endswith(suffixes)]
        scored = [(_common_tail(parts[:-1], path.split("/")[:-1]), path) for path in candidates]
        best = max((length for length, _ in scored), default=0)
        winners = [path for length, path in scored if length == best]
        return root / winners[0] if len(winners) == 1 else None

    def _index(self, root: Path) -> dict[str, list[str]]:
        """Map file names, with and without suffix, to paths below a root."""
        if root not in self._indices:
            index: dict[str, list[str]] = {}
            for folder, files in _walk(root):
                for file in files:
                    path = f"{folder}/{file}" if folder else file
                    for key in {file, file.rpartition(".")[0]} - {""}:
                        index.setdefault(key, []).append(path)
            self._indices[root] = index
        return self._indices[root]


def _list_roots(folder: Path, *, is_file: bool) -> list[Path]:
    """Return further folders in which the media of a folder of labels, or a label file in it, may be."""
    folder = folder.resolve()
    beside = [folder.parent / name for name in MEDIA_FOLDERS if name] if is_file else []
    roots = [path for path in beside if path.is_dir()]
    for names in LABEL_FOLDERS:
        parts = tuple(names.split("/"))
        if folder.parts[-len(parts) :] == parts:
            roots.append(folder.parents[len(parts) - 1])
    return roots


def list_images(root: Path) -> list[Path]:
    """Return all still images below a folder, in order of their paths. Hidden files are left out."""
    return _list_files(root, IMAGE_SUFFIXES)


def list_videos(root: Path) -> list[Path]:
    """Return all videos below a folder, in order of their paths. Hidden files are left out."""
    return _list_files(root, VIDEO_SUFFIXES)


def _list_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [
        root / folder / file
        for folder, files in _walk(root)
        for file in files
        if file.lower().endswith(suffixes)
    ]


def read_image_shape(path: Path) -> tuple[int, int]:
    """Return height and width of an image as stored. The EXIF orientation is ignored.

    Raises:
        InputError: the file is not an image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError("image", str(path), "an image", "get the file again") from None


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below `root` (relative, empty for the root itself) with its sorted file names.

    Hidden files and folders, such as `.ipynb_checkpoints`, `__MACOSX` and `._1.png`, are left out.
    """
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        yield "" if relative == "." else relative, sorted(file for file in files if not is_hidden(file))


def _common_tail(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the equal items at the end of two sequences."""
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count
