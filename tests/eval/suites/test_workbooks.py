"""Labels in .xlsx workbooks: what cells mean, and files that only look like workbooks."""

from __future__ import annotations

import datetime
from pathlib import Path

import openpyxl
import pytest
from file_formats import write_fake_video, write_image, write_lines, write_scores, write_workbook
from official_numbers import score_values

from eval.cli.doctor import examine
from eval.runs.official_scores import score_predictions
from eval.suites import load_suite
from eval.suites.readers.xlsx import read_workbook
from judge.errors import InputError


def save(path: Path, **cells: object) -> Path:
    """Write a workbook of one sheet with these cells."""
    book = openpyxl.Workbook()
    for place, value in cells.items():
        book.active[place] = value
    book.save(path)
    return path


def test_numbers_dates_truth_values_and_gaps_are_text(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 3, 1, 9, 30)
    path = save(tmp_path / "a.xlsx", B1="x", A3=2.0, B3=0.125, C3=True, D3=moment.date(), E3=moment, G3=-7)
    assert read_workbook(path) == {
        "Sheet": [["", "x"], ["2", "0.125", "TRUE", "2024-03-01", "2024-03-01 09:30:00", "", "-7"]]
    }


def test_each_cell_of_a_merged_area_has_its_value(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["Image", "Prompt", "MOS"], ["a.png", "a fox", 1.5], ["b.png", None, 2.5]):
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    path = tmp_path / "AIGC_MOS_Zscore.xlsx"
    book.save(path)
    assert [s.prompt for s in load_suite("agiqa-1k").read(path, media=False)] == ["a fox", "a fox"]


def test_formulas_give_their_stored_value_and_are_named_without_one(tmp_path: Path) -> None:
    import zipfile

    plain = save(tmp_path / "a.xlsx", A1=1, B1="=A1*2")
    with pytest.raises(InputError, match=r"cell B1: '=A1\*2'.*open and save it"):
        read_workbook(plain)
    stored = tmp_path / "b.xlsx"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(stored, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            for empty in (b"<v />", b"<v/>", b"<v></v>"):
                data = data.replace(empty, b"<v>2</v>") if "sheet1" in name else data
            target.writestr(name, data)
    assert read_workbook(stored) == {"Sheet": [["1", "2"]]}


def test_hidden_rows_columns_and_sheets_are_read_and_named(tmp_path: Path) -> None:
    for number in range(4):
        write_fake_video(tmp_path / f"{number}.mp4")
    write_scores(tmp_path / "truth.csv", {f"{i}.mp4": float(i) for i in range(4)}, "filename,score")
    book = openpyxl.Workbook()
    book.active.title = "nonsource"
    for row in (["v1", "v2", "rank"], ["0.mp4", "1.mp4", 2], ["1.mp4", "2.mp4", 2]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["D"].hidden = True
    book.create_sheet("old").sheet_state = "hidden"
    book.save(tmp_path / "rank-pair-val.xlsx")
    pred = write_scores(tmp_path / "p.csv", {f"{i}.mp4": i / 2 for i in range(4)}, "filename,score")
    note = score_predictions("kvq", pred, tmp_path / "truth.csv")["accuracy_nonsource"].note
    assert "hidden rows of sheet nonsource are read: 3" in note
    found = examine("kvq", tmp_path)
    assert found["ok"] and found["notes"] == [
        "rank-pair-val.xlsx: hidden rows of sheet nonsource are read: 3",
        "rank-pair-val.xlsx: hidden columns of sheet nonsource are read: D",
        "rank-pair-val.xlsx: the hidden sheet old is read",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Image,Score\r\na.png,1\r\n", "it is text, such as CSV.*name it .csv"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old .xls format.*save it as .xlsx"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "it is empty"),
        (b"PK\x03\x04 no archive", "save it again"),
        (bytes(range(256)), "of another kind"),
    ],
)
def test_what_only_has_the_name_of_a_workbook_is_one_clear_error(tmp_path: Path, data, message) -> None:
    path = tmp_path / "AIGC_MOS_Zscore.xlsx"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        list(load_suite("agiqa-1k").read(path, media=False))


def test_archives_of_other_things_and_document_types_are_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", "a,b\n")
    with pytest.raises(InputError, match=r"without xl/workbook\.xml"):
        read_workbook(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a/>')
    with pytest.raises(InputError, match="a document type"):
        read_workbook(path)


def test_a_workbook_under_the_name_of_a_csv_file_is_called_one(tmp_path: Path) -> None:
    write_workbook(tmp_path / "AIGC_all.csv.xlsx", {"a": [["Image", "Score"]]})
    path = (tmp_path / "AIGC_all.csv.xlsx").rename(tmp_path / "AIGC_all.csv")
    write_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="a ZIP archive or an Excel workbook: save the sheet as CSV"):
        list(load_suite("agiqa-1k").read(path))


def test_ranked_pairs_may_have_further_columns_sheets_and_an_index(tmp_path: Path) -> None:
    scores = {f"{number}.mp4": float(number) for number in range(4)}
    labels = write_scores(tmp_path / "truth.csv", scores, "filename,score")
    pred = write_scores(tmp_path / "prediction.csv", {**scores, "1.mp4": 0.0}, "filename,score")
    pairs = [["0.mp4", "1.mp4", 2, "note"], ["2.mp4", "3.mp4", 2, ""]]
    sheets = {"source": [["a", "b", "rank", "x"], *pairs], "nonsource": [["a", "b", "rank"], pairs[1][:3]]}
    book = write_workbook(tmp_path / "rank-pair-val.xlsx", {**sheets, "README": [["not a pair"]]})
    # The first pair is tied by the predictions, which means "the first is better".
    assert score_values("kvq", pred, labels)["accuracy_source"] == 0.5
    book.unlink()
    rows = [f"{number},{','.join(map(str, row))}" for number, row in enumerate(pairs)]
    write_lines(tmp_path / "rank-pair-source.csv", ",a,b,rank,x", *rows)
    assert score_values("kvq", pred, labels)["accuracy_source"] == 0.5
