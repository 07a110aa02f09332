"""Encodings of files of rows: read, or one error that names the encoding and the line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from tables import prompts, read, reading_error

TEXT = "id,image,prompt\n1,a.png,ein schöner Baum\n2,b.png,日本 🐈\n"
JSON = (
    '{"id": 1, "image": "a.png", "prompt": "ein schöner Baum"}\n'
    '{"id": 2, "image": "b.png", "prompt": "日本 🐈"}\n'
)
LATIN = "id,image,prompt\n1,a.png,a cat\n2,b.png,un café “noir”\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_unicode_encodings_are_recognised(tmp_path: Path, encoding: str, ending: str) -> None:
    expected = ["ein schöner Baum", "日本 🐈"]
    assert prompts(read(tmp_path, TEXT.replace("\n", ending).encode(encoding))) == expected
    assert prompts(read(tmp_path, JSON.replace("\n", ending).encode(encoding), "rows.jsonl")) == expected


@pytest.mark.parametrize(
    ("encoding", "byte"), [("cp1252", "0xE9"), ("latin-1", "0xE9"), ("mac-roman", "0x8E")]
)
def test_another_encoding_is_one_error_with_byte_and_line(tmp_path: Path, encoding: str, byte: str) -> None:
    text = LATIN if encoding == "cp1252" else LATIN.replace("“", "").replace("”", "")
    message = reading_error(tmp_path, text.encode(encoding))
    assert "line 3" in message and byte in message and "UTF-8" in message
    assert ("cp1252" in message and "café" in message) or encoding == "mac-roman"
    assert "line 3" in reading_error(tmp_path, text.replace("\n", "\r").encode(encoding))


def test_east_asian_encodings_are_refused_not_guessed(tmp_path: Path) -> None:
    for encoding in ("gb18030", "shift_jis", "euc-kr"):
        text = (
            "id,image,prompt\n1,a.png,中国\n" if encoding != "euc-kr" else "id,image,prompt\n1,a.png,고양이\n"
        )
        assert "not UTF-8" in reading_error(tmp_path, text.encode(encoding))


def test_a_line_of_json_lines_that_is_not_text_fails_alone(tmp_path: Path) -> None:
    rows = prompts(
        read(tmp_path, JSON.encode() + '{"image": "c.png", "prompt": "café"}\n'.encode("cp1252"), "r.jsonl")
    )
    assert rows[:2] == ["ein schöner Baum", "日本 🐈"] and len(rows) == 3
    assert "line 3: byte 0xE9 is not UTF-8 (as cp1252 it would be 'café')" in rows[2]


def test_damaged_utf_16_is_one_error(tmp_path: Path) -> None:
    assert "UTF-16" in reading_error(tmp_path, TEXT.encode("utf-16") + b"\0")
    assert "UTF-16" in reading_error(tmp_path, TEXT.encode("utf-16")[:-20] + b"\x00\xd8\x00")


@pytest.mark.parametrize("head", [b"\x1f\x8b\x08\0", b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_other_files_under_the_name_of_a_table_are_named(tmp_path: Path, head: bytes) -> None:
    assert "text file" in reading_error(tmp_path, head + bytes(100))


def test_a_workbook_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert "Excel" in reading_error(tmp_path, buffer.getvalue())
