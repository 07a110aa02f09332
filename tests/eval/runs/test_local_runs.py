"""Runs in one process: what they record, how they are resumed, and when they refuse to run."""

from __future__ import annotations

import json
import multiprocessing
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from recorded_runs import (
    ROWS,
    copy_run,
    count_unreadable,
    cut_results,
    judge_plan,
    read_results,
    steady_judge,
)
from small_suite import BATCH, BROKEN_EVERY, SMALL, DeterministicFiller, judge_in_child, write_suite

from eval.runs.local import run_plan
from eval.runs.plan import Plan
from eval.runs.records import RecordedRun
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.suite import Suite
from judge.backends.scripted import Scripted
from judge.errors import BackendError, InputError, JudgeError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.types import Provenance, Sample, Verdict

PATIENCE = 120.0
"""Seconds after which a child process that makes no progress fails the test."""


# -- What is recorded ----------------------------------------------------------------------------------


def test_a_run_records_one_verdict_for_each_row_in_order(complete_run: Path) -> None:
    assert [verdict["id"] for verdict in read_results(complete_run)] == [f"row-{n}" for n in range(ROWS)]
    for line in (complete_run / "results.jsonl").read_text().splitlines():
        Verdict.model_validate_json(line)


def test_a_row_with_an_unreadable_image_is_unscored_and_does_not_end_the_run(complete_run: Path) -> None:
    unscored = [verdict for verdict in read_results(complete_run) if verdict["status"] == "unscored"]
    assert [verdict["id"] for verdict in unscored] == [f"row-{n}" for n in range(3, ROWS, BROKEN_EVERY)]
    assert all("image" in verdict["reason"] for verdict in unscored)


def test_the_manifest_records_the_settings_and_the_model(complete_run: Path) -> None:
    manifest = json.loads((complete_run / "manifest.json").read_text())
    assert manifest["suite"] == "small" and manifest["seed"] == 0 and manifest["depth"] == "verdict"
    assert manifest["rubric"] == {"name": "default", "hash": Rubric.load("default").hash}
    assert manifest["loaded"]["model"] == "random" and manifest["loaded"]["backend"] == "random"
    assert manifest["versions"]["judge"] and manifest["data"]["fingerprint"]


def test_the_judge_gets_no_labels(data: Path, tmp_path: Path) -> None:
    samples: list[Sample] = []

    class RecordingJudge(Judge):
        def many(self, rows: Iterable[Any], **options: Any) -> Iterator[Verdict]:
            return super().many((samples.append(row) or row for row in rows), **options)  # type: ignore[func-returns-value]

    run_plan(Plan(SMALL, data, limit=3), tmp_path / "run", RecordingJudge(backend=DeterministicFiller()))
    assert [type(sample) for sample in samples] == [Sample] * 3
    assert samples[0].elements == ["thing 0", "colour 0"]


# -- Interrupted runs ----------------------------------------------------------------------------------


