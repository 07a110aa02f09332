"""JSON Lines, and JSON files that hold one list of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from judge.errors import InputError
from judge.tables.text import OpenFile, describe_bad_byte, detect_encoding, read_lines

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
"""Suffixes of files of JSON rows."""
_ALLOWED = 'one JSON object a line, or one list of objects: [{"image": ...}, ...]'
_LISTED_KEYS = 8


@dataclass(frozen=True)
class JsonRow:
    """One row of a file of JSON rows."""

    place: str
    """Where it is: "line 7", or "row 7" in a list."""
    value: Any = None
    """Its value; None if the row has a `problem`."""
    problem: str = ""
    """Why it is not JSON; empty if it is."""


def read_json_rows(open_file: OpenFile, name: str, field: str = "rows") -> Iterator[JsonRow]:
    """Yield the rows of JSON Lines, one a line, or of a file that is one JSON list.

    Blank lines are skipped. A line that is not JSON, or not text, is given with the reason.

    Args:
        open_file: opens the file.
        name: of the file, for errors. One object over several lines is read as one row if it ends in `.json`.
        field: what the caller calls this input.

    Raises:
        InputError: the file begins with a list, or with an object over several lines, that is not JSON.
    """
    lines = _decoded_lines(open_file, name, field)
    first = next(lines, None)
    if first is None:
        return
    if _may_be_whole_file(first, name):
        value, reason = _parse_file(open_file, name, field)
        if isinstance(value, list):
            yield from (JsonRow(f"row {number}", row) for number, row in enumerate(value, 1))
            return
        if isinstance(value, dict):
            yield JsonRow("row 1", _check_single_object(value, name, field))
            return
        if first.row.problem and first.text.startswith("["):
            raise InputError(field, name, _ALLOWED, f"{reason}: correct the file")
    yield first.row
    yield from (line.row for line in lines)


def count_json_rows(open_file: OpenFile, name: str, field: str = "rows") -> int:
    """Count the rows that `read_json_rows` yields, without parsing JSON Lines in UTF-8; same arguments.

    Raises:
        InputError: as `read_json_rows`.
    """
    first = next(_decoded_lines(open_file, name, field), None)
    if first is not None and _may_be_whole_file(first, name):
        return sum(1 for _ in read_json_rows(open_file, name, field))
    with open_file() as file:
        is_utf_8 = detect_encoding(file.read(4096), name, field).startswith("utf-8")
    if not is_utf_8:  # the bytes of a line end are part of other characters there
        return sum(1 for _ in _decoded_lines(open_file, name, field))
    with open_file() as file:
        return sum(not line.isspace() for line in _split_lines(file) if line)


@dataclass(frozen=True)
class _Line:
    """A line that is not blank."""

    text: str
    """Without white space around it; bytes that are not text are replaced."""
    row: JsonRow


def _may_be_whole_file(first: _Line, name: str) -> bool:
    """Return whether the first line may begin one value that is the whole file."""
    is_open_object = first.text.startswith("{") and bool(first.row.problem)
    return first.text.startswith("[") or (is_open_object and name.lower().endswith(".json"))


def _decoded_lines(open_file: OpenFile, name: str, field: str) -> Iterator[_Line]:
    """Yield the lines that are not blank."""
    with open_file() as file:
        encoding = detect_encoding(file.read(4096), name, field)
    if not encoding.startswith("utf-8"):
        for number, text in enumerate(read_lines(open_file, name, field, newline="\n"), 1):
            if text.strip():
                yield _Line(text.strip(), _parse_line(text, number))
        return
    with open_file() as file:
        for number, line in enumerate(_split_lines(file), 1):
            if not line.strip():
                continue
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                row = JsonRow(f"line {number}", problem=f"line {number}: {describe_bad_byte(line, error)}")
                yield _Line(line.decode(encoding, "replace").strip(), row)
            else:
                yield _Line(text.strip(), _parse_line(text, number))


def _parse_line(text: str, number: int) -> JsonRow:
    """Parse one line; `number` is its number in the file, from 1."""
    try:
        return JsonRow(f"line {number}", json.loads(text))
    except (ValueError, RecursionError) as error:
        return JsonRow(f"line {number}", problem=f"line {number} is not JSON ({_one_line(error)})")


def _split_lines(file: Any) -> Iterator[bytes]:
    r"""Yield the lines of a file. Lone \r end lines too where the file has no \n at all."""
    first = file.readline()
    rest = iter(file)
    if b"\r" in first.rstrip(b"\r\n") and not first.endswith(b"\n"):
        yield from first.splitlines(keepends=True)
    else:
        yield first
    yield from rest


def _parse_file(open_file: OpenFile, name: str, field: str) -> tuple[Any, str]:
    """Return the value of the whole file, or None and why it is not JSON."""
    try:
        return json.loads("".join(read_lines(open_file, name, field, newline="\n"))), ""
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        return None, _one_line(error)


def _check_single_object(value: dict[str, Any], name: str, field: str) -> dict[str, Any]:
    """Return the object of a file that is one object, if it can be a row."""
    if any(str(key).strip().casefold() in ("image", "video") for key in value):
        return value
    keys = ", ".join(map(str, list(value)[:_LISTED_KEYS]))
    raise InputError(
        field, name, _ALLOWED, f"it is one object with the keys {keys}: write its rows as a list"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
