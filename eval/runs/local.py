"""Run a plan in this process. A run may be killed at any moment and resumed with the same call.

Each verdict is appended to `results.jsonl` as one line by one write call. A process that is killed loses at
most the line it was writing; an incomplete last line is removed when the run is resumed. The file is synced
to the disk every `SYNC_SECONDS` seconds and at the end, so a power failure loses at most the verdicts since
then.

The last digits of a model's numbers depend on which rows are in the same batch. A run that is resumed
within a batch therefore judges the whole batch again and records only the missing verdicts: every row is
judged in the batch it has in an undisturbed run, and is recorded once.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from eval.runs.manifest import (
    check_same_run,
    describe_loaded_model,
    prepare_manifest,
    utc_timestamp,
    write_manifest,
)
from eval.runs.plan import JudgeLike, Plan, RunProgress
from eval.runs.records import check_same_id, read_verdicts
from eval.runs.run_folder import PARTS, RESULTS, create_run_folder, lock_run_folder, write_errors
from eval.suites.shared.samples import SuiteSample
from judge.errors import InputError, JudgeError
from judge.types import Verdict

SYNC_SECONDS = 5.0
"""Seconds between two syncs of the results to the disk."""
MAX_EQUAL_FAILURES = 50
"""A run stops after this many unscored verdicts in a row with the same reason: its model does not work."""


def run_plan(
    plan: Plan,
    out: Path,
    judge: JudgeLike,
    *,
    max_equal_failures: int | None = MAX_EQUAL_FAILURES,
    tick: Callable[[RunProgress], None] = lambda progress: None,
) -> RunProgress:
    """Judge the rows of a plan that are not judged yet.

    Args:
        plan: what is judged.
        out: the RUN folder; created if it does not exist.
        judge: the judge. Its model is loaded here unless all rows are judged already.
        max_equal_failures: see `MAX_EQUAL_FAILURES`; None: never stop.
        tick: called with the progress when the data is read, and after each verdict.

    Raises:
        InputError: the data cannot be read, `out` holds another run, or another process writes it.
        BackendError: the model cannot be loaded.
        JudgeError: `max_equal_failures` verdicts in a row failed with the same reason; they are not recorded.
    """
    create_run_folder(out)
    with lock_run_folder(out):
        manifest, existing, progress = prepare_manifest(plan, out, judge)
        if existing is None and (out / PARTS).is_dir():
            mend = "it was begun with --ray: resume it with --ray"
            raise InputError("out", str(out), "a run of one process", mend)
        remaining = plan.samples()
        repeated = skip_judged_samples(remaining, out, progress, plan.batch)
        tick(progress)
        if progress.done == progress.total:
            return progress
        loaded = describe_loaded_model(judge)
        if existing is None:
            start = {"begun": utc_timestamp(), "made_on": platform.platform()}
            write_manifest(out, manifest | loaded | start)
        else:
            check_same_run(existing, loaded, out)
        samples = (sample.to_sample() for sample in chain(repeated, remaining))
        verdicts = judge.many(samples, depth=plan.depth, batch=plan.batch)
        with _open_for_append(out / RESULTS) as append:
            for verdict in _stop_when_broken(islice(verdicts, len(repeated), None), max_equal_failures):
                append(verdict.model_dump_json().encode() + b"\n")
                progress.done += 1
                progress.unscored += verdict.status == "unscored"
                progress.abstained += verdict.abstained
                tick(progress)
    return progress


def skip_judged_samples(
    samples: Iterator[SuiteSample], out: Path, progress: RunProgress, batch: int
) -> list[SuiteSample]:
    """Consume the samples that are judged already, and repair the end of the results.

    A last line that only lacks its newline gets one. Any other incomplete last line is removed, and its row
    is judged again.

    Args:
        samples: samples of the plan; advanced to the first one without a verdict.
        out: the RUN folder.
        progress: updated.
        batch: number of samples in a batch.

    Returns:
        The judged samples that are in the same batch as the next sample.

    Raises:
        InputError: the results are damaged, do not belong to the data, or cannot be written.
    """
    path, end = out / RESULTS, 0
    latest: deque[SuiteSample] = deque(maxlen=batch)
    if not path.exists():
        return []

    def set_end(offset: int) -> None:
        nonlocal end
        end = offset

    def skip(verdict: Mapping[str, Any]) -> None:
        sample = next(samples, None)
        if sample is None:
            mend = "the results are longer than the data: judge again into another folder"
            raise InputError(str(path), verdict.get("id"), f"{progress.total} lines", mend)
        check_same_id(sample, verdict, out, progress.done + 1)
        latest.append(sample)
        progress.done += 1
        progress.unscored += verdict["status"] == "unscored"
        progress.abstained += verdict["status"] == "unscored" and verdict.get("out_of_domain", False)

    with path.open("rb") as file:
        for verdict in read_verdicts(file, path, set_end):
            skip(verdict)
        file.seek(end)
        rest = file.read()
    if rest:
        progress.repaired = True
        last = _parse_last_line(rest)
        with write_errors(out):
            if last is None:
                os.truncate(path, end)
            else:
                skip(last)
                with path.open("ab") as results:
                    results.write(b"\n")
    progress.resumed = progress.done
    count = progress.done % batch
    return list(latest)[len(latest) - count :]


def _parse_last_line(rest: bytes) -> dict[str, Any] | None:
    """Return the verdict in a last line without its newline; None if the line is incomplete."""
    try:
        verdict = json.loads(rest)
    except ValueError:
        return None
    return verdict if isinstance(verdict, dict) and "status" in verdict and b"\n" not in rest else None


def _stop_when_broken(verdicts: Iterator[Verdict], max_equal_failures: int | None) -> Iterator[Verdict]:
    """Yield the verdicts; raise after too many failures in a row with the same reason.

    Failures with the same reason are held back until another verdict comes. A server that is down fails every
    row with the same reason, and rows that are recorded are never judged again. A judge that abstains works.

    Raises:
        JudgeError: `max_equal_failures` verdicts in a row failed with the same reason.
    """
    held_back: list[Verdict] = []
    for verdict in verdicts:
        is_answer = verdict.status == "scored" or verdict.abstained
        if held_back and (is_answer or verdict.reason != held_back[0].reason):
            yield from held_back
            held_back = []
        if is_answer or max_equal_failures is None:
            yield verdict
            continue
        held_back.append(verdict)
        if len(held_back) >= max_equal_failures:
            raise JudgeError(
                f"run: the last {max_equal_failures} rows all failed for the same reason and were not "
                f"recorded: {held_back[0].reason}; fix it and run the same command again, or record "
                "such rows with --keep-going"
            )
    yield from held_back


@contextmanager
def _open_for_append(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Open the results and yield a function that appends a line to them."""
    with write_errors(path.parent):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    synced = time.monotonic()

    def append(line: bytes) -> None:
        nonlocal synced
        with write_errors(path.parent):
            while line:  # one write call, unless the disk is full or the system splits it
                line = line[os.write(file, line) :]
            if time.monotonic() - synced > SYNC_SECONDS:
                os.fsync(file)
                synced = time.monotonic()

    try:
        yield append
    finally:
        with write_errors(path.parent):
            os.fsync(file)
        os.close(file)
