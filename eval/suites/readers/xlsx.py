"""Read the cells of .xlsx workbooks with openpyxl, as text."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.suites.readers.text_files import read_bytes
from judge.errors import InputError

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

MAX_UNPACKED_BYTES = 1_000_000_000
"""Largest unpacked size of a workbook that is read."""
EXPECTED = "an .xlsx workbook"


class Workbook(dict[str, list[list[str]]]):
    """The cells of a workbook as text: sheet -> rows -> values. Empty rows are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        """What a reader of the numbers must know: hidden sheets, rows and columns, whose cells are read."""


def read_workbook(path: Path, field: str = "truth") -> Workbook:
    """Return the cells of a workbook.

    Formulas give the value that was stored with them. Each cell of a merged area has the area's value. Dates
    are `2024-03-01`, with the time of day where there is one; whole numbers have no decimal point. Hidden
    sheets, rows and columns are read, as spreadsheet libraries do, and named in `notes`.

    Args:
        path: the workbook.
        field: what the caller calls this input.

    Raises:
        InputError: the file is not an .xlsx workbook, a formula has no stored value, or openpyxl is not
            installed.
    """
    data = read_bytes(path, ".xlsx", field=field)
    _check_kind(data, path, field)
    try:
        import openpyxl
    except ImportError:
        mend = "pip install openpyxl (in judge[eval])"
        raise InputError(field, str(path), "a file that can be read here", mend) from None
    try:
        has_formulas = _check_parts(data)
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(data)) if has_formulas else None
    except Exception as error:  # openpyxl lets errors of the archive, of XML and of its own classes through.
        reason = " ".join(str(error).split())[:100]
        raise InputError(field, str(path), EXPECTED, f"{reason}: save it again, or as CSV") from None
    result = Workbook()
    for sheet in book.worksheets:
        if formulas is not None:
            _check_formulas(sheet, formulas[sheet.title], path, field)
        result[sheet.title] = _read_sheet(sheet)
        result.notes += _describe_hidden(sheet)
    return result


def _check_kind(data: bytes, path: Path, field: str) -> None:
    """Raise `InputError` for files that only have the name of a workbook, and for the old format."""
    if data[:4] == b"\xd0\xcf\x11\xe0":
        kind, mend = "it is in the old .xls format, or has a password", "save it as .xlsx without a password"
    elif data.startswith(b"version https://git-lfs"):
        kind, mend = "it is a Git LFS pointer, the clone holds no data", "run `git lfs pull`"
    elif data[:2] == b"PK":
        return
    elif not data:
        kind, mend = "it is empty", "get the file again"
    elif b"\0" not in data[:1000]:
        kind, mend = "it is text, such as CSV, under the name of a workbook", "name it .csv"
    else:
        kind, mend = "it is of another kind", "save it as .xlsx, or as CSV"
    raise InputError(field, str(path), f"{EXPECTED}; {kind}", mend)


def _check_parts(data: bytes) -> bool:
    """Check the parts of the archive, and return whether any sheet has a formula.

    Raises:
        ValueError: it is not a workbook, is too large, or a part declares a document type, whose entities
            could grow without limit.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        if not any(part.filename == "xl/workbook.xml" for part in parts):
            raise ValueError("an archive without xl/workbook.xml")
        if sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
            raise ValueError(f"more than {MAX_UNPACKED_BYTES} bytes unpacked")
        texts = {p.filename: archive.read(p) for p in parts if p.filename.endswith((".xml", ".rels"))}
    if any(b"<!DOCTYPE" in text or b"<!ENTITY" in text for text in texts.values()):
        raise ValueError("a document type in a workbook")
    sheets = (text for name, text in texts.items() if name.startswith("xl/worksheets/"))
    return any(re.search(rb"<(\w+:)?f[ >/]", text) for text in sheets)


def _check_formulas(sheet: Worksheet, formulas: Worksheet, path: Path, field: str) -> None:
    """Raise `InputError` for a formula without a stored value, as programs write it that do not calculate."""
    for row in formulas.iter_rows():
        for cell in row:
            if cell.data_type == "f" and sheet[cell.coordinate].value is None:
                place = f"{path.name} sheet {sheet.title} cell {cell.coordinate}"
                mend = "open and save it in a spreadsheet program, or write the value"
                raise InputError(f"{field}: {place}", str(cell.value), "a formula with its value", mend)


def _read_sheet(sheet: Worksheet) -> list[list[str]]:
    cells = [[_format(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    for area in sheet.merged_cells.ranges:
        text = cells[area.min_row - 1][area.min_col - 1]
        for row in cells[area.min_row - 1 : area.max_row]:
            row[area.min_col - 1 : area.max_col] = [text] * (area.max_col - area.min_col + 1)
    rows = []
    for values in cells:
        while values and not values[-1]:
            values.pop()
        if values:
            rows.append(values)
    return rows


def _format(value: Any) -> str:
    """Return the text of a cell's value; empty for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return str(value)


def _describe_hidden(sheet: Worksheet) -> list[str]:
    """Return what is hidden in a sheet, in words."""
    if sheet.sheet_state != "visible":
        return [f"the hidden sheet {sheet.title} is read"]
    rows = [number for number, row in sheet.row_dimensions.items() if row.hidden]
    columns = [name for name, column in sheet.column_dimensions.items() if column.hidden]
    notes = []
    if rows:
        more = " and more" if len(rows) > 5 else ""
        listing = ", ".join(map(str, rows[:5])) + more
        notes.append(f"hidden rows of sheet {sheet.title} are read: {listing}")
    if columns:
        notes.append(f"hidden columns of sheet {sheet.title} are read: {', '.join(columns[:5])}")
    return notes
