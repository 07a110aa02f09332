"""Who answers the same questions in `python -m eval.bench serving`; one module a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from judge.types import Depth, Sample


class CannotRun(Exception):
    """A contender that cannot run here; its text says why."""


@dataclass(frozen=True)
class Lap:
    """One run of a contender over all samples at one depth."""

    seconds: float
    """Wall time, without what a contender may prepare beforehand."""
    count: int
    """Samples that were answered."""
    usable: int
    """Answers that fit their form."""
    latencies: list[float] = field(default_factory=list)
    """Seconds each request took, for contenders that are asked one by one."""
    errors: int = 0
    """Requests that came back as an error."""


class Team(Protocol):
    """Contenders that share a process and its model."""

    def start(self) -> dict[str, dict[str, Any]]:
        """Load the model; what is to be told of each contender (its `batch`), by name.

        Raises:
            CannotRun: none of them can.
        """
        ...

    def lap(self, name: str, depth: Depth, visit: int, count: int) -> Lap:
        """Answer the first `count` samples once. No two laps have the same `visit`, so that no cache of
        pictures helps anybody.

        Raises:
            CannotRun: this contender has no answer at this depth.
        """
        ...

    def stop(self) -> None:
        """Let the model go."""
        ...


def fresh(samples: Sequence[Sample], visit: int) -> list[Sample]:
    """The samples with a corner pixel that belongs to this visit: new pictures to any cache."""
    return [sample.model_copy(update={"image": _marked(sample.image, visit)}) for sample in samples]


def _marked(pixels: Any, visit: int) -> Any:
    marked = pixels.copy()
    marked[0, 0] = [visit & 255, visit >> 8 & 255, visit >> 16 & 255]
    return marked
