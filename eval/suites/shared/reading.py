"""Read the samples of a benchmark: label file, split, paths of images and videos, unique ids."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from eval.suites.shared.media_files import MediaIndex
from eval.suites.shared.name_matching import shorten_list, suggest_change
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.suite import MediaKind
from judge.errors import InputError
from judge.media.sources import is_data_url, is_web_address

ReadLabels = Callable[[Path], Iterable[SuiteSample]]
"""Reads a label file. The samples have the benchmark's own name of the file in `image` (or `video`)."""
_keeps_missing = ContextVar("keeps_missing", default=False)


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
    sources = (getattr(sample, kind) for sample in read())
    names = [str(source) for source in sources if _is_file_name(source)]
    paths = {name: index.find(name) for name in dict.fromkeys(names)}
    absent = [name for name, path in paths.items() if path is None]
    if absent:
        _check_not_remote(absent, len(paths), kind)
    if absent and not _keeps_missing.get():
        found = index.list_media(kind)
        raise build_missing_files_error(f"{kind}s", absent, len(paths), data, source, found)
    for sample in read():
        if _is_file_name(getattr(sample, kind)):
            name = str(getattr(sample, kind))
            path = paths[name] or (data.parent if data.is_file() else data) / name
            yield sample.model_copy(update={kind: str(path) if kind == "image" else path})
        else:
            yield sample


@contextmanager
def keep_missing_media() -> Iterator[None]:
    """Let suites yield samples whose image or video is missing, with the path where it should be.

    A benchmark is measured on all of its samples or not at all. A training can do without some.
    """
    token = _keeps_missing.set(True)
    try:
        yield
    finally:
        _keeps_missing.reset(token)


def _is_file_name(source: object) -> bool:
    """Return whether a source is the name of a file, and not encoded bytes or a `data:` URL."""
    return isinstance(source, str | os.PathLike) and not is_data_url(source)


def _check_not_remote(absent: Sequence[str], total: int, kind: MediaKind) -> None:
    """Raise `InputError` if some of the missing files are web addresses."""
    # A path has lost one slash of an address.
    addresses = [re.sub(r"^([\w+.-]+):/(?!/)", r"\1://", name) for name in absent]
    remote = [address for address in addresses if is_web_address(address)]
    if remote:
        mend = f"{len(remote)} of {total} are web addresses: download them, nothing is fetched while judging"
        raise InputError(f"data: {kind}", remote[0], "files on this machine", mend)


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
