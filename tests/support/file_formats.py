"""Write small files in the formats that benchmarks use."""

from __future__ import annotations

import json
import struct
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
    """Write an .xlsx file as spreadsheet programs do."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path
