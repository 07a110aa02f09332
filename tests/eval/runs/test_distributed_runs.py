"""Runs whose rows are judged by workers: they leave the folder of a run in one process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from recorded_runs import ROWS, copy_run, cut_results, judge_plan, read_results, steady_judge
from small_suite import BATCH, SMALL

from eval.runs.distributed import run_plan_on_workers
from eval.runs.plan import Plan, RunProgress
from judge.batch.scoring import LocalWorker
from judge.errors import InputError


def judge_with_workers(plan: Plan, out: Path, workers: Any = None) -> RunProgress:
    workers = workers or LocalWorker(steady_judge(), plan.depth, BATCH)
    return run_plan_on_workers(replace(plan, batch=BATCH), out, steady_judge(), workers)


def test_a_run_with_workers_leaves_the_folder_of_a_run_in_one_process(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    progress = judge_with_workers(Plan(SMALL, data), out)
    assert (progress.done, progress.total) == (ROWS, ROWS)
    assert read_results(out) == read_results(complete_run)
    manifest, expected = (json.loads((run / "manifest.json").read_text()) for run in (out, complete_run))
    assert {**manifest, "begun": ""} == {**expected, "begun": ""}
    assert {path.name for path in out.iterdir()} == {path.name for path in complete_run.iterdir()}
    assert judge_with_workers(Plan(SMALL, data), out).resumed == ROWS, "a complete run is not judged again"


def test_an_interrupted_run_with_workers_is_resumed(data: Path, complete_run: Path, tmp_path: Path) -> None:
    judged: list[str] = []

    def workers_until(units: int) -> Callable[..., Iterator[Any]]:
        """Return workers that are interrupted after some units of rows."""

        def workers(source: Any, done: Any) -> Iterator[Any]:
            for number, unit in enumerate(LocalWorker(steady_judge(), "verdict", BATCH)(source, done)):
                if number == units:
                    raise KeyboardInterrupt
                judged.extend(json.loads(line)["id"] for line in unit.lines)
                yield unit

        return workers

    for units in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            judge_with_workers(Plan(SMALL, data), tmp_path / "run", workers_until(units))
    judge_with_workers(Plan(SMALL, data), tmp_path / "run", workers_until(1000))
    assert read_results(tmp_path / "run") == read_results(complete_run)
    assert len(judged) == len(set(judged)) == ROWS


def test_a_run_is_only_resumed_in_the_way_it_was_begun(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    def interrupted_workers(source: Any, done: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_with_workers(Plan(SMALL, data), tmp_path / "distributed", interrupted_workers)
    with pytest.raises(InputError, match="begun with --ray"):
        judge_plan(Plan(SMALL, data), tmp_path / "distributed")
    local = copy_run(complete_run, tmp_path / "local")
    cut_results(local, Random(0))
    with pytest.raises(InputError, match="begun without --ray"):
        judge_with_workers(Plan(SMALL, data), local)
