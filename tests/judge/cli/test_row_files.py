"""Files of rows on the command line: one error for a file that is not read as meant, exit codes, notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_error, run
from tables import write

from judge.batch.reader import ResultsReader
from judge.types import Verdict

pytestmark = pytest.mark.usefixtures("scripted")
HEADER = "id,image,prompt\n"


def score(rows: Path, *options: str) -> tuple[Any, list[Verdict]]:
    """Run `judge score`, and return the result and the verdicts."""
    out = rows.parent / f"out-{'-'.join(options).replace('/', '')}.jsonl"
    result = run("score", str(rows), "--out", str(out), "--depth", "score", *options)
    if not out.exists() or not list(out.parent.glob(out.name)):
        return result, []
    lines = ResultsReader(str(out)).lines() if out.is_dir() else out.read_text("utf-8").splitlines()
    return result, [Verdict.model_validate_json(line) for line in lines]


@pytest.mark.parametrize("options", [(), ("--shard", "1/1")])
def test_a_row_that_does_not_fit_is_one_unscored_row_that_says_so(
    images: list[str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    rows = write(tmp_path, f"{HEADER}1,one.png,a red circle, two blue cats\n2,one.png,a cat\n3,one.png\n")
    result, verdicts = score(rows, *options)
    assert result.exit_code == 0 and [v.id for v in verdicts] == ["1", "2", "3"]
    assert [v.status for v in verdicts] == ["unscored", "scored", "unscored"]
    assert "line 2 has 4 values" in verdicts[0].reason and "line 4 has 2 values" in verdicts[2].reason


@pytest.mark.parametrize("options", [(), ("--shard", "1/1")])
@pytest.mark.parametrize(
    ("content", "part"),
    [
        (f'{HEADER}1,one.png,"a red circle\n2,one.png,two cats\n', "line 2"),
        (f"{HEADER}1,one.png,caf\xe9\n".encode("latin-1"), "cp1252"),
        ("id,picture,prompt\n1,one.png,a cat\n", "image or video"),
        ("1,one.png,a cat\n", "header"),
    ],
)
def test_a_file_that_cannot_be_read_as_meant_is_one_error_and_nothing_is_scored(
    images: list[str], tmp_path: Path, content: str | bytes, part: str, options: tuple[str, ...]
) -> None:
    result, verdicts = score(write(tmp_path, content), *options)
    assert_error(result, "rows", part)
    assert not verdicts


@pytest.mark.parametrize("options", [(), ("--shard", "1/1")])
@pytest.mark.parametrize(
    "content",
    [f"{HEADER}1,none.png,a cat\n2,nor.png,a dog\n", f"{HEADER}1;one.png;a cat\n", f"{HEADER}1,one.png,\n"],
)
def test_a_run_that_scores_no_row_writes_its_rows_and_exits_with_1(
    images: list[str], tmp_path: Path, content: str, options: tuple[str, ...]
) -> None:
    result, verdicts = score(write(tmp_path, content), *options)
    assert result.exit_code == 1 and len(verdicts) == content.count("\n") - 1
    assert all(verdict.status == "unscored" and verdict.reason for verdict in verdicts)
    assert "0 scored" in result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "one.png",
        "file://{folder}/one.png",
        "file://localhost{folder}/one.png",
        "sub\\two.png",
        ".\\sub\\two.png",
        " one.png ",
        "{folder}/one.png",
    ],
)
def test_paths_are_found_however_they_are_written(images: list[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "two.png").rename(tmp_path / "sub" / "two.png")
    path = name.format(folder=tmp_path)
    table = write(tmp_path, f"{HEADER}1,{path},a cat\n")
    lines = write(tmp_path, json.dumps({"id": 1, "image": path, "prompt": "a cat"}), "rows.jsonl")
    for rows in (table, lines):
        result, (verdict,) = score(rows)
        assert result.exit_code == 0 and verdict.status == "scored", verdict.reason


def test_a_path_with_spaces_and_percent_signs_in_a_file_url(images: list[str], tmp_path: Path) -> None:
    (tmp_path / "one.png").rename(tmp_path / "a 100% cat.png")
    rows = write(tmp_path, f"{HEADER}1,file://{tmp_path}/a%20100%25%20cat.png,a cat\n")
    assert score(rows)[0].exit_code == 0


def test_web_addresses_are_not_taken_for_files(tmp_path: Path) -> None:
    rows = write(tmp_path, f"{HEADER}1,https://example.org/a.png,a cat\n2,s3://set/a.png,a cat\n")
    result, verdicts = score(rows)
    assert result.exit_code == 1 and all("download it first" in verdict.reason for verdict in verdicts)


def test_what_is_not_used_of_a_file_is_counted_and_said(images: list[str], tmp_path: Path) -> None:
    rows = write(tmp_path, "id;image;prompt;MOS;seed\n1;one.png;a cat;3.1;\n2;one.png;a dog;2,5;7\n")
    result, verdicts = score(rows)
    assert result.exit_code == 0 and len(verdicts) == 2
    assert "not used: MOS (2 rows), seed (1 rows)" in result.stderr
    lines = write(tmp_path, '{"image": "one.png", "prompt": "a cat", "note": "x"}\n', "rows.jsonl")
    assert "not used: note (1 rows)" in score(lines)[0].stderr


def test_ranking_reads_the_same_tables(images: list[str], tmp_path: Path) -> None:
    rows = write(tmp_path, "ID;Image;Prompt\n1;one.png;a cat, a dog\n2;two.png;a cat, a dog\n")
    result = run("rank", str(rows), "--json")
    assert {place["name"] for place in json.loads(result.stdout)["places"]} == {"1", "2"}
    assert_error(run("rank", str(write(tmp_path, f'{HEADER}1,one.png,"open\n'))), "rows", "line 2")
    short = write(tmp_path, f"{HEADER}1,one.png,a cat\n2,two.png\n3,two.png,a cat\n")
    assert_error(run("rank", str(short)), "data", "line 3")
