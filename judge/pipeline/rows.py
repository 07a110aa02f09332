"""Read samples from JSONL and CSV files.

A row that is not a valid sample becomes a `BadRow` in the list; it does not stop the reading.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from judge.errors import InputError
from judge.types import Sample

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")
ROW_KEYS = ("id", "image", "video", "prompt", "negative_prompt", "elements", "reference")


@dataclass(frozen=True)
class BadRow:
    """A row that is not a valid sample."""

    id: str
    reason: str


def read_rows(path: Path) -> list[Sample | BadRow]:
    """Read the rows of a file in order; blank lines are skipped.

    A row has `image` or `video` (a path relative to the file, an absolute path or a `data:` URL), `prompt`,
    and optionally `id`, `negative_prompt`, `reference` (an image in the same forms as `image`) and
    `elements`: in JSONL a list, in CSV a JSON list or texts separated by ";". Other keys, such as
    `labels`, are ignored.

    Args:
        path: a `.jsonl`, `.ndjson`, `.json` or `.csv` file.

    Raises:
        InputError: the file cannot be read, or is neither JSONL nor CSV.
    """
    suffix = path.suffix.lower()
    if suffix not in (*JSON_LINES_SUFFIXES, ".csv"):
        allowed = f"{', '.join(JSON_LINES_SUFFIXES)} and .csv files"
        raise InputError("rows", str(path), allowed, "rename the file")
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if suffix == ".csv":
                rows = list(csv.DictReader(file))
            else:
                rows = list(parse_json_lines(file.read().split("\n")))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            "rows", str(path), "a readable JSONL or CSV file", f"{reason}: check the path"
        ) from None
    return [parse_row(row, number, path) for number, row in enumerate(rows, 1)]


def parse_json_lines(lines: Iterable[str]) -> Iterator[Any]:
    """Yield the value of each line; a line that is not JSON gives a `BadRow`, blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadRow("", f"row: line {number} is not JSON ({_short_message(error)})")


def _short_message(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def parse_row(row: Any, number: int, path: PurePath) -> Sample | BadRow:
    """Convert a row to a sample.

    Args:
        row: a mapping; a `BadRow` is returned unchanged.
        number: number of the row in its file, from 1.
        path: the file; paths in the row are relative to its folder.
    """
    if isinstance(row, BadRow):
        return row
    if not isinstance(row, Mapping):
        return BadRow("", f"row: row {number} is not an object with the keys {', '.join(ROW_KEYS)}")
    row_id = row.get("id")
    is_valid_id = isinstance(row_id, str | int) and not isinstance(row_id, bool)
    id_text = str(row_id) if is_valid_id else ""
    try:
        if row_id is not None and not is_valid_id:
            raise InputError("id", row_id, "text or a whole number", "give each row a name")
        is_video = row.get("video") not in (None, "")
        has_reference = bool(row.get("reference"))
        return Sample(
            id=id_text,
            image=None if is_video else _parse_source(row.get("image"), path.parent),
            video=_parse_source(row["video"], path.parent) if is_video else None,
            prompt=_check_text("prompt", row.get("prompt") or ""),
            negative_prompt=_check_text("negative_prompt", row.get("negative_prompt") or ""),
            elements=_parse_elements(row.get("elements")),
            reference=_parse_source(row["reference"], path.parent, "reference") if has_reference else None,
        )
    except InputError as error:
        return BadRow(id_text, str(error))


def _check_text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(field, value, "text", "put it between quotes")
    return value


def _parse_source(value: object, folder: PurePath, field: str = "image") -> str | PurePath:
    """Return a `data:` URL unchanged, another text as a path relative to the folder."""
    if value is None or value == "":
        raise InputError(field, value, "a path or a data: URL", "give the row an image or a video")
    text = _check_text(field, value)
    return text if text[:5].lower() == "data:" else folder / text


def _parse_elements(value: object) -> list[str] | None:
    """Return the elements of a row; None if it has none, so that they are taken from the prompt."""
    if value is None or value == "":
        return None
    if isinstance(value, str):  # a CSV cell
        is_json = value.lstrip().startswith("[")
        try:
            value = json.loads(value) if is_json else [part.strip() for part in value.split(";")]
        except (ValueError, RecursionError):
            raise InputError("elements", value, 'a JSON list, or "a; b; c"', "correct the cell") from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError("elements", value, "a list of texts", "give each element as text")
    return value
