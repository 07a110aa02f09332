"""Read scores by name: `name,score` lines, or a JSON list of objects."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.suites.readers.text_files import parse_number, read_json, read_text
from judge.errors import InputError

NAME_COLUMNS = (
    "filename", "imagename", "imgname", "videoname", "image", "video", "img", "file", "name",
    "imagepath", "imgpath", "videopath", "filepath", "path", "imageid", "videoid", "uid", "id",
)  # fmt: skip
"""Names of the column of names, in lower case, letters only; the first that a header has is taken."""
SCORE_COLUMNS = (
    "score", "predictscore", "predictedscore", "predscore", "prediction", "predicted", "pred", "mos",
)  # fmt: skip
"""Names of the column of scores, likewise."""


def read_score_lines(path: Path, member: str = "output.txt", field: str = "pred") -> dict[str, float]:
    """Read `name,score` lines, the layout of most challenges. A header line is skipped.

    The name is everything before the last comma, without spaces around it. Where a header names the columns,
    `filename` and `score` for example, they may be in any order and among others, as pandas writes them with
    an index.

    Args:
        path: a text or CSV file, or an archive with one.
        member: name of the file in an archive.
        field: what the caller calls this input.

    Raises:
        InputError: the file cannot be read, a line has another layout, or a name occurs twice.
    """
    text = read_text(path, member, ".txt", ".csv", field=field)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    header = next(csv.reader([lines[0][1]])) if lines else []
    has_header = bool(header) and not _is_number(header[-1])
    columns = _find_columns(header, path) if has_header else None
    if has_header and columns is not None:
        return check_unique_names(_read_columns(text, columns, path), path)
    scores: list[tuple[str, float]] = []
    for number, line in lines[1:] if has_header and len(header) > 1 else lines:
        name, comma, value = line.rpartition(",")
        if not comma:
            raise InputError(f"{path.name} line {number}", line, "name,score", "fix the line")
        score = parse_number(value.strip(), f"{path.name} line {number}")
        scores.append((name.strip().strip('"'), score))
    if not scores:
        raise InputError(field, str(path), "at least one line name,score", "write the predictions into it")
    return check_unique_names(scores, path)


def _find_columns(header: Sequence[str], path: Path) -> tuple[int, int] | None:
    """Return the places of name and score in a header; None for a header of the two in this order.

    Raises:
        InputError: a header of more columns does not name them.
    """
    keys = ["".join(c for c in cell.lower() if c.isalpha()) for cell in header]
    name, score = (
        next((keys.index(known) for known in names if known in keys), None)
        for names in (NAME_COLUMNS, SCORE_COLUMNS)
    )
    if name is not None and score is not None and name != score and (len(keys) > 2 or name > score):
        return name, score
    if len(keys) > 2:
        expected = "the columns filename and score, or name,score without others"
        raise InputError(f"{path.name}: header", ", ".join(header), expected, "rename the columns")
    return None


def _read_columns(text: str, columns: tuple[int, int], path: Path) -> Iterator[tuple[str, float]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    next(row for row in reader if any(row))
    for row in reader:
        if not any(value.strip() for value in row):
            continue
        place = f"{path.name} line {reader.line_num}"
        if len(row) <= max(columns):
            raise InputError(place, row, "as many values as the header", "fix the line")
        yield row[columns[0]].strip(), parse_number(row[columns[1]].strip(), place)


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
