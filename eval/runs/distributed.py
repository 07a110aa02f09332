"""Judging a suite with workers elsewhere; see `eval.runs.run` for what a RUN folder is."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from eval.runs.manifest import PARTS, begin, now, of_verdict, write, writing
from eval.runs.plan import Judging, Plan, Tally
from eval.runs.records import MANIFEST, RESULTS, Manifest
from eval.runs.run import alone, make_folder, pass_over
from judge.batch import scoring as bulk
from judge.batch.results import Recorded
from judge.errors import InputError
from judge.types import Sample

PIECES = 32
"""Stretches of rows that workers take, at most."""


def run_apart(
    plan: Plan,
    out: Path,
    judge: Judging,
    judging: bulk.Judging,
    *,
    tick: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """As `run`, with workers elsewhere: their verdicts are kept in RUN/parts as `judge score` keeps them, in
    the order in which they come, and joined once all are there.

    Args:
        judging: the workers, for example `judge.batch.ray_workers.Fleet`, whose `batch` is the plan's.
        judge: what they run; its model is not loaded here.

    Raises:
        InputError: as `run`.
        JudgeError: the model cannot be loaded, or workers were lost again and again.
    """
    make_folder(out)
    with alone(out):
        asked, known, tally = begin(plan, out, judge)
        parts = out / PARTS
        if known is not None:
            pass_over(plan.items(), out, tally, plan.batch)
            if tally.done < tally.total:
                mend = "it was begun without --ray: go on so"
                raise InputError("out", str(out), "a run of a cluster", mend)
            shutil.rmtree(parts, ignore_errors=True)
            return tally

        def told(far: bulk.Tally) -> None:
            tally.before, tally.done, tally.unscored = far.before, far.done, far.unscored
            tick(tally)

        # Workers stand in another folder than this process.
        data = plan.data.absolute() if plan.data.exists() else plan.data
        source = Pieces(replace(plan, data=data), tally.total)
        bulk.score(source, str(parts), judging, asked, total=tally.total, tick=told)
        _join(parts, out, asked)
    return tally


@dataclass(frozen=True)
class Pieces:
    """A plan's items as rows that workers read for themselves: stretches of whole batches."""

    plan: Plan
    total: int

    @property
    def size(self) -> int:
        """Rows of a piece; the last one may have fewer."""
        return max(1, -(-self.total // (PIECES * self.plan.batch))) * self.plan.batch

    @property
    def pieces(self) -> tuple[str, ...]:
        starts = range(0, self.total, self.size)
        return tuple(f"rows {at + 1} to {min(at + self.size, self.total)}" for at in starts)

    def read(self, piece: int) -> Iterator[Sample]:
        start = piece * self.size
        return (item.asked() for item in islice(self.plan.items(), start, start + self.size))

    def fetch(self, row: Sample) -> Sample:
        return row


def _join(parts: Path, out: Path, asked: Manifest) -> None:
    """RUN as one process would have left it. Its manifest comes last: without it, it is joined anew."""
    draft, loaded = out / f".{RESULTS}.part", Manifest()
    with writing(out), draft.open("w", encoding="utf-8") as file:
        for line in Recorded(str(parts)).in_order():
            loaded = loaded or of_verdict(json.loads(line)["provenance"])
            file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(out / RESULTS)
    begun = {"begun": now((parts / MANIFEST).stat().st_mtime), "made_on": platform.platform()}
    write(out, asked | loaded | begun)
    shutil.rmtree(parts)
