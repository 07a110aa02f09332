"""Numbers with notes, and differences between the scores of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from judge.types import Sample, Verdict

Tick = Callable[[], None]
"""Called after each verdict."""


@dataclass
class Measurement:
    """Some numbers of the suite, and notes on them."""

    numbers: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def score_samples(judge: Any, samples: Iterable[Sample], batch: int, tick: Tick) -> list[float | None]:
    """Judge samples and return their scores in order, None for an unscored sample."""
    scores = []
    for verdict in judge.many(samples, batch=batch):
        scores.append(verdict.score)
        tick()
    return scores


def score_differences(verdicts: Sequence[Verdict], scores: Sequence[float | None]) -> list[float]:
    """Return new score minus the verdict's score, for the pairs in which both are scored."""
    return differences([verdict.score for verdict in verdicts], scores)


def differences(old: Sequence[float | None], new: Sequence[float | None]) -> list[float]:
    """Return new minus old, for the pairs in which both are defined."""
    return [after - before for before, after in zip(old, new, strict=True)
            if before is not None and after is not None]  # fmt: skip


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None without values."""
    return float(np.mean(values)) if values else None


def largest(values: Sequence[float]) -> float | None:
    """Return the largest absolute value; None without values."""
    return float(np.abs(values).max()) if values else None
