"""`judge score`: one verdict per row, in order; bad rows, bad files and interrupted runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_error, run
from random_backend import RandomBackend

from judge.types import Verdict

pytestmark = pytest.mark.usefixtures("scripted")


def write_rows(tmp_path: Path, lines: list[Any], name: str = "rows.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def read_verdicts(path: Path) -> list[Verdict]:
    return [Verdict.model_validate_json(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("depth", ["score", "verdict"])
def test_verdicts_keep_the_order_and_ids_of_the_rows_and_bad_rows_are_unscored(
    images: list[str], tmp_path: Path, depth: str
) -> None:
    rows = write_rows(
        tmp_path,
        [
            {"id": "a", "image": "one.png", "prompt": "a cat", "labels": {"score": 3}, "other": 1},
            {"id": 2, "image": images[1], "prompt": "a dog and a cat", "elements": ["dog"]},
            {"id": "c", "image": "missing.png", "prompt": "a cat"},
            "{not json",
            "",
            "[1]",
            {"id": "g", "prompt": "a cat"},
            {"id": "h", "image": "one.png", "prompt": "a cat", "elements": ["x", "x"]},
            {"id": "i", "image": "one.png", "prompt": "a cat", "elements": "cat; sky"},
            {"id": "j", "image": 5, "prompt": "a cat"},
            {"id": ["k"], "image": "one.png", "prompt": "a cat"},
            {"id": "l \ud800", "image": "one.png", "prompt": "a \ud800"},
            {"image": "two.png", "prompt": "ein schöner Baum", "elements": None},
        ],
    )
    out = tmp_path / "deep" / "out.jsonl"
    result = run("score", str(rows), "--out", str(out), "--depth", depth)
    assert result.exit_code == 0, result.output
    verdicts = read_verdicts(out)
    assert [v.id for v in verdicts] == ["a", "2", "c", "", "", "g", "h", "i", "j", "", "l ?", ""]
    scored = [v.status == "scored" for v in verdicts]
    assert scored == [True, True, False, False, False, False, False, True, False, False, False, True]
    assert [e.name for e in verdicts[1].elements] == ["dog"]
    assert [e.name for e in verdicts[7].elements] == ["cat", "sky"]
    assert "line 4" in verdicts[3].reason
    assert all(v.reason and v.score is None for v in verdicts if v.status == "unscored")
    assert all(v.provenance.depth == depth for v in verdicts)
    assert "12 rows, 4 scored, 8 unscored" in result.stderr
    assert not list(out.parent.glob("*.part"))


@pytest.mark.usefixtures("images")
def test_csv_rows_are_read(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "prompt", "elements", "mos"])
        writer.writerow(["a", "one.png", "a cat, a dog", "", "3.1"])
        writer.writerow(["b", "two.png", "a cat", "cat; big sky", "2"])
        writer.writerow(["c", "two.png", "a cat", '["one, two"]', "2"])
    assert run("score", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    names = [[e.name for e in v.elements] for v in read_verdicts(tmp_path / "o.jsonl")]
    assert names == [["cat", "dog"], ["cat", "big sky"], ["one, two"]]


@pytest.mark.usefixtures("images")
def test_an_interrupted_run_keeps_the_old_file_and_leaves_no_partial_one(
    tmp_path: Path, scripted: dict[str, Any]
) -> None:
    class Interrupted(RandomBackend):
        def complete(self, requests: Any) -> Any:
            raise KeyboardInterrupt

    scripted["backend"] = Interrupted()
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    rows = write_rows(tmp_path, [{"id": "a", "image": "one.png", "prompt": "a cat"}])
    assert run("score", str(rows), "--out", str(out)).exit_code != 0
    assert out.read_text() == "old"
    assert not list(tmp_path.glob(".*part"))


def test_files_that_cannot_be_read_or_written_are_rejected(tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    rows = write_rows(tmp_path, [])
    assert_error(run("score", str(tmp_path / "none.jsonl"), "--out", out), "rows", "No such file")
    assert_error(run("score", str(tmp_path), "--out", out), "rows")
    assert_error(run("score", str(rows), "--out", str(rows)), "out")
    assert_error(run("score", str(rows), "--out", str(tmp_path)), "out", "folder")
    assert_error(run("score", str(rows), "--out", str(rows / "x.jsonl")), "out")
    assert_error(run("score", str(rows), "--out", out, "--batch", "0"), "batch")
    assert not Path(out).exists()


def test_an_empty_file_gives_an_empty_file(tmp_path: Path) -> None:
    assert run("score", str(write_rows(tmp_path, [])), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    assert (tmp_path / "o.jsonl").read_text() == ""


def test_drawn_scenes_can_be_scored(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    assert run("scenes", str(folder), "--count", "3", "--seed", "5").exit_code == 0
    assert run("score", str(folder / "rows.jsonl"), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    assert [v.status for v in read_verdicts(tmp_path / "o.jsonl")] == ["scored"] * 3
