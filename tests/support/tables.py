"""Tables of rows as people bring them, and what is read of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from judge.errors import InputError
from judge.pipeline.rows import BadRow, read_rows
from judge.types import Sample


def write(folder: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    """Write a file, text in UTF-8 as it is."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "rows.csv") -> list[Sample | BadRow]:
    """Write a file of rows and read it."""
    return read_rows(write(folder, content, name))


def prompts(rows: list[Sample | BadRow]) -> list[str]:
    """The prompt of each row, or the reason why it is none."""
    return [row.reason if isinstance(row, BadRow) else row.prompt for row in rows]


def reading_error(folder: Path, content: str | bytes, name: str = "rows.csv") -> str:
    """Read a file that must be refused, and return the one line that says why."""
    path = write(folder, content, name)
    with pytest.raises(InputError) as caught:
        read_rows(path)
    message = str(caught.value)
    assert caught.value.field == "rows" and name in message and "\n" not in message and len(message) < 500
    return message
