"""Competitors of a ranking, read from a folder or from a file of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from judge.errors import InputError
from judge.media.file_names import TEXT_SUFFIX, is_hidden, media_kind, name_suffix, repeated_names
from judge.pipeline import rows
from judge.tables.text import decode_text
from judge.types import Sample

ROW_FILES = ("rows.jsonl", "rows.csv", "rows.tsv", "rows.json", "labels.csv", "metadata.jsonl")
"""Names under which a folder may hold the rows of its images."""
SINGLE_IMAGE = ""
"""Key of the image of a competitor that is one image."""


@dataclass(frozen=True)
class Competitor:
    """A competitor: one image, or one generator's images by key."""

    name: str
    samples: Mapping[str, Sample]
    """Key -> sample. The key is the image's name or the row's id; two competitors meet over equal keys."""


def load_competitors(data: Path, prompt: str = "", unused: Counter[str] | None = None) -> list[Competitor]:
    """Read what is to be ranked.

    Args:
        data: one of three. A folder of images or videos: each is a competitor. A folder of folders: each
            inner folder is a competitor, whose images meet those of the same name in the others. A file of
            rows (JSON, CSV, TSV): each row is a competitor. A folder may hold its rows (`rows.jsonl`, .json,
            .csv or .tsv, `labels.csv`, `metadata.jsonl`); `NAME.txt` holds the prompt of the image of that
            name. Hidden files and folders are left out. The name of an image has a suffix only where two
            images of a folder have the same name otherwise.
        prompt: prompt of every image that has none of its own.
        unused: counts what is not used, by what it is.

    Raises:
        InputError: there are fewer than two competitors, a row is not a sample, or the folders have no image
            name in common.
    """
    if not data.exists():
        raise InputError("data", str(data), "a folder, or a file of rows", "check the path")
    unused = Counter() if unused is None else unused
    row_file = data if data.is_file() else _find_row_file(data)
    if row_file is not None:
        return _check_count(_alone(_read_rows(row_file, prompt, unused)), data)
    own = _list_folder(data, unused)
    folders = {path: _list_folder(path, unused) for path in own if path.is_dir()}
    full_names = {name for paths in folders.values() for name in _repeated_stems(paths)}
    own_count, counts_of_folders = sum(bool(media_kind(path.name)) for path in own), Counter[str]()
    sets = [
        Competitor(path.name, samples)
        for path, paths in folders.items()
        if (samples := _read_samples(path, paths, prompt, full_names, counts_of_folders))
    ]
    # One folder has no opponent: beside several images it is not what is to be ranked.
    if len(sets) > 1 or (sets and own_count < 2):
        unused.update(counts_of_folders)
        unused["images beside the folders"] += own_count
        unused["folders without images"] += len(folders) - len(sets)
        keys = [key for competitor in sets for key in competitor.samples]
        if len(sets) > 1 and len(set(keys)) == len(keys):
            mend = "give images of one prompt the same name in every folder"
            raise InputError("data", str(data), "folders that share image names", mend)
        if len(sets) > 1:
            unused["images without a counterpart in another folder"] += len(keys) - sum(
                count for count in Counter(keys).values() if count > 1
            )
        return _check_count(sets, data)
    return _check_count(_alone(_read_samples(data, own, prompt, _repeated_stems(own), unused)), data)


def _alone(samples: Mapping[str, Sample]) -> list[Competitor]:
    """Return a competitor for each sample."""
    return [Competitor(name, {SINGLE_IMAGE: sample}) for name, sample in samples.items()]


def _list_folder(folder: Path, unused: Counter[str]) -> list[Path]:
    """Return what a folder holds, in order, without hidden files and folders, which are counted."""
    paths = sorted(folder.iterdir())
    shown = [path for path in paths if not is_hidden(path.name)]
    unused["hidden files and folders"] += len(paths) - len(shown)
    return shown


def _repeated_stems(paths: Iterable[Path]) -> set[str]:
    """Return the names without suffix that several images or videos of a folder have."""
    return repeated_names(path.stem for path in paths if media_kind(path.name))


def _check_count(competitors: list[Competitor], data: Path) -> list[Competitor]:
    """Return the competitors. Raises `InputError` for fewer than two."""
    if len(competitors) < 2:
        allowed = "at least two images, or two folders of images"
        raise InputError("data", str(data), allowed, f"there is {len(competitors)}: name another folder")
    return competitors


def _find_row_file(folder: Path) -> Path | None:
    """Return the file of rows in a folder, or None."""
    return next((folder / name for name in ROW_FILES if (folder / name).is_file()), None)


def _read_samples(
    folder: Path, paths: Sequence[Path], prompt: str, full_names: Set[str], unused: Counter[str]
) -> dict[str, Sample]:
    """Read the samples of one folder by their names.

    Args:
        folder: the folder.
        paths: what it holds.
        prompt: prompt of images without one.
        full_names: names without suffix of the images that are called by their full names.
        unused: counts what is not used.
    """
    row_file = _find_row_file(folder)
    if row_file is not None:
        return _read_rows(row_file, prompt, unused)
    samples, prompt_files = dict[str, Sample](), set[Path]()
    for path in paths:
        kind = media_kind(path.name)
        if not kind or not path.is_file():
            continue
        prompt_file = path.with_suffix(TEXT_SUFFIX)
        own = ""
        if prompt_file.is_file():
            prompt_files.add(prompt_file)
            own = decode_text(prompt_file.read_bytes(), str(prompt_file), "prompt").strip()
        name = path.name if path.stem in full_names else path.stem
        samples[name] = Sample(id=name, prompt=own or prompt, **{kind: path})
    if samples:
        others = [path for path in paths if not media_kind(path.name) and path not in prompt_files]
        unused.update(
            "folders in a folder of images" if path.is_dir() else f"{name_suffix(path.name) or 'other'} files"
            for path in others
        )
    return samples


def _read_rows(file: Path, prompt: str, unused: Counter[str]) -> dict[str, Sample]:
    """Read the samples of a file of rows, by id or, without one, by the path of the image or video."""
    samples: dict[str, Sample] = {}
    row_file = rows.read_row_file(file)
    unused.update({f"values of {name}": count for name, count in row_file.unused.items()})
    for number, row in enumerate(row_file.rows, 1):
        if isinstance(row, rows.BadRow):
            raise InputError("data", f"{file.name}, row {number}", "rows that are samples", row.reason)
        name = row.id or str(row.image if row.video is None else row.video)
        if name in samples:
            raise InputError("data", name, "ids that differ", f"{file.name} has it twice")
        samples[name] = row if row.prompt else row.model_copy(update={"prompt": prompt})
    return samples
