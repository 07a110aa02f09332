"""The result of a metric: a number with its note, count and interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval. Both ends are None when it is undefined, and `note` says why."""

    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class MetricValue:
    """The value of one metric.

    Raises:
        ValueError: `value` is None without a note, or is not finite.
    """

    value: float | None
    """The number; None when it is undefined."""
    note: str = ""
    """Why there is no number, or what a reader must know about it; empty when there is nothing to add."""
    count: int = 0
    """Number of pairs, elements, images or regions the value was computed from."""
    interval: Interval | None = None
    """95 % bootstrap interval; None when none was requested."""

    def __post_init__(self) -> None:
        if self.value is None and not self.note:
            raise ValueError("an undefined metric must say why")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a metric value must be finite, got {self.value}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON.

        Returns:
            The keys `value`, `low`, `high`, `note` and `count`. What is undefined is None; nothing is NaN.
        """
        interval = self.interval or Interval(None, None)
        notes = [note for note in (self.note, interval.note and f"interval: {interval.note}") if note]
        return {
            "value": self.value,
            "low": interval.low,
            "high": interval.high,
            "note": "; ".join(notes),
            "count": self.count,
        }
