"""The plan of a run: which rows of which suite are judged and how, and the progress of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eval.runs.records import read_samples
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.suite import Suite
from judge.errors import InputError
from judge.rubrics.rubric import Rubric
from judge.types import Depth, Sample, Verdict


class JudgeLike(Protocol):
    """What a run needs of a judge; `judge.Judge` has it."""

    model: str
    adapter: str | None
    seed: int
    rubric: Rubric
    max_defects: int | None
    max_pixels: int

    @property
    def backend(self) -> Any:
        """The loaded model. Loads it on first access."""
        ...

    def many(self, samples: Iterable[Sample], *, depth: Depth = ..., batch: int = ...) -> Iterator[Verdict]:
        """Judge samples and yield one verdict for each, in order."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is judged, and which part of it.

    Raises:
        InputError: a value is out of range, or the suite has no such split or option.
    """

    suite: Suite
    data: Path
    """The folder or label file of the benchmark."""
    split: str | None = None
    limit: int | None = None
    """Judge only the first `limit` samples of the data."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): judge the i-th of every n batches, counted from 1.

    Shards are made of whole batches, so that every row is judged in the same batch as in a run without
    shards.
    """
    depth: Depth = "verdict"
    batch: int = 16
    """Number of samples that are judged together."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further keyword arguments of the suite's `read`."""

    def __post_init__(self) -> None:
        i, n = self.shard
        if not 1 <= i <= n:
            raise InputError("shard", f"{i}/{n}", "i/n with 1 <= i <= n", "for example 1/4, 2/4, 3/4, 4/4")
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise InputError("batch", self.batch, "1 or more", "the default is 16")
        if self.limit is not None and self.limit < 1:
            raise InputError("limit", self.limit, "1 or more", "leave it out to judge all rows")
        if self.split is not None and self.suite.splits and self.split not in self.suite.splits:
            raise InputError("split", self.split, ", ".join(self.suite.splits), "use one of them")
        for name in self.options:
            if name not in self.suite.options:
                allowed = ", ".join(self.suite.options) or f"none: {self.suite.name} has no options"
                raise InputError("option", name, allowed, "leave it out")

    def all_samples(self) -> Iterator[SuiteSample]:
        """Yield the samples of all shards."""
        return read_samples(self.suite, self.data, self.split, self.limit, self.options)

    def samples(self) -> Iterator[SuiteSample]:
        """Yield the samples of this shard."""
        return (sample for number, sample in enumerate(self.all_samples()) if self.is_in_shard(number))

    def is_in_shard(self, number: int) -> bool:
        """Return whether a sample belongs to this shard.

        Args:
            number: position of the sample among the samples of all shards, counted from 0.
        """
        i, n = self.shard
        return number // self.batch % n == i - 1


@dataclass
class RunProgress:
    """How far a run is."""

    total: int = 0
    """Number of rows of this shard."""
    resumed: int = 0
    """Rows that earlier calls have judged."""
    done: int = 0
    """Rows that are judged by now, those of earlier calls included."""
    unscored: int = 0
    """Rows among `done` whose verdict has no score."""
    abstained: int = 0
    """Rows among them on which the judge abstained."""
    repaired: bool = False
    """An incomplete last line of the results was completed or removed."""
