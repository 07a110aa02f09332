"""Read the cells of .xlsx spreadsheets, without a spreadsheet library."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from judge.errors import InputError


def read_workbook(path: Path) -> dict[str, list[list[str]]]:
    """Return the cells of an .xlsx file as text: sheet -> rows -> values.

    Formulas give their last computed value. Empty rows are left out.

    Raises:
        InputError: the file is not an .xlsx workbook.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shared_texts = _read_shared_texts(archive)
            relations = _parse_xml(archive, "xl/_rels/workbook.xml.rels")
            targets = {r.attrib["Id"]: r.attrib["Target"] for r in relations if "Id" in r.attrib}
            return {
                sheet.attrib["name"]: _read_sheet(archive, targets[_relation_id(sheet)], shared_texts)
                for sheet in _parse_xml(archive, "xl/workbook.xml")
                if sheet.tag.endswith("}sheet")
            }
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile, ElementTree.ParseError):
        raise InputError("truth", str(path), "an .xlsx workbook", "save it again, or as CSV files") from None


def _parse_xml(archive: zipfile.ZipFile, name: str) -> Iterator[ElementTree.Element]:
    """Yield all elements of one part, in document order."""
    data = archive.read(name)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # Nested entities could grow without limit.
        raise ValueError("a document type in a workbook")
    return ElementTree.fromstring(data).iter()


def _relation_id(sheet: ElementTree.Element) -> str:
    return next(value for key, value in sheet.attrib.items() if key.endswith("}id"))


def _read_shared_texts(archive: zipfile.ZipFile) -> list[str]:
    """Return the texts that cells refer to by number."""
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    entries = (e for e in _parse_xml(archive, "xl/sharedStrings.xml") if e.tag.endswith("}si"))
    return ["".join(t.text or "" for t in entry.iter() if t.tag.endswith("}t")) for entry in entries]


def _read_sheet(archive: zipfile.ZipFile, target: str, shared_texts: list[str]) -> list[list[str]]:
    name = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    rows = []
    for row in (e for e in _parse_xml(archive, name) if e.tag.endswith("}row")):
        values: list[str] = []
        for cell in (c for c in row if c.tag.endswith("}c")):
            column = _column_index(cell.attrib.get("r", ""), len(values))
            values += [""] * (column - len(values))  # Empty cells are not stored.
            text = "".join(e.text or "" for e in cell.iter() if e.tag.endswith(("}v", "}t")))
            values.append(shared_texts[int(text)] if cell.attrib.get("t") == "s" else text)
        if any(values):
            rows.append(values)
    return rows


def _column_index(reference: str, default: int) -> int:
    """Return the index of a cell in its row from its reference: "C7" -> 2."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    number = 0
    for letter in letters.group() if letters else "":
        number = number * 26 + ord(letter) - 64
    return number - 1 if letters else default
