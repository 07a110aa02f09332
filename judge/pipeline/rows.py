"""Read samples from files of rows: JSON Lines, JSON lists, and tables of separated values.

A row that is not a valid sample becomes a `BadRow` in the list; it does not stop the reading. A file that
cannot be read as it was meant is one error before anything is judged; see `judge.tables`.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from judge.errors import InputError
from judge.media.sources import file_url_to_path, is_web_address
from judge.pipeline.validation import get_row_id
from judge.tables.json_rows import JSON_SUFFIXES, count_json_rows, read_json_rows
from judge.tables.separated import TABLE_SUFFIXES, SeparatedTable
from judge.tables.text import OpenFile
from judge.types import ALLOWED_IDS, Sample

ROW_KEYS = ("id", "image", "video", "prompt", "negative_prompt", "elements", "reference")
TEXT_ROW_SUFFIXES = (*JSON_SUFFIXES, *TABLE_SUFFIXES)
"""Suffixes of files of rows that are text."""
_LISTED_KEYS = 8


@dataclass(frozen=True)
class BadRow:
    """A row that is not a valid sample."""

    id: str
    reason: str


@dataclass(frozen=True)
class RowFile:
    """The rows of a file."""

    rows: list[Sample | BadRow]
    """In order; blank lines are skipped."""
    unused: dict[str, int] = field(default_factory=dict)
    """Columns or keys that were not used -> number of rows that have a value for them."""


def read_rows(path: Path) -> list[Sample | BadRow]:
    """Read the rows of a file in order; blank lines are skipped. See `read_row_file`."""
    return read_row_file(path).rows


def read_row_file(path: Path) -> RowFile:
    """Read the rows of a file, and count what is not used of them.

    A row has `image` or `video` (a path relative to the file, an absolute path, a `file://` or a `data:`
    URL), `prompt`, and optionally `id`, `negative_prompt`, `reference` (an image in the same forms as
    `image`) and `elements`: a JSON list, or texts separated by ";". Other keys, such as `labels`, are not
    used.

    Args:
        path: a `.jsonl`, `.ndjson` or `.json` file, or a table: `.csv`, `.tsv`, `.tab` or `.psv`.

    Raises:
        InputError: the file cannot be read, or is neither.
    """
    if not path.name.lower().endswith(TEXT_ROW_SUFFIXES):
        mend = "save the rows in one of these formats"
        raise InputError("rows", str(path), f"{', '.join(TEXT_ROW_SUFFIXES)} files", mend)
    unused = Counter[str]()
    try:
        data = path.read_bytes()
    except OSError as error:
        mend = f"{error.strerror or error}: check the path"
        raise InputError("rows", str(path), "a readable JSONL or CSV file", mend) from None
    rows = list(read_text_rows(lambda: io.BytesIO(data), path, unused))
    return RowFile(rows, dict(unused))


def read_text_rows(
    open_file: OpenFile, path: PurePath, unused: Counter[str] | None = None
) -> Iterator[Sample | BadRow]:
    """Yield the rows of an open file of JSON rows, or of a table; its suffix says which it is.

    Args:
        open_file: opens the file; it may be called several times.
        path: of the file; paths in the rows are relative to its folder.
        unused: counts, for each key that is not used, the rows that have a value for it.

    Raises:
        InputError: the file cannot be read as it was meant.
    """
    rows = _table_rows(open_file, path) if _is_table(path) else _json_rows(open_file, path)
    for number, (row, reason, id) in enumerate(rows, 1):
        if reason:
            yield BadRow(id, f"row: {reason}")
            continue
        if unused is not None and isinstance(row, Mapping):
            unused.update(key for key, value in row.items() if _is_unused(key) and value not in (None, ""))
        yield parse_row(row, number, path)


def check_text_rows(open_file: OpenFile, path: PurePath) -> None:
    """Check that a file of JSON rows, or a table, can be read as it was meant. Tables are read to the end.

    Args:
        open_file: opens the file.
        path: of the file.

    Raises:
        InputError: for example an unclosed quote, another encoding, no known column.
    """
    if _is_table(path):
        for _ in _table_rows(open_file, path):
            pass
    else:
        next(_json_rows(open_file, path), None)


def count_text_rows(open_file: OpenFile, path: PurePath) -> int:
    """Count the rows of a file of JSON rows, or of a table.

    Args:
        open_file: opens the file.
        path: of the file.

    Raises:
        InputError: as `read_text_rows`.
    """
    if _is_table(path):
        return sum(1 for _ in _table_rows(open_file, path))
    return count_json_rows(open_file, path.name)


def _is_table(path: PurePath) -> bool:
    return path.name.lower().endswith(TABLE_SUFFIXES)


def _json_rows(open_file: OpenFile, path: PurePath) -> Iterator[tuple[Any, str, str]]:
    """Yield value, problem and id of each row of JSON."""
    return ((row.value, row.problem, "") for row in read_json_rows(open_file, path.name))


def _table_rows(open_file: OpenFile, path: PurePath) -> Iterator[tuple[Any, str, str]]:
    """Yield value, problem and id of each row of a table."""
    table = SeparatedTable(open_file, path.name, ROW_KEYS)
    if table.columns and not {"image", "video"} & set(table.columns):
        listing = ", ".join(table.columns[:_LISTED_KEYS])
        mend = (
            f"the first line is read as the header, separated by a {table.separator_name}: name the columns"
        )
        raise InputError("rows", f"{path.name}: {listing}", "a header with a column image or video", mend)
    has_leading_id = table.columns[:1] == ["id"]
    return (
        (row.cells, row.problem, row.first if row.problem and has_leading_id else "") for row in table.rows()
    )


def _is_unused(key: object) -> bool:
    return str(key).strip().casefold() not in ROW_KEYS


def parse_row(row: Any, number: int, path: PurePath) -> Sample | BadRow:
    """Convert a row to a sample.

    Args:
        row: a mapping; a `BadRow` is returned unchanged. Keys may be in any case and have spaces around them.
        number: number of the row in its file, from 1.
        path: the file; paths in the row are relative to its folder.
    """
    if isinstance(row, BadRow):
        return row
    if not isinstance(row, Mapping):
        return BadRow("", f"row: row {number} is not an object with the keys {', '.join(ROW_KEYS)}")
    row = _with_usual_keys(row)
    row_id = get_row_id(row)
    try:
        if not row_id and row.get("id") not in (None, ""):
            raise InputError("id", row["id"], ALLOWED_IDS, "give each row a name")
        is_video = row.get("video") not in (None, "")
        has_reference = bool(row.get("reference"))
        return Sample(
            id=row_id,
            image=None if is_video else _parse_source(row, "image", path.parent),
            video=_parse_source(row, "video", path.parent) if is_video else None,
            prompt=_check_text("prompt", row.get("prompt") or ""),
            negative_prompt=_check_text("negative_prompt", row.get("negative_prompt") or ""),
            elements=_parse_elements(row.get("elements")),
            reference=_parse_source(row, "reference", path.parent) if has_reference else None,
        )
    except InputError as error:
        return BadRow(row_id, str(error))


def _with_usual_keys(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a row with keys such as ` Image ` spelled as usual, where the usual one is not there."""
    others = {
        str(key).strip().casefold(): value
        for key, value in row.items()
        if key not in ROW_KEYS and not _is_unused(key)
    }
    return {**others, **row} if others else row


