"""Write small files in the formats that benchmarks use."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image


def write_image(path: Path, size: tuple[int, int] = (32, 24)) -> Path:
    """Write an image of one colour; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def write_fake_video(path: Path) -> Path:
    """Write a file in place of a video, for tests that do not decode it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not decoded")
    return path


def write_lines(path: Path, *lines: str) -> Path:
    """Write lines of text, UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_scores(path: Path, scores: dict[str, float], header: str = "") -> Path:
    """Write lines `name,score`, below a header if there is one."""
    return write_lines(path, *([header] if header else []), *(f"{n},{s!r}" for n, s in scores.items()))


def write_json(path: Path, value: Any) -> Path:
    """Write a JSON value."""
    return write_lines(path, json.dumps(value))


def encode_tfrecord(*records: dict[str, Any]) -> bytes:
    """Encode records of `tf.train.Example` as TensorFlow writes them; values are bytes or floats."""
    encoded = b""
    for record in records:
        entries = b""
        for name, value in record.items():
            if isinstance(value, bytes):
                feature = _encode_field(1, _encode_field(1, value))
            else:
                feature = _encode_field(2, _encode_field(1, struct.pack("<f", value)))
            entries += _encode_field(1, _encode_field(1, name.encode()) + _encode_field(2, feature))
        body = _encode_field(1, entries)
        encoded += struct.pack("<Q", len(body)) + b"\0\0\0\0" + body + b"\0\0\0\0"
    return encoded


def _encode_field(number: int, data: bytes) -> bytes:
    """Encode one length-delimited field of a protocol buffer."""
    return _encode_varint(number << 3 | 2) + _encode_varint(len(data)) + data


def _encode_varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def write_workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """Write an .xlsx file as spreadsheet programs do: texts in a shared table, numbers in their cells."""
    shared_texts: list[str] = []
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def cell(value: Any, reference: str) -> str:
        if not isinstance(value, str):
            return f'<c r="{reference}"><v>{value}</v></c>'
        if value not in shared_texts:
            shared_texts.append(value)
        return f'<c r="{reference}" t="s"><v>{shared_texts.index(value)}</v></c>'

    with zipfile.ZipFile(path, "w") as archive:
        listing, targets = "", ""
        for number, (name, rows) in enumerate(sheets.items(), 1):
            listing += f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
            targets += f'<Relationship Id="rId{number}" Target="worksheets/sheet{number}.xml"/>'
            body = "".join(
                f'<row r="{y}">' + "".join(cell(v, f"{chr(65 + x)}{y}") for x, v in enumerate(row)) + "</row>"
                for y, row in enumerate(rows, 1)
            )
            archive.writestr(
                f"xl/worksheets/sheet{number}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
            )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{listing}</sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{targets}</Relationships>")
        texts = "".join(f"<si><t>{value}</t></si>" for value in shared_texts)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{texts}</sst>')
    return path
