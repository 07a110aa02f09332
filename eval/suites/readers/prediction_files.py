"""Read scores by name: `name,score` lines, or a JSON list of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eval.suites.readers.text_files import parse_number, read_json, read_text
from judge.errors import InputError


def read_score_lines(path: Path, member: str = "output.txt", field: str = "pred") -> dict[str, float]:
    """Read `name,score` lines, the layout of most challenges. A header line is skipped.

    The name is everything before the last comma, without spaces around it.

    Args:
        path: a text or CSV file, or an archive with one.
        member: name of the file in an archive.
        field: what the caller calls this input.

    Raises:
        InputError: the file cannot be read, a line has another layout, or a name occurs twice.
    """
    scores: list[tuple[str, float]] = []
    is_first = True
    for number, line in enumerate(read_text(path, member, ".txt", ".csv", field=field).splitlines(), 1):
        if not line.strip():
            continue
        name, comma, value = line.rpartition(",")
        if not comma:
            raise InputError(f"{path.name} line {number}", line, "name,score", "fix the line")
        is_header, is_first = is_first and not _is_number(value), False
        if is_header:
            continue
        score = parse_number(value.strip(), f"{path.name} line {number}")
        scores.append((name.strip().strip('"'), score))
    if not scores:
        raise InputError(field, str(path), "at least one line name,score", "write the predictions into it")
    return check_unique_names(scores, path)


def read_score_objects(
    path: Path, name_key: str, score_key: str, member: str = "output.json", field: str = "pred"
) -> dict[str, float]:
    """Read a JSON list of `{name_key: name, score_key: number}`.

    Args:
        path: a JSON file, or an archive with one.
        name_key: key of the name.
        score_key: key of the score.
        member: name of the file in an archive.
        field: what the caller calls this input.

    Raises:
        InputError: the file cannot be read or has another layout, or a name occurs twice.
    """
    rows = read_json(path, member, ".json", field=field)
    if not isinstance(rows, list) or not rows:
        expected = f"a JSON list of {{{name_key}, {score_key}}}"
        raise InputError(field, str(path), expected, "write the file in this layout")
    scores = (
        _parse_object(row, name_key, score_key, f"{path.name} row {number}")
        for number, row in enumerate(rows, 1)
    )
    return check_unique_names(scores, path)


def check_unique_names(scores: Iterable[tuple[str, float]], path: Path) -> dict[str, float]:
    """Return (name, score) pairs as a mapping.

    Raises:
        InputError: a name occurs twice.
    """
    by_name: dict[str, float] = {}
    for name, score in scores:
        if name in by_name:
            raise InputError(str(path.name), name, "each name once", "remove the duplicate row")
        by_name[name] = score
    return by_name


def _parse_object(row: Any, name_key: str, score_key: str, place: str) -> tuple[str, float]:
    if not isinstance(row, Mapping) or not isinstance(row.get(name_key), str) or score_key not in row:
        raise InputError(place, row, f"an object with {name_key} and {score_key}", "fix the row")
    return row[name_key], parse_number(row[score_key], place, score_key)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
