"""Tables of separated values: read as they were meant, or one error that names the line or the column."""

from __future__ import annotations

import csv
from pathlib import Path
from threading import Thread

import pytest
from tables import prompts, read, reading_error, write

from judge.pipeline.rows import BadRow, read_rows
from judge.types import Sample

HEADER = "id,image,prompt\n"


# Rows that do not fit the header


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("2,b.png,a red circle, two blue cats", 4),
        ("2,b.png,one,two,three,four", 6),
        ("2,b.png,a dog,", 4),
        ("2,b.png", 2),
        ("2", 1),
    ],
)
def test_a_row_with_too_many_or_too_few_values_is_not_cut(tmp_path: Path, line: str, count: int) -> None:
    rows = read(tmp_path, f"{HEADER}1,a.png,a cat\n{line}\n3,c.png,a dog\n")
    assert len(rows) == 3
    bad = rows[1]
    assert isinstance(bad, BadRow) and bad.id == "2"
    assert f"line 3 has {count} values for 3 columns (id, image, prompt)" in bad.reason
    assert [prompts(rows)[n] for n in (0, 2)] == ["a cat", "a dog"]


def test_the_line_of_a_bad_row_counts_blank_lines_and_lines_within_cells(tmp_path: Path) -> None:
    rows = read(tmp_path, f'\n{HEADER}\n1,a.png,"two\nlines"\n\n2,b.png\n')
    assert rows[0].prompt == "two\nlines"  # type: ignore[union-attr]
    assert "line 7 has 2 values" in rows[1].reason  # type: ignore[union-attr]


def test_a_bad_row_has_no_id_where_the_id_is_not_the_first_column(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "prompt,image,id\na cat, a dog,a.png,7\n")
    assert isinstance(row, BadRow) and row.id == ""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, ending: str) -> None:
    rows_of_cells = [["id", "image", "prompt", "elements"], ["1", "a.png", '"a, b; c | d"', ""], [],
                     ["2", "b.png", "x", '"cat"']]  # fmt: skip
    text = ending.join(separator.join(cells) for cells in rows_of_cells)
    rows = read(tmp_path, text, "rows.tsv" if separator == "\t" else "rows.csv")
    assert prompts(rows) == ["a, b; c | d", "x"]
    assert [row.id for row in rows] == ["1", "2"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;\r"])
def test_the_separator_of_a_first_line_counts(tmp_path: Path, first: str) -> None:
    rows = read(tmp_path, f"{first}\nid;image;prompt\n1;a.png;a cat, a dog\n2;b.png\n")
    assert rows[0].prompt == "a cat, a dog"  # type: ignore[union-attr]
    assert "line 4 has 2 values" in rows[1].reason  # type: ignore[union-attr]


def test_lines_of_separators_only_are_blank(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, f"{HEADER}1,a.png,a cat\n,,\n , , \n\n")) == ["a cat"]


# Quotes


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('1,a.png,"a red circle\n2,b.png,two cats\n3,c.png,a dog\n', 2),
        ('1,a.png,x\n2,b.png,"two cats\n3,c.png,"a dog, a cat"\n4,d.png,y\n', 3),
        ('1,a.png,x\n2,b.png,y\n3,c.png,"open\n', 4),
        ('1,a.png,"closed" too early\n2,b.png,y\n', 2),
    ],
)
def test_an_unclosed_quote_is_an_error_with_its_line(tmp_path: Path, body: str, line: int) -> None:
    assert f"line {line}'" in reading_error(tmp_path, HEADER + body)
    tabs = (HEADER + body).replace(",", "\t").replace("cat\t", "cat,")
    assert f"line {line}'" in reading_error(tmp_path, tabs, "rows.tsv")


def test_quotes_that_are_text_are_kept(tmp_path: Path) -> None:
    rows = read(tmp_path, f'{HEADER}1,a.png,a 5" pipe\n2,b.png,"a ""red"" dog"\n3, c.png, "x, y"\n')
    assert prompts(rows) == ['a 5" pipe', 'a "red" dog', "x, y"]
    assert Path(rows[2].image).name == "c.png"  # type: ignore[union-attr]


# Headers


@pytest.mark.parametrize(
    "header", ["ID,Image,PROMPT", " id , image , prompt ", "\ufeffid,image,prompt", '"Id","IMAGE","Prompt"']
)
def test_names_of_columns_are_found_in_any_case_and_with_spaces(tmp_path: Path, header: str) -> None:
    (row,) = read(tmp_path, f"{header}\n7,a.png,a cat\n")
    assert isinstance(row, Sample) and (row.id, row.prompt, Path(row.image).name) == ("7", "a cat", "a.png")


@pytest.mark.parametrize(
    "columns", ["id,image,prompt,prompt", "id,image,Image,prompt", "note,image,prompt,note"]
)
def test_a_column_that_is_there_twice_is_an_error(tmp_path: Path, columns: str) -> None:
    message = reading_error(tmp_path, f"{columns}\n1,a.png,a cat,a dog\n")
    assert "2 times" in message and any(f"'{name}'" in message for name in ("prompt", "image", "note"))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("1,a.png,a red circle\n2,b.png,two cats\n", ["a.png", "comma", "header"]),
        ("file;caption\na.png;a cat\n", ["file, caption", "semicolon"]),
        ("id/image/prompt\n1/a.png/a cat\n", ["id/image/prompt", "comma"]),
        ("id,prompt\n1,a cat\n", ["id, prompt", "image or video"]),
    ],
)
def test_a_header_without_image_and_video_is_one_error(
    tmp_path: Path, content: str, parts: list[str]
) -> None:
    message = reading_error(tmp_path, content)
    assert all(part in message for part in parts), message


def test_a_file_with_a_header_only_and_an_empty_file_have_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER) == read(tmp_path, "") == read(tmp_path, "\n\n") == []


# Long cells


def test_cells_may_be_long_and_the_limit_of_other_readers_stays(tmp_path: Path) -> None:
    before, url = csv.field_size_limit(), "data:image/png;base64," + "A" * 400_000
    rows: list[list[Sample | BadRow]] = []
    text = f"{HEADER}" + "".join(f'{n},"{url}",a cat\n' for n in range(5))
    path = write(tmp_path, text)
    threads = [Thread(target=lambda: rows.append(read_rows(path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[row.image for row in part] for part in rows] == [[url] * 5] * 3  # type: ignore[union-attr]
    assert csv.field_size_limit() == before


# Cells


@pytest.mark.parametrize("cell", ["cat; dog;", "cat;dog;;", " cat ;dog; ", "; cat; dog"])
def test_empty_elements_are_left_out(tmp_path: Path, cell: str) -> None:
    (row,) = read(tmp_path, f"image,prompt,elements\na.png,a cat,{cell}\n")
    assert row.elements == ["cat", "dog"]  # type: ignore[union-attr]


def test_null_bytes_are_no_reason_to_stop(tmp_path: Path) -> None:
    rows = read(tmp_path, f"{HEADER}1,a.png,a\0 cat\n\0\0\0\n2,b.png,a dog\n")
    assert len(rows) == 3 and isinstance(rows[1], BadRow)
