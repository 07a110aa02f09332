"""Find the images and videos that a label file names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from judge.errors import InputError
from judge.media.decoding import VIDEO_SUFFIXES as VIDEO_FILE_SUFFIXES
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.media.sources import file_url_to_path

VIDEO_SUFFIXES = (*VIDEO_FILE_SUFFIXES, ".yuv")
MEDIA_FOLDERS = ("", "images", "Images", "image", "videos", "img")
"""Folders below the root in which a path is tried before the whole tree is searched."""


class MediaIndex:
    """Find images and videos below a folder by the name that a label file gives them.

    A name is tried as a path below the folder, then below its folders `images`, `videos` and the like. Then
    it is searched anywhere below the folder: the file whose path agrees with the most trailing parts of the
    name is taken. A name without suffix (`.png`) is also found with one. Nothing is found when two files
    agree equally well.

    Args:
        root: the folder, or a file in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._paths_by_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> Path | None:
        """Return the path of the file, or None. Names that leave the folder (`..`) are not found."""
        name = file_url_to_path(name, "data").replace("\\", "/").lstrip("/")
        if name.startswith("./"):
            name = name[2:]
        if not name or ".." in name.split("/"):
            return None
        for folder in MEDIA_FOLDERS:
            path = self.root / folder / name
            if path.is_file():
                return path
        return self._search(name)

    def _search(self, name: str) -> Path | None:
        if self._paths_by_name is None:
            self._paths_by_name = self._build_index()
        parts = name.split("/")
        suffixes = IMAGE_SUFFIXES + VIDEO_SUFFIXES
        candidates = [p for p in self._paths_by_name.get(parts[-1], []) if p.lower().endswith(suffixes)]
        scored = [(_common_tail(parts[:-1], path.split("/")[:-1]), path) for path in candidates]
        best = max((length for length, _ in scored), default=0)
        winners = [path for length, path in scored if length == best]
        return self.root / winners[0] if len(winners) == 1 else None

    def _build_index(self) -> dict[str, list[str]]:
        """Map file names, with and without suffix, to paths below the root."""
        index: dict[str, list[str]] = {}
        for folder, files in _walk(self.root):
            for file in files:
                path = f"{folder}/{file}" if folder else file
                for key in {file, file.rpartition(".")[0]} - {""}:
                    index.setdefault(key, []).append(path)
        return index


def list_images(root: Path) -> list[Path]:
    """Return all still images below a folder, in order of their paths. Hidden files are left out."""
    return [
        root / folder / file
        for folder, files in _walk(root)
        for file in files
        if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith(".")
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
    """Yield each folder below `root` (relative, empty for the root itself) with its sorted file names."""
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        yield "" if relative == "." else relative, sorted(files)


def _common_tail(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the equal items at the end of two sequences."""
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count
