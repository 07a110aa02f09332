"""Read text, JSON, JSONL and CSV files with errors that name the file and the line.

Each function reads the plain file, or a `.zip` archive that holds exactly one file of a given name or ending:
predictions may come as the archive that was submitted.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from judge.errors import InputError
from judge.tables.separated import SeparatedTable, read_records
from judge.tables.text import OpenFile, read_lines

MAX_MEMBER_BYTES = 4_000_000_000
"""Largest unpacked size of a file in an archive."""


def read_bytes(path: Path, *names: str, field: str = "file") -> bytes:
    """Return the bytes of a file, or of one member of a zip archive.

    Args:
        path: the file or archive.
        names: names, or endings of names, of the archive's member; the first that matches one member wins.
        field: what the caller calls this input; errors begin with it.

    Raises:
        InputError: the file does not exist or cannot be read, or the archive has no such member or several.
    """
    try:
        if path.is_dir():
            raise InputError(field, str(path), "a file", "it is a directory: name a file in it")
        if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
            return _read_member(path, names, field)
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(field, str(path), "a file that exists", "check the path") from None
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(field, str(path), "a readable file", f"{reason}: write it again") from None


def _read_member(path: Path, names: Sequence[str], field: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for name in names:
            matches = [info for info in members if info.filename == name]
            matches = matches or [m for m in members if m.filename.rsplit("/", 1)[-1].endswith(name)]
            if len(matches) == 1 and matches[0].file_size <= MAX_MEMBER_BYTES:
                return archive.read(matches[0])
    listing = ", ".join(info.filename for info in members[:5]) or "nothing"
    raise InputError(field, str(path), f"an archive with one {' or '.join(names)}", f"it holds {listing}")


def read_text(path: Path, *names: str, field: str = "file") -> str:
    """Return the text of a file or archive member, in UTF-8, or in UTF-16 with a byte-order mark.

    Arguments are those of `read_bytes`.

    Raises:
        InputError: as `read_bytes`, or the text is in another encoding; the line is named.
    """
    data = read_bytes(path, *names, field=field)
    if data.startswith(b"version https://git-lfs"):
        kind = "a Git LFS pointer, the clone holds no data"
        raise InputError(field, str(path), f"a file with its content; it is {kind}", "run `git lfs pull`")
    if data[:2] == b"PK" or data[:4] == b"\xd0\xcf\x11\xe0":
        mend = "it is a workbook or an archive: save it as CSV"
        raise InputError(field, str(path), "UTF-8 text", mend)
    return "".join(read_lines(lambda: io.BytesIO(data), path.name, field))


def read_json(path: Path, *names: str, field: str = "file") -> Any:
    """Return the JSON value of a file. NaN and infinities, which JSON does not have, are accepted.

    Arguments are those of `read_bytes`.

    Raises:
        InputError: as `read_text`, or the text is not JSON.
    """
    try:
        return json.loads(read_text(path, *(names or (".json",)), field=field))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(field, str(path), "JSON", f"{reason}: write the file again") from None


def read_json_lines(path: Path, field: str = "file") -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of a JSONL file; blank lines are skipped.

    Raises:
        InputError: as `read_text`, or a line is not JSON.
    """
    for number, line in enumerate(read_text(path, ".jsonl", ".json", field=field).split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(f"{path.name} line {number}", line, "JSON", "fix the line") from None


def read_csv_table(
    path: Path, columns: Iterable[str], field: str = "file"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a table with a header: CSV, TSV, or with semicolons or bars.

    Args:
        path: the file.
        columns: columns the header must have, in any case.
        field: what the caller calls this input.

    Raises:
        InputError: as `read_bytes`, the text is not UTF-8 or UTF-16, a column is missing or there twice, a
            row has another number of values than the header, or a quote is not closed.
    """
    columns = list(columns)
    table = SeparatedTable(_opener(path, field), path.name, columns, field)
    absent = [name for name in columns if name not in table.columns]
    if absent:
        place = f"{path.name}: header"
        header = f"{', '.join(table.columns)} (separated by a {table.separator_name})"
        raise InputError(place, header, f"the columns {', '.join(columns)}", "rename the columns")
    for row in table.rows():
        if row.problem:
            raise InputError(path.name, row.problem, f"{len(table.columns)} values in a line", "fix the line")
        yield row.line, row.cells


def read_csv_columns(path: Path, field: str = "file") -> list[str]:
    """Return the columns in the header of a table; the arguments are those of `read_csv_table`.

    Raises:
        InputError: as `read_csv_table`.
    """
    return SeparatedTable(_opener(path, field), path.name, field=field).columns


def read_csv_rows(
    path: Path, columns: int | tuple[int, ...], *, separator: str = ",", field: str = "file"
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, values) of a CSV file without a header.

    Args:
        path: the file.
        columns: allowed number, or numbers, of values in a line; empty allows any.
        separator: separator of the values.
        field: what the caller calls this input.

    Raises:
        InputError: as `read_csv_table`.
    """
    allowed = (columns,) if isinstance(columns, int) else columns
    for number, row in read_records(_opener(path, field), path.name, separator, field):
        if allowed and len(row) not in allowed:
            expected = f"{' or '.join(map(str, allowed))} values"
            has_index = len(row) - 1 in allowed and row[0].strip().isdigit()
            mend = "drop the first column, an index" if has_index else "fix the line"
            raise InputError(f"{path.name} line {number}", separator.join(row), expected, mend)
        yield number, [value.strip() for value in row]


def _opener(path: Path, field: str) -> OpenFile:
    """Return a function that opens a table, or the one table in an archive."""
    data = read_bytes(path, path.stem + ".csv", ".csv", ".tsv", ".txt", field=field)
    return lambda: io.BytesIO(data)


def parse_number(value: object, place: str, name: str = "score") -> float:
    """Return a finite number, from a number or its text.

    Args:
        value: the number or text.
        place: file and line, for the error.
        name: name of the value, for the error.

    Raises:
        InputError: it is not a finite number.
    """
    try:
        number = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {name}", value, "a finite number", "fix the value")
    return number