def test_a_run_that_is_killed_twenty_times_has_the_same_results(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    out, random, kills = tmp_path / "run", Random(5), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_suite"])
    while kills < 20:
        child = context.Process(target=judge_in_child, args=(data, out, 0.004))
        child.start()
        wait_for(lambda: results_size(out) > 0, child)
        goal = results_size(out) + random.randrange(1, 9000)
        wait_for(lambda goal=goal: results_size(out) >= goal, child)
        time.sleep(random.random() * 0.01)
        if not child.is_alive():
            child.join()
            cut_results(out, random)  # it was done before it was killed: let the next one do a part again
            continue
        child.kill()
        child.join()
        kills += 1
    progress = judge_plan(Plan(SMALL, data), out)
    assert progress.total == progress.done == ROWS
    assert read_results(out) == read_results(complete_run)


def results_size(out: Path) -> int:
    path = out / "results.jsonl"
    return path.stat().st_size if path.exists() else 0


def wait_for(condition: Callable[[], bool], child: Any) -> None:
    """Wait until a condition holds or the child process has ended."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and child.is_alive():
        assert time.monotonic() < deadline, "the child process makes no progress"
        time.sleep(0.001)


def test_a_run_that_was_cut_off_at_any_byte_is_resumed_with_the_same_results(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    content = (complete_run / "results.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    out = copy_run(complete_run, tmp_path / "run")
    in_last_line = [len(content) - len(lines[-1]) + n for n in range(-3, len(lines[-1]) + 1, 61)]
    in_other_lines = [sum(map(len, lines[:n])) + 99 for n in range(1, ROWS, 3)]
    for end in [0, 1, *in_other_lines, *in_last_line, len(content) - 2, len(content) - 1]:
        (out / "results.jsonl").write_bytes(content[:end])
        backend = DeterministicFiller()
        progress = judge_plan(Plan(SMALL, data), out, Judge(backend=backend))
        assert read_results(out) == read_results(complete_run)
        start = progress.resumed - progress.resumed % BATCH  # the interrupted batch is judged as a whole
        expected = 0 if progress.resumed == ROWS else ROWS - start - count_unreadable(start)
        assert len(backend.requests) == expected


def test_with_batches_of_one_row_no_row_is_judged_twice(data: Path, tmp_path: Path) -> None:
    out, first, second = tmp_path / "run", DeterministicFiller(), DeterministicFiller()
    run_plan(Plan(SMALL, data, batch=1), out, Judge(backend=first))
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:50])
    run_plan(Plan(SMALL, data, batch=1), out, Judge(backend=second))
    assert len(second.requests) == ROWS - 17 - count_unreadable(17)
    assert (out / "results.jsonl").read_bytes().count(b"\n") == ROWS


def test_a_last_line_that_only_lacks_its_newline_is_kept(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    out = copy_run(complete_run, tmp_path / "run")
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(content[:-1])
    progress = judge_plan(Plan(SMALL, data), out)
    assert progress.resumed == ROWS and progress.repaired
    assert (out / "results.jsonl").read_bytes() == content


def test_zeros_at_the_end_of_the_results_after_a_power_failure_are_removed(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    out = copy_run(complete_run, tmp_path / "run")
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:-1]) + b"\0" * 700 + b"\n")
    assert judge_plan(Plan(SMALL, data), out).resumed == ROWS - 1
    assert read_results(out) == read_results(complete_run)


def test_a_damaged_line_in_the_middle_is_an_error_and_nothing_is_overwritten(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    out = copy_run(complete_run, tmp_path / "run")
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:4], b"{oops}\n", *lines[5:]])
    (out / "results.jsonl").write_bytes(damaged)
    with pytest.raises(InputError, match="results.jsonl line 5"):
        judge_plan(Plan(SMALL, data), out)
    assert (out / "results.jsonl").read_bytes() == damaged


def test_a_complete_run_loads_no_model(data: Path, complete_run: Path) -> None:
    class JudgeWithoutModel(Judge):
        @property
        def backend(self) -> Any:
            raise BackendError("no such model")

    assert (
        judge_plan(Plan(SMALL, data), complete_run, JudgeWithoutModel(backend=DeterministicFiller())).done
        == ROWS
    )


# -- One process and one plan for each folder ----------------------------------------------------------


def test_a_second_process_is_refused_and_a_killed_process_leaves_no_lock(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=judge_in_child, args=(data, out, 5.0))
    child.start()
    try:
        wait_for(lambda: (out / "manifest.json").exists(), child)
        with pytest.raises(InputError, match=f"process {child.pid} is writing it"):
            judge_plan(Plan(SMALL, data), out)
    finally:
        child.kill()
        child.join()
    assert judge_plan(Plan(SMALL, data), out).done == ROWS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: replace(plan, limit=7), "limit was nothing and is now 7"),
        (lambda plan: replace(plan, shard=(1, 2)), "shard was 1/1 and is now 1/2"),
        (lambda plan: replace(plan, depth="score"), "depth was verdict and is now score"),
    ],
)
def test_a_different_plan_in_the_same_folder_is_refused(
    data: Path, complete_run: Path, change: Callable[[Plan], Plan], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        judge_plan(change(Plan(SMALL, data)), complete_run)


def test_a_different_judge_in_the_same_folder_is_refused(
    data: Path, complete_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="seed was 0 and is now 3"):
        judge_plan(Plan(SMALL, data), complete_run, Judge(backend=DeterministicFiller(), seed=3))
    with pytest.raises(InputError, match="rubric.name was default and is now quality"):
        judge_plan(Plan(SMALL, data), complete_run, Judge(backend=DeterministicFiller(), rubric="quality"))
    with pytest.raises(InputError, match="batch was 5 and is now 6"):
        run_plan(Plan(SMALL, data, batch=6), complete_run, steady_judge())
    with pytest.raises(InputError, match="model was embedded and is now other"):
        judge_plan(Plan(SMALL, data), complete_run, Judge("other", backend=DeterministicFiller()))
    # The key `loaded` of the manifest is compared as soon as the model is loaded.
    out = copy_run(complete_run, tmp_path / "run")
    (out / "results.jsonl").write_text("")
    backend = DeterministicFiller()
    backend.revision = "abc"
    with pytest.raises(InputError, match="loaded.revision was .* and is now abc"):
        judge_plan(Plan(SMALL, data), out, Judge(backend=backend))


def test_changed_data_is_refused(complete_run: Path, tmp_path: Path) -> None:
    other = write_suite(tmp_path / "data", ROWS, seed=1)
    with pytest.raises(InputError, match="data.fingerprint was"):
        judge_plan(Plan(SMALL, other), complete_run)


def test_data_that_was_moved_is_the_same_data(complete_run: Path, tmp_path: Path) -> None:
    moved = write_suite(tmp_path / "moved", ROWS)
    assert judge_plan(Plan(SMALL, moved), complete_run).done == ROWS


def test_a_folder_with_other_files_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match="other files"):
        run_plan(Plan(SMALL, data), data, steady_judge())


def test_a_run_stops_when_all_rows_fail_for_the_same_reason(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    failures = [BackendError("connection refused")] * 400
    plan = Plan(without_unreadable_rows(), data)
    with pytest.raises(JudgeError, match="connection refused"):
        run_plan(plan, out, Judge(backend=Scripted(failures)), max_equal_failures=10)
    assert results_size(out) == 0
    progress = run_plan(plan, out, Judge(backend=Scripted(failures)), max_equal_failures=None)
    assert progress.unscored == progress.total


def without_unreadable_rows() -> Suite:
    def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
        return (item for n, item in enumerate(SMALL.read(data, media=media)) if n % BROKEN_EVERY != 3)

    return replace(SMALL, read=read)


# -- Memory --------------------------------------------------------------------------------------------


class InstantJudge:
    """A judge that takes no time and no memory, so that only the memory of the run itself is measured."""

    model, adapter, seed, rubric, backend = "quick", None, 0, Rubric.load("default"), DeterministicFiller()
    max_defects, max_pixels = None, 1

    def many(self, samples: Iterable[Sample], **_: Any) -> Iterator[Verdict]:
        provenance = Provenance(model="quick", backend="none", rubric="default", rubric_hash="0",
                                depth="verdict", version="0", milliseconds=0)  # fmt: skip
        for sample in samples:
            yield Verdict(id=sample.id, status="scored", score=3, distribution=[0, 0, 1, 0, 0],
                          explanation="x" * 500, provenance=provenance)  # fmt: skip


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    def measure_peak(count: int) -> int:
        def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
            return (SuiteSample(id=str(n), prompt="a cat") for n in range(count))

        plan, out = Plan(replace(SMALL, read=read), tmp_path), tmp_path / str(count)
        tracemalloc.start()
        try:
            run_plan(plan, out, InstantJudge())
            run_plan(plan, out, InstantJudge())  # resumes the complete run
            manifest = json.loads((out / "manifest.json").read_text())
            assert sum(1 for _ in RecordedRun((out,), manifest, plan.suite, tmp_path).rows()) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    measure_peak(10)  # what is loaded only once
    small, large = measure_peak(200), measure_peak(4000)
    assert large < small + 200_000, f"{small} bytes for 200 rows, {large} for 4000"
