"""JSON rows: one a line, or one list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tables import prompts, read, reading_error

from judge.pipeline.rows import BadRow, count_text_rows, read_rows

ROWS = [{"id": n, "image": f"{n}.png", "prompt": f"thing {n}"} for n in range(3)]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "ROWS.JSON"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_a_file_of_rows(tmp_path: Path, name: str, indent: int | None) -> None:
    for before in ("", "\n \n", "\ufeff"):
        rows = read(tmp_path, before + json.dumps(ROWS, indent=indent) + "\n", name)
        assert prompts(rows) == ["thing 0", "thing 1", "thing 2"]
        assert [row.id for row in rows] == ["0", "1", "2"]


def test_an_entry_of_a_list_that_is_no_object_fails_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, json.dumps([ROWS[0], 7, None, ROWS[1]]), "rows.json")
    assert [isinstance(row, BadRow) for row in rows] == [False, True, True, False]


@pytest.mark.parametrize(
    "content",
    ['[{"image": "a.png"},', '[{"image": "a.png"},\n{"image": ]', '[\n{"image": "a.png"}\n'],
)
def test_a_damaged_list_is_one_error(tmp_path: Path, content: str) -> None:
    for name in ("rows.json", "rows.jsonl"):
        assert "correct the file" in reading_error(tmp_path, content, name)


def test_lists_on_lines_of_json_lines_are_bad_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, f"[1]\n{json.dumps(ROWS[0])}\n\n[2]\n", "rows.jsonl")
    assert [isinstance(row, BadRow) for row in rows] == [True, False, True]


def test_one_object_over_several_lines_is_one_row_or_one_error(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, json.dumps(ROWS[1], indent=1), "rows.json")) == ["thing 1"]
    assert "the keys data" in reading_error(tmp_path, json.dumps({"data": ROWS}, indent=1), "rows.json")
    columns = {"image": {"0": "a.png"}}
    assert isinstance(read(tmp_path, json.dumps(columns, indent=1), "rows.json")[0], BadRow)


def test_keys_are_found_in_any_case_and_a_row_without_image_names_its_keys(tmp_path: Path) -> None:
    rows = read(
        tmp_path, '{"ID": 5, " Image ": "a.png", "PROMPT": "a cat"}\n{"id": 6, "file": "b.png"}\n', "r.jsonl"
    )
    assert (rows[0].id, prompts(rows)[0]) == ("5", "a cat")
    assert rows[1].id == "6" and "it has id, file" in rows[1].reason  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_rows_are_counted_as_they_are_read_in_every_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    """U+0A05 holds the byte of a line end in UTF-16."""
    text = "\n".join(json.dumps({**row, "prompt": "\u0a05 a cat"}, ensure_ascii=False) for row in ROWS) + end
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode(encoding))
    rows = read_rows(path)
    assert count_text_rows(lambda: path.open("rb"), path) == len(rows) == 3
    assert prompts(rows) == ["\u0a05 a cat"] * 3
