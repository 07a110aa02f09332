"""Competitors of a ranking, read from a folder or from a file of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from judge.errors import InputError
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.pipeline import rows
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


def load_competitors(data: Path, prompt: str = "") -> list[Competitor]:
    """Read what is to be ranked.

    Args:
        data: one of three. A folder of images: each image is a competitor. A folder of folders: each inner
            folder is a competitor, whose images meet those of the same name in the others. A file of rows
            (JSON, CSV, TSV): each row is a competitor. A folder may hold its rows (`rows.jsonl`, .json, .csv
            or .tsv, `labels.csv`, `metadata.jsonl`); `NAME.txt` holds the prompt of the image of that name.
        prompt: prompt of every image that has none of its own.

    Raises:
        InputError: there are fewer than two competitors, a row is not a sample, or the folders have no image
            name in common.
    """
    if not data.exists():
        raise InputError("data", str(data), "a folder, or a file of rows", "check the path")
    is_flat = data.is_file() or _find_row_file(data) is not None
    folders = [] if is_flat else sorted(path for path in data.iterdir() if path.is_dir())
    if sets := [
        Competitor(path.name, samples) for path in folders if (samples := _read_samples(path, prompt))
    ]:
        keys = [key for competitor in sets for key in competitor.samples]
        if len(sets) > 1 and len(set(keys)) == len(keys):
            mend = "give images of one prompt the same name in every folder"
            raise InputError("data", str(data), "folders that share image names", mend)
        return _check_count(sets, data)
    images = _read_samples(data, prompt)
    return _check_count([Competitor(name, {SINGLE_IMAGE: sample}) for name, sample in images.items()], data)


def _check_count(competitors: list[Competitor], data: Path) -> list[Competitor]:
    """Return the competitors. Raises `InputError` for fewer than two."""
    if len(competitors) < 2:
        allowed = "at least two images, or two folders of images"
        raise InputError("data", str(data), allowed, f"there is {len(competitors)}: name another folder")
    return competitors


def _find_row_file(folder: Path) -> Path | None:
    """Return the file of rows in a folder, or None."""
    return next((folder / name for name in ROW_FILES if (folder / name).is_file()), None)


def _read_samples(data: Path, prompt: str) -> dict[str, Sample]:
    """Read the samples of one folder or one file of rows, by image name or row id."""
    row_file = data if data.is_file() else _find_row_file(data)
    if row_file is not None:
        return _read_rows(row_file, prompt)
    samples = {}
    for path in sorted(data.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            prompt_file = path.with_suffix(".txt")
            own = prompt_file.read_text("utf-8", "replace").strip() if prompt_file.is_file() else ""
            samples[path.stem] = Sample(id=path.stem, image=path, prompt=own or prompt)
    return samples


def _read_rows(file: Path, prompt: str) -> dict[str, Sample]:
    """Read the samples of a file of rows, by id or, without one, by image path."""
    samples: dict[str, Sample] = {}
    for number, row in enumerate(rows.read_rows(file), 1):
        if isinstance(row, rows.BadRow):
            raise InputError("data", f"{file.name}, row {number}", "rows that are samples", row.reason)
        name = row.id or str(row.image)
        if name in samples:
            raise InputError("data", name, "ids that differ", f"{file.name} has it twice")
        samples[name] = row if row.prompt else row.model_copy(update={"prompt": prompt})
    return samples
