"""Label and prediction files as organisers write them, read with errors that name file, line and mend.

A prediction may come as the file itself or inside the archive that was submitted: every reader here takes
the plain file, or a `.zip` that holds exactly one file of the wanted name or ending.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from judge.errors import InputError

MOST_BYTES = 4_000_000_000
"""Largest unpacked size of a file in an archive."""


def content(path: Path, *names: str, field: str = "file") -> bytes:
    """The bytes of a file, or of the member of a zip archive that has one of the names (or their endings).

    Raises:
        InputError: no such file, unreadable, or an archive without (or with several of) such a member.
    """
    try:
        if path.is_dir():
            raise InputError(field, str(path), "a file", "it is a directory: name a file in it")
        if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
            return _member(path, names, field)
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(field, str(path), "a file that exists", "check the path") from None
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(field, str(path), "a readable file", f"{reason}: write it again") from None


def _member(path: Path, names: Sequence[str], field: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        for name in names:
            exact = [info for info in files if info.filename == name]
            found = exact or [info for info in files if info.filename.rsplit("/", 1)[-1].endswith(name)]
            if len(found) == 1 and found[0].file_size <= MOST_BYTES:
                return archive.read(found[0])
    held = ", ".join(info.filename for info in files[:5]) or "nothing"
    raise InputError(field, str(path), f"an archive with one {' or '.join(names)}", f"it holds {held}")


def text(path: Path, *names: str, field: str = "file") -> str:
    """The text of a file (or archive member), UTF-8 with or without a byte-order mark."""
    try:
        return content(path, *names, field=field).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(field, str(path), "UTF-8 text", "write the file again") from None


def json_of(path: Path, *names: str, field: str = "file") -> Any:
    """The JSON value of a file; NaN and infinities, which JSON does not have, come through as such."""
    try:
        return json.loads(text(path, *(names or (".json",)), field=field))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(field, str(path), "JSON", f"{reason}: write the file again") from None


def json_lines(path: Path, field: str = "file") -> Iterator[tuple[int, Any]]:
    """(line number, value) of a JSONL file; blank lines are none."""
    for number, line in enumerate(text(path, ".jsonl", ".json", field=field).split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(f"{path.name} line {number}", line, "JSON", "mend the line") from None


def table(path: Path, wanted: Iterable[str], field: str = "file") -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with a header that has the wanted columns."""
    rows = _csv(path, field)
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise InputError(
            f"{path.name}: header",
            ", ".join(names),
            f"the columns {', '.join(wanted)}",
            "name the columns so",
        )
    for number, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path.name} line {number}", row, f"{len(names)} values, as in the header", "mend the line"
            )
        yield number, dict(zip(names, row, strict=True))


def cells(
    path: Path, columns: int | tuple[int, ...], *, separator: str = ",", field: str = "file"
) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of a CSV file without a header; every line has as many values as said."""
    allowed = (columns,) if isinstance(columns, int) else columns
    for number, row in _csv(path, field, separator):
        if len(row) not in allowed:
            raise InputError(
                f"{path.name} line {number}",
                separator.join(row),
                f"{' or '.join(map(str, allowed))} values",
                "mend the line",
            )
        yield number, [value.strip() for value in row]


def _csv(path: Path, field: str, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    source = text(path, path.stem + ".csv", ".csv", ".txt", field=field)
    reader = csv.reader(io.StringIO(source, newline=""), delimiter=separator)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path.name} line {reader.line_num}", str(error), "CSV", "mend the line") from None


def number(value: object, where: str, field: str = "score") -> float:
    """A finite number, from a number or its text.

    Raises:
        InputError: it is none; `where` says which file and line.
    """
    try:
        found = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{where}: {field}", value, "a finite number", "mend the value")
    return found


def once(pairs: Iterable[tuple[str, float]], path: Path) -> dict[str, float]:
    """The pairs as a mapping; a name that comes twice is an error."""
    found: dict[str, float] = {}
    for name, value in pairs:
        if name in found:
            raise InputError(str(path.name), name, "each name once", "remove the doubled row")
        found[name] = value
    return found


def scored_lines(path: Path, member: str = "output.txt", field: str = "pred") -> dict[str, float]:
    """`name,score` lines, as most challenges want them: text or CSV, a header is passed over.

    The name is everything before the last comma, without spaces around it.
    """
    found: list[tuple[str, float]] = []
    first = True
    for at, line in enumerate(text(path, member, ".txt", ".csv", field=field).splitlines(), 1):
        if not line.strip():
            continue
        name, comma, value = line.rpartition(",")
        if not comma:
            raise InputError(f"{path.name} line {at}", line, "name,score", "mend the line")
        header, first = first and not _numeric(value), False
        if header:
            continue
        found.append((name.strip().strip('"'), number(value.strip(), f"{path.name} line {at}")))
    if not found:
        raise InputError(field, str(path), "at least one line name,score", "write the predictions into it")
    return once(found, path)


def scored_objects(
    path: Path, key: str, score: str, member: str = "output.json", field: str = "pred"
) -> dict[str, float]:
    """A JSON list of `{key: name, score: number}`."""
    rows = json_of(path, member, ".json", field=field)
    if not isinstance(rows, list) or not rows:
        raise InputError(field, str(path), f"a JSON list of {{{key}, {score}}}", "write it so")
    return once((named(row, key, score, f"{path.name} row {at}") for at, row in enumerate(rows, 1)), path)


def named(row: Any, key: str, score: str, where: str) -> tuple[str, float]:
    """The name and the number of one object."""
    if not isinstance(row, Mapping) or not isinstance(row.get(key), str) or score not in row:
        raise InputError(where, row, f"an object with {key} and {score}", "mend the row")
    return row[key], number(row[score], where, score)


def _numeric(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
