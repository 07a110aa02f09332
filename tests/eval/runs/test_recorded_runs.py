"""Reading runs back: shards are joined, and rows without a verdict are recognised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_runs import ROWS, copy_run, judge_plan, read_results
from small_suite import SMALL, write_suite

from eval.runs.plan import Plan
from eval.runs.records import load_runs
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError


def test_all_shards_together_are_the_run_without_shards(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / f"part-{i}" for i in (1, 2, 3)]
    for i, folder in enumerate(folders, 1):
        judge_plan(Plan(SMALL, data, shard=(i, 3)), folder)
    (run,) = load_runs([folders[2], folders[0], folders[1]])
    rows = list(run.judged_rows())
    assert [row.sample.id for row in rows] == [f"row-{n}" for n in range(ROWS)]
    scores = [verdict["score"] for verdict in read_results(complete_run)]
    assert [row.verdict["score"] for row in rows] == scores
    assert sum(len(read_results(folder)) for folder in folders) == ROWS
    with pytest.raises(InputError, match="2 of 3"):
        load_runs([folders[0], folders[2]])
    with pytest.raises(InputError, match="twice"):
        load_runs([folders[0], folders[0], folders[1], folders[2]])


def test_rows_that_are_not_judged_yet_have_no_verdict(complete_run: Path, tmp_path: Path) -> None:
    out = copy_run(complete_run, tmp_path / "run")
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(b"".join(content.splitlines(keepends=True)[:5]) + content[:33])
    (run,) = load_runs([out])
    assert [isinstance(row, JudgedSample) for row in run.rows()] == [n < 5 for n in range(ROWS)]


def test_a_run_cannot_be_read_with_other_data(complete_run: Path, tmp_path: Path) -> None:
    other = write_suite(tmp_path / "data", ROWS)
    rows = json.loads((other / "labels.json").read_text())
    (other / "labels.json").write_text(json.dumps([rows[1], rows[0], *rows[2:]]))
    with pytest.raises(InputError, match="line 1"):
        list(load_runs([complete_run], other)[0].rows())


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_runs([tmp_path / "nothing"])
    with pytest.raises(InputError, match="manifest.json"):
        load_runs([tmp_path])
