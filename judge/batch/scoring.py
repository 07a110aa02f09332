"""From rows to a folder of verdicts, with workers on Ray or in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from judge.batch.results import Format, Results
from judge.batch.sources import Files, Row, Source
from judge.batch.units import Judged, Place, WorkersLost, judged, raised, units
from judge.errors import InputError
from judge.judge import Judge
from judge.runtime.version import __version__
from judge.types import Depth, Sample

Judging = Callable[[Source, Mapping[int, list[Place]]], Iterable[Judged]]
"""(source, what of each piece is done) -> the verdicts on the rest, in any order."""


@dataclass
class Tally:
    """How far it has come."""

    total: int | None = None
    """Rows; None where that is not known beforehand."""
    before: int = 0
    """Judged by earlier calls."""
    done: int = 0
    unscored: int = 0


def score(
    source: Source,
    out: str,
    judging: Judging,
    asked: dict[str, Any],
    *,
    layout: Format = "jsonl",
    total: int | None = None,
    tick: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Judge what is not judged yet. Where workers are lost for good, and units with them, what is missing is
    handed out anew, for as long as each round gets further.

    Raises:
        InputError: `out` cannot be used or written, or the rows are not those it was begun with.
        BackendError: the model cannot be loaded.
        WorkersLost: again and again, and rows with them.
    """
    results = Results(out, {**asked, "rows": list(source.pieces)}, layout)
    tally = Tally(total, results.before, results.rows, results.unscored)
    tick(tally)
    if results.complete:
        return tally
    while True:
        before, lost = results.rows, ""
        try:
            for one in judging(source, results.done):
                if one.fault:
                    raise raised(one.fault)
                results.add(one)
                tally.done, tally.unscored = results.rows, results.unscored
                tick(tally)
        except WorkersLost as error:
            lost = str(error)
        except BaseException:
            _keep(results)
            raise
        missing = results.finish(len(source.pieces))
        if not missing:
            return tally
        if results.rows == before:
            gone = f"with them {', '.join(missing[:3])}; the same command goes on"
            raise WorkersLost(f"score: workers were lost, and {gone}" + (f" ({lost})" if lost else ""))


def _keep(results: Results) -> None:
    """What was judged is not lost to whatever ended the run; unless it is the writing that failed."""
    try:
        results.flush()
    except InputError:
        pass


def asked_as(judge: Any) -> dict[str, Any]:
    """What of a judge, its model not loaded, a verdict depends on."""
    return {
        "model": judge.model,
        "adapter": judge.adapter,
        "rubric": {"name": judge.rubric.name, "hash": judge.rubric.hash},
        "seed": judge.seed,
        "max_defects": judge.max_defects,
        "max_pixels": judge.max_pixels,
    }


def asked_of(
    judge: Judge, source: Files, depth: Depth, batch: int, pixels: int | None, shard: tuple[int, int]
) -> dict[str, Any]:
    """What a manifest says of a run: whatever its verdicts depend on."""
    return {
        "sizes": list(source.sizes),
        "depth": depth,
        **asked_as(judge),
        "batch": batch,
        "batch_pixels": pixels,
        "shard": list(shard),
        "version": __version__,
    }


@dataclass(frozen=True)
class Here:
    """Judges in this process, piece by piece, in order."""

    judge: Judge
    depth: Depth
    batch: int = 16
    pixels: int | None = None

    def __call__(self, source: Source, done: Mapping[int, list[Place]]) -> Iterator[Judged]:
        for piece in range(len(source.pieces)):
            for unit in units(source, piece, done.get(piece, ()), self.batch):
                yield judged(self.judge, unit, source, self.depth, self.batch, self.pixels)


@dataclass(frozen=True)
class Shard:
    """Of all rows of a source, every n-th batch from the i-th, as one piece."""

    source: Source
    i: int
    n: int
    batch: int
    pieces: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.i <= self.n:
            mend = "for example 1/4, 2/4, 3/4, 4/4"
            raise InputError("shard", f"{self.i}/{self.n}", "i/n with 1 <= i <= n", mend)
        object.__setattr__(self, "pieces", ("; ".join(self.source.pieces),))

    def read(self, piece: int) -> Iterator[Row]:
        every = chain.from_iterable(map(self.source.read, range(len(self.source.pieces))))
        return (row for number, row in enumerate(every) if number // self.batch % self.n == self.i - 1)

    def fetch(self, row: Sample) -> Sample:
        return self.source.fetch(row)
