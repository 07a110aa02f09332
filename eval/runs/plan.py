"""What a run is asked to judge, by what, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eval.runs.records import items_of
from eval.suites.base import Item, Suite
from judge.errors import InputError
from judge.rubrics.rubric import Rubric
from judge.types import Depth, Sample, Verdict


class Judging(Protocol):
    """What is run: `judge.Judge`."""

    model: str
    adapter: str | None
    seed: int
    rubric: Rubric
    max_defects: int | None
    max_pixels: int

    @property
    def backend(self) -> Any: ...

    def many(
        self, samples: Iterable[Sample], *, depth: Depth = ..., batch: int = ...
    ) -> Iterator[Verdict]: ...


@dataclass(frozen=True)
class Plan:
    """What is judged, and which part of it."""

    suite: Suite
    data: Path
    split: str | None = None
    limit: int | None = None
    """Only the first so many items of the data."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): of these, the i-th of every n batches, i from 1; so all shards judge as one run would."""
    depth: Depth = "verdict"
    batch: int = 16
    """Items judged together."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Keywords of the suite's `read`."""

    def __post_init__(self) -> None:
        i, n = self.shard
        if not 1 <= i <= n:
            raise InputError("shard", f"{i}/{n}", "i/n with 1 <= i <= n", "for example 1/4, 2/4, 3/4, 4/4")
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise InputError("batch", self.batch, "1 or more", "16 is the usual one")
        if self.limit is not None and self.limit < 1:
            raise InputError("limit", self.limit, "1 or more", "leave it out to judge everything")
        if self.split is not None and self.suite.splits and self.split not in self.suite.splits:
            raise InputError("split", self.split, ", ".join(self.suite.splits), "use one of them")
        for name in self.options:
            if name not in self.suite.options:
                known = ", ".join(self.suite.options) or f"none: {self.suite.name} has no options"
                raise InputError("option", name, known, "leave it out")

    def all_items(self) -> Iterator[Item]:
        """The items of all shards."""
        return items_of(self.suite, self.data, self.split, self.limit, self.options)

    def items(self) -> Iterator[Item]:
        """The items of this shard."""
        return (item for number, item in enumerate(self.all_items()) if self.holds(number))

    def holds(self, number: int) -> bool:
        """Whether an item, counted from 0 over all shards, is of this shard."""
        i, n = self.shard
        return number // self.batch % n == i - 1


@dataclass
class Tally:
    """How far a run has come."""

    total: int = 0
    """Rows of this shard."""
    before: int = 0
    """Of them, judged by earlier calls."""
    done: int = 0
    """Of them, judged by now."""
    unscored: int = 0
    """Of these, without a score."""
    repaired: bool = False
    """A torn last line was found and cut off."""