def _check_text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(field, value, "text", "put it between quotes")
    return value


def _parse_source(row: Mapping[Any, Any], field: str, folder: PurePath) -> str | PurePath:
    """Return a `data:` or web address unchanged, another text as a path relative to the folder."""
    value = row.get(field)
    if value is None or value == "":
        keys = ", ".join(str(key) for key, cell in row.items() if cell not in (None, ""))
        mend = f"give the row an image or a video; it has {keys[:100] or 'no values'}"
        raise InputError(field, value, "a path or a data: URL", mend)
    text = _check_text(field, value).strip()
    if text[:5].lower() == "data:" or is_web_address(text):
        return text
    text = str(file_url_to_path(text, field))
    path = folder / text
    if "\\" in text and not (isinstance(path, Path) and path.exists()):
        return folder / text.replace("\\", "/")  # a path written on Windows
    return path


def _parse_elements(value: object) -> list[str] | None:
    """Return the elements of a row; None if it has none, so that they are taken from the prompt."""
    if value is None or value == "":
        return None
    if isinstance(value, str):  # a cell of a table
        is_json = value.lstrip().startswith("[")
        try:
            parts = [part.strip() for part in value.split(";")]
            value = json.loads(value) if is_json else [part for part in parts if part]
        except (ValueError, RecursionError):
            raise InputError("elements", value, 'a JSON list, or "a; b; c"', "correct the cell") from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError("elements", value, "a list of texts", "give each element as text")
    return value
