"""Run a plan with workers in other processes, for example on Ray."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from eval.runs.atomic_file import open_atomic
from eval.runs.local import skip_judged_samples
from eval.runs.manifest import loaded_model_of_verdict, prepare_manifest, utc_timestamp, write_manifest
from eval.runs.plan import JudgeLike, Plan, RunProgress
from eval.runs.records import Manifest
from eval.runs.run_folder import MANIFEST, PARTS, RESULTS, create_run_folder, lock_run_folder, write_errors
from judge.batch.reader import ResultsReader
from judge.batch.scoring import BatchProgress, Workers, score_rows
from judge.errors import InputError
from judge.types import Sample

MAX_PIECES = 32
"""Largest number of pieces that the rows are divided into for the workers."""


def run_plan_on_workers(
    plan: Plan,
    out: Path,
    judge: JudgeLike,
    workers: Workers,
    *,
    tick: Callable[[RunProgress], None] = lambda progress: None,
) -> RunProgress:
    """Judge the rows of a plan with workers; the finished RUN folder is that of `eval.runs.local.run_plan`.

    The verdicts are kept in RUN/parts in the format of `judge score`, in the order in which they arrive. When
    all are there, they are joined in the order of the data.

    Args:
        plan: what is judged.
        out: the RUN folder; created if it does not exist.
        judge: the judge that the workers run; its model is not loaded here.
        workers: the workers, for example `judge.batch.ray_workers.RayWorkers`, with the plan's batch size.
        tick: called with the progress.

    Raises:
        InputError: as `eval.runs.local.run_plan`.
        JudgeError: the model cannot be loaded, or workers were lost repeatedly.
    """
    create_run_folder(out)
    with lock_run_folder(out):
        manifest, existing, progress = prepare_manifest(plan, out, judge)
        parts = out / PARTS
        if existing is not None:
            skip_judged_samples(plan.samples(), out, progress, plan.batch)
            if progress.done < progress.total:
                mend = "it was begun without --ray: resume it without --ray"
                raise InputError("out", str(out), "a run of a cluster", mend)
            shutil.rmtree(parts, ignore_errors=True)
            return progress

        def update(done: BatchProgress) -> None:
            progress.resumed, progress.done, progress.unscored = done.before, done.done, done.unscored
            progress.abstained = done.abstained
            tick(progress)

        # The workers have another working directory than this process.
        data = plan.data.absolute() if plan.data.exists() else plan.data
        source = PlanSource(replace(plan, data=data), progress.total)
        score_rows(source, str(parts), workers, manifest, total=progress.total, tick=update)
        _join_parts(parts, out, manifest)
    return progress


@dataclass(frozen=True)
class PlanSource:
    """The samples of a plan as a `judge.batch.sources.Source`: pieces of whole batches that workers read."""

    plan: Plan
    total: int
    """Number of samples."""

    @property
    def piece_size(self) -> int:
        """Number of rows in a piece, a multiple of the batch size; the last piece may have fewer."""
        return max(1, -(-self.total // (MAX_PIECES * self.plan.batch))) * self.plan.batch

    @property
    def pieces(self) -> tuple[str, ...]:
        """The names of the pieces."""
        size = self.piece_size
        return tuple(
            f"rows {start + 1} to {min(start + size, self.total)}" for start in range(0, self.total, size)
        )

    def read(self, piece: int, unused: Counter[str] | None = None) -> Iterator[Sample]:
        """Yield the samples of a piece, counted from 0. Suites say themselves what they do not use."""
        start = piece * self.piece_size
        return (sample.to_sample() for sample in islice(self.plan.samples(), start, start + self.piece_size))

    def fetch(self, row: Sample) -> Sample:
        """Return the row unchanged: it names its media by path."""
        return row


def _join_parts(parts: Path, out: Path, manifest: Manifest) -> None:
    """Write the results and the manifest as a run in one process writes them, and remove the parts.

    The manifest is written last: while it is missing, the parts are joined again.
    """
    loaded = Manifest()
    with write_errors(out), open_atomic(out / RESULTS, sync=True) as file:
        for line in ResultsReader(str(parts)).lines():
            loaded = loaded or loaded_model_of_verdict(json.loads(line)["provenance"])
            file.write(line + "\n")
    begun = utc_timestamp((parts / MANIFEST).stat().st_mtime)
    write_manifest(out, manifest | loaded | {"begun": begun, "made_on": platform.platform()})
    shutil.rmtree(parts)
