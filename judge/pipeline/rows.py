"""Rows to judge, read from a JSONL or CSV file. A bad row is an item of the list, never the end of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from judge.errors import InputError
from judge.types import Sample

JSON_LINES = (".jsonl", ".ndjson", ".json")
FIELDS = ("id", "image", "video", "prompt", "elements", "reference")


@dataclass(frozen=True)
class BadRow:
    """A row that is no sample."""

    id: str
    reason: str


def read(path: Path) -> list[Sample | BadRow]:
    """Read the rows of a file, in order; blank lines are no rows.

    A row has `image` or `video` (a path relative to the file, an absolute path or a `data:` URL), `prompt`,
    and optionally `id`, `reference` (a picture as `image`) and `elements`: in JSONL a list, in CSV a JSON
    list or texts separated by ";". Other keys, such as `labels`, are ignored.

    Raises:
        InputError: the file cannot be read, or is neither JSONL nor CSV.
    """
    suffix = path.suffix.lower()
    if suffix not in (*JSON_LINES, ".csv"):
        raise InputError("rows", str(path), f"{', '.join(JSON_LINES)} and .csv files", "name the file so")
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            raw = list(csv.DictReader(file)) if suffix == ".csv" else _json_lines(file.read())
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            "rows", str(path), "a readable JSONL or CSV file", f"{reason}: check the path"
        ) from None
    return [sample(row, number, path) for number, row in enumerate(raw, 1)]


def _json_lines(text: str) -> list[Any]:
    return list(parsed(text.split("\n")))


def parsed(lines: Iterable[str]) -> Iterator[Any]:
    """Lines of JSON as values; one that is none becomes a `BadRow`, a blank one nothing."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadRow("", f"row: line {number} is not JSON ({_brief(error)})")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def sample(row: Any, number: int, path: PurePath) -> Sample | BadRow:
    """A row, the `number`-th of the file at `path`, as a sample. A `BadRow` stays one."""
    if isinstance(row, BadRow):
        return row
    if not isinstance(row, Mapping):
        return BadRow("", f"row: row {number} is not an object with the keys {', '.join(FIELDS)}")
    name = row.get("id")
    known = isinstance(name, str | int) and not isinstance(name, bool)
    shown = str(name) if known else ""
    try:
        if name is not None and not known:
            raise InputError("id", name, "text or a whole number", "give each row a name")
        moving = row.get("video") not in (None, "")
        return Sample(
            id=shown,
            image=None if moving else _image(row.get("image"), path.parent),
            video=_image(row["video"], path.parent) if moving else None,
            prompt=_text("prompt", row.get("prompt") or ""),
            elements=_elements(row.get("elements")),
            reference=_image(row["reference"], path.parent, "reference") if row.get("reference") else None,
        )
    except InputError as error:
        return BadRow(shown, str(error))


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(field, value, "text", "put it between quotes")
    return value


def _image(value: object, folder: PurePath, field: str = "image") -> str | PurePath:
    if value is None or value == "":
        raise InputError(field, value, "a path or a data: URL", "give the row a picture, or a video")
    text = _text(field, value)
    return text if text[:5].lower() == "data:" else folder / text


def _elements(value: object) -> list[str] | None:
    """None where the row says nothing, so that they are taken from the prompt."""
    if value is None or value == "":
        return None
    if isinstance(value, str):  # a CSV cell
        try:
            value = (
                json.loads(value) if value.lstrip().startswith("[") else [v.strip() for v in value.split(";")]
            )
        except (ValueError, RecursionError):
            raise InputError("elements", value, 'a JSON list, or "a; b; c"', "mend the cell") from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError("elements", value, "a list of texts", "give each element as text")
    return value
