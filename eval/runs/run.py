"""Judging a suite, so that nothing is lost: `run` may be killed at any byte and started again.

A RUN folder holds `manifest.json` (what was asked of which model), `results.jsonl` (see `eval.runs.records`) and
`lock`. Every verdict is appended by one write of one whole line, so whoever kills the process loses at most
the line being written; a torn last line is cut off when the run goes on. The file is synced to the disk every
five seconds and at the end: a machine that loses power loses at most what was judged since.
The last digits of a model's numbers depend on which rows it judges together. So a run that goes on within a
batch shows the model the whole batch again and records only the verdicts that were missing: every row is
judged in the company that it would have had undisturbed, and is recorded once.
Two processes never write one RUN: the first holds a lock that the system drops with the process, however it
ends.
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

from eval.runs.manifest import PARTS, begin, check, now, of_model, write, writing
from eval.runs.plan import Judging, Plan, Tally
from eval.runs.records import MANIFEST, RESULTS, check_same, lines
from eval.suites.base import Item
from judge.errors import InputError, JudgeError
from judge.types import Verdict

LOCK = "lock"
SYNC = 5.0
"""Seconds between two syncs of the results to the disk."""
ALIKE = 50
"""A run stops after so many unscored verdicts in a row with one and the same reason: its model is broken."""


def run(
    plan: Plan,
    out: Path,
    judge: Judging,
    *,
    stop_alike: int | None = ALIKE,
    tick: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Judge what of the plan is not judged yet.

    Args:
        plan: what is judged.
        out: the RUN folder; made when it is not there.
        judge: the judge, its model not necessarily loaded.
        stop_alike: see `ALIKE`; None never stops.
        tick: called when the data is known, and after every verdict.

    Raises:
        InputError: the data cannot be read, `out` is another run's, or another process writes it.
        BackendError: the model cannot be loaded.
        JudgeError: `stop_alike` verdicts in a row failed alike; they are not recorded.
    """
    make_folder(out)
    with alone(out):
        asked, known, tally = begin(plan, out, judge)
        if known is None and (out / PARTS).is_dir():
            raise InputError("out", str(out), "a run of one process", "it was begun with --ray: go on so")
        todo = plan.items()
        again = pass_over(todo, out, tally, plan.batch)
        tick(tally)
        if tally.done == tally.total:
            return tally
        loaded = of_model(judge)
        if known is None:
            write(out, asked | loaded | {"begun": now(), "made_on": platform.platform()})
        else:
            check(known, loaded, out)
        samples = (item.asked() for item in chain(again, todo))
        verdicts = judge.many(samples, depth=plan.depth, batch=plan.batch)
        with _appending(out / RESULTS) as append:
            for verdict in _unless_broken(islice(verdicts, len(again), None), stop_alike):
                append(verdict.model_dump_json().encode() + b"\n")
                tally.done += 1
                tally.unscored += verdict.status == "unscored"
                tick(tally)
    return tally


# -------------------------------------------------------------------------------------------- the results


def pass_over(todo: Iterator[Item], out: Path, tally: Tally, batch: int) -> list[Item]:
    """Take the items that are judged already from `todo`, and repair the end of the results.

    A last line that only lacks its end gets it; whatever else is torn is cut off, and judged again.

    Returns:
        Those of them that were judged in one batch with the next item of `todo`.
    """
    path, end = out / RESULTS, 0
    latest: deque[Item] = deque(maxlen=batch)
    if not path.exists():
        return []

    def passed(offset: int) -> None:
        nonlocal end
        end = offset

    def take(verdict: Mapping[str, Any]) -> None:
        item = next(todo, None)
        if item is None:
            mend = "the results are longer than the data: judge again into another folder"
            raise InputError(str(path), verdict.get("id"), f"{tally.total} lines", mend)
        check_same(item, verdict, out, tally.done + 1)
        latest.append(item)
        tally.done += 1
        tally.unscored += verdict["status"] == "unscored"

    with path.open("rb") as file:
        for verdict in lines(file, path, passed):
            take(verdict)
        file.seek(end)
        rest = file.read()
    if rest:
        tally.repaired = True
        last = _parsed(rest)
        with writing(out):
            if last is None:
                os.truncate(path, end)
            else:
                take(last)
                with path.open("ab") as longer:
                    longer.write(b"\n")
    tally.before = tally.done
    begun = tally.done % batch
    return list(latest)[len(latest) - begun :]


def _parsed(rest: bytes) -> dict[str, Any] | None:
    """The verdict in a last line without its end; None when some of it is missing."""
    try:
        verdict = json.loads(rest)
    except ValueError:
        return None
    return verdict if isinstance(verdict, dict) and "status" in verdict and b"\n" not in rest else None


def _unless_broken(verdicts: Iterator[Verdict], most: int | None) -> Iterator[Verdict]:
    """The verdicts; those that fail alike are held back until one differs, and `most` of them end the run.

    A server that has gone away fails every row the same way. Recorded, such rows would never be judged again.
    """
    held: list[Verdict] = []
    for verdict in verdicts:
        if held and (verdict.status == "scored" or verdict.reason != held[0].reason):
            yield from held
            held = []
        if verdict.status == "scored" or most is None:
            yield verdict
            continue
        held.append(verdict)
        if len(held) >= most:
            raise JudgeError(
                f"run: the last {most} rows all failed alike and were not recorded: {held[0].reason}; "
                "mend it and give the same command again, or record such rows with --keep-going"
            )
    yield from held


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[bytes], None]]:
    with writing(path.parent):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    synced = time.monotonic()

    def append(line: bytes) -> None:
        nonlocal synced
        with writing(path.parent):
            while line:  # one write, unless the disk is full or the system splits it
                line = line[os.write(file, line) :]
            if time.monotonic() - synced > SYNC:
                os.fsync(file)
                synced = time.monotonic()

    try:
        yield append
    finally:
        with writing(path.parent):
            os.fsync(file)
        os.close(file)


def make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "a folder", "name a folder, or one that does not exist yet")
    if out.is_dir() and not (out / MANIFEST).exists() and not _is_free(out):
        mend = f"it holds other files and no {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, an empty one, or one that does not exist", mend)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)


def _is_free(out: Path) -> bool:
    """Whether a folder without a manifest holds nothing, or what workers have left there."""
    names = {file.name for file in out.iterdir()} - {LOCK}
    return not names or PARTS in names


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Nobody else writes this RUN. The system drops the lock with the process, even one killed with -9.

    A record lock, not flock: a child that the model's engine forks would inherit that one, and go on holding
    it when its parent was killed.
    """
    import fcntl

    with writing(out):
        file = (out / LOCK).open("a+", encoding="ascii")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).strip()
            who = f"process {holder} is writing it" if holder.isdigit() else "another process is writing it"
            raise InputError(
                "out", str(out), "a RUN that no other process writes", f"{who}: wait, or name another folder"
            ) from None
        with writing(out):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield
