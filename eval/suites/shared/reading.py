"""Read the samples of a benchmark: label file, split, paths of images and videos, unique ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from eval.suites.shared.media_files import MediaIndex
from eval.suites.shared.name_matching import shorten_list, suggest_change
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.suite import MediaKind
from judge.errors import InputError

ReadLabels = Callable[[Path], Iterable[SuiteSample]]
"""Reads a label file. The samples have the benchmark's own name of the file in `image` (or `video`)."""


def read_samples(
    data: Path,
    split: str | None = None,
    *,
    read_labels: ReadLabels,
    label_files: Mapping[str, tuple[str, ...]],
    default_split: str,
    source: str,
    kind: MediaKind = "image",
    media: bool = True,
) -> Iterator[SuiteSample]:
    """Read the samples of a folder: the label file of the split, then the media it names.

    Args:
        data: the benchmark's folder, or a label file in it.
        split: one of the names in `label_files`.
        read_labels: reads a label file.
        label_files: split -> names that its label file may have.
        default_split: split that is read when `split` is None.
        source: where the data set is officially obtained.
        kind: kind of the media.
        media: False does not look for the media.

    Raises:
        InputError: the split is unknown, the label file or media are missing, or an id occurs twice.
    """
    chosen = check_split(split, tuple(label_files), default_split)
    file = find_label_file(data, label_files[chosen], source, label_files)

    def samples() -> Iterator[SuiteSample]:
        # A label file that names the split of each row may hold several splits.
        return (s for s in check_unique_ids(read_labels(file), file) if s.split in ("", chosen))

    yield from resolve_media(samples, data, source, kind=kind, media=media)


def check_split(split: str | None, names: tuple[str, ...], default: str) -> str:
    """Return the requested split, or the default one when `split` is None.

    Raises:
        InputError: the benchmark has no such split.
    """
    if split is None:
        return default
    if split not in names:
        raise InputError("split", split, ", ".join(names), "choose one of these")
    return split


def find_label_file(
    data: Path, names: Sequence[str], source: str, splits: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """Return the label file: `data` itself when it is a file, else the first of `names` below the folder.

    Args:
        data: a label file, or a folder that is searched two levels deep.
        names: file names, in order of preference.
        source: where the data set is officially obtained.
        splits: split -> names that its label file may have, to say which splits are there.

    Raises:
        InputError: none of the files exists.
    """
    if data.is_file():
        return data
    if not data.exists():
        raise InputError("data", str(data), "a folder or label file that exists", f"get the set at {source}")
    found = _search_file(data, names)
    if found is not None:
        return found
    others = [name for name, files in (splits or {}).items() if _search_file(data, files) is not None]
    mend = f"give --split {others[0]}, whose labels are there ({shorten_list(others)})" if others else ""
    raise InputError(
        "data",
        str(data),
        f"a folder with the set's labels; 1 file is missing: {' or '.join(names)}",
        f"{mend}, or get the set at {source}" if mend else f"get the set at {source}",
    )


def _search_file(data: Path, names: Sequence[str]) -> Path | None:
    """Return the first file of these names in a folder, or one or two levels below it."""
    for name in names:
        for path in (data / name, *sorted(data.glob(f"*/{name}")), *sorted(data.glob(f"*/*/{name}"))):
            if path.is_file():
                return path
    return None


def resolve_media(
    read: Callable[[], Iterable[SuiteSample]],
    data: Path,
    source: str,
    *,
    kind: MediaKind = "image",
    media: bool = True,
) -> Iterator[SuiteSample]:
    """Replace the names of images or videos by their paths.

    Args:
        read: yields the samples, with the benchmark's own name of the file in `image` or `video`. It is
            called twice, so that the samples need not be held in memory.
        data: the benchmark's folder (or label file).
        source: where the data set is officially obtained.
        kind: which field holds the name.
        media: False leaves the names as they are and looks for no file.

    Raises:
        InputError: files are missing. It is raised before the first sample.
    """
    if not media:
        yield from read()
        return
    index = MediaIndex(data)
    names = [str(getattr(sample, kind)) for sample in read()]
    paths = {name: index.find(name) for name in dict.fromkeys(names)}
    absent = [name for name, path in paths.items() if path is None]
    if absent:
        found = index.list_media(kind)
        raise build_missing_files_error(f"{kind}s", absent, len(paths), data, source, found)
    for sample in read():
        path = paths[str(getattr(sample, kind))]
        yield sample.model_copy(update={kind: str(path) if kind == "image" else path})


def check_unique_ids(samples: Iterable[SuiteSample], path: Path) -> Iterator[SuiteSample]:
    """Yield the samples unchanged.

    Raises:
        InputError: an id occurs twice; `path` is named as the file.
    """
    ids: set[str] = set()
    for sample in samples:
        if sample.id in ids:
            raise InputError(str(path), sample.id, "each name once", "remove the duplicate row")
        ids.add(sample.id)
        yield sample


def build_missing_files_error(
    what: str, absent: Sequence[object], total: int, data: Path, source: str, found: Sequence[str] = ()
) -> InputError:
    """Return the error for missing files: which, how many of how many, and where to get them.

    Args:
        what: what the files are.
        absent: names of the missing files.
        total: number of files that the set has.
        data: the folder.
        source: where the data set is officially obtained.
        found: files that are in the folder; some are listed, with what they are called for in the labels.
    """
    expected = f"a folder with all {what} of the set; {len(absent)} of {total} are missing: "
    expected += shorten_list(absent)
    if found:
        expected += f"; the folder has {shorten_list(found)}"
    names = [str(name) for name in absent]
    mend = suggest_change(names, found, found)
    if mend:
        expected += f"; change the labels, or the files the other way round: {mend}"
    return InputError("data", str(data), expected, f"get the set at {source}")
