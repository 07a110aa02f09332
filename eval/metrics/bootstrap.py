"""A number with what must be said about it, and how certain it is: bootstrap intervals.

The general `bootstrap` calls a statistic once a draw. Most measures are formulas of sums over rows, and for
those `interval_of` draws how often each row occurs and multiplies, so that 100,000 rows take a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CELLS = 1_000_000
"""Row counts held at once while drawing: 8 MB."""
_WORK = 20_000_000
"""Rows times draws at most, when the number of draws is left open."""


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval; both ends are None when it is undefined, and `note` says why."""

    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class Measure:
    """A number with what must be said about it."""

    value: float | None
    """The number; None when it is undefined."""
    note: str = ""
    """Why there is no number, or what a reader must know about it; empty when nothing needs saying."""
    count: int = 0
    """How many things (pairs, elements, pictures, regions) it was computed from."""
    interval: Interval | None = None
    """95 % bootstrap interval; None when none was asked for."""

    def __post_init__(self) -> None:
        if self.value is None and not self.note:
            raise ValueError("an undefined measure must say why")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a measure must be finite, got {self.value}")

    def plain(self) -> dict[str, Any]:
        """For JSON: value, low, high, note and count; what is undefined is None, nothing is ever NaN."""
        span = self.interval or Interval(None, None)
        notes = [note for note in (self.note, span.note and f"interval: {span.note}") if note]
        return {
            "value": self.value,
            "low": span.low,
            "high": span.high,
            "note": "; ".join(notes),
            "count": self.count,
        }


def rounds_for(count: int) -> int:
    """Draws for `count` rows when nobody says: 1,000, fewer (at least 200) where rows are many."""
    return max(200, min(1000, _WORK // max(1, count)))


def draws(count: int, rounds: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """How often each of `count` rows occurs in each of `rounds` draws with replacement.

    Yields:
        Blocks of shape (draws in the block, count); a row of a block sums to `count`.
    """
    chance = np.random.default_rng(seed)
    block = max(1, min(rounds, _CELLS // max(1, count)))
    for start in range(0, rounds, block):
        size = min(block, rounds - start)
        drawn = chance.integers(0, count, (size, count))
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)


def interval_of(
    tally: Floats,
    formula: Callable[[Floats], Floats],
    *,
    rounds: int | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a formula of column sums.

    Args:
        tally: shape (rows, columns). A row is what is drawn: a picture with the sums of its elements, since
            the elements of one picture are not independent.
        formula: takes sums of shape (draws, columns), gives (draws,), NaN where undefined for a draw.
        rounds: number of draws; default by `rounds_for`.
        level: share of draws inside the interval, 0..1.
        seed: the same seed gives the same interval.
    """
    count = len(tally)
    if count < 2:
        return Interval(None, None, f"an interval needs at least 2 rows, there are {count}")
    table = np.asarray(tally, dtype=np.float64)
    with np.errstate(all="ignore"):
        values = np.concatenate([formula(d @ table) for d in draws(count, rounds or rounds_for(count), seed)])
    return percentiles(values, level)


def percentiles(values: Floats, level: float = 0.95) -> Interval:
    """The interval that holds `level` of the drawn values; values that are not finite were undefined."""
    defined = values[np.isfinite(values)]
    lost = len(values) - len(defined)
    if len(defined) < 0.9 * len(values) or not len(defined):
        return Interval(None, None, f"undefined in {lost} of {len(values)} draws: too few data")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), f"{lost} of {len(values)} draws were undefined" if lost else "")


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float | None],
    count: int,
    *,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic over `count` pictures.

    Args:
        statistic: takes indices of pictures (drawn with replacement, shape (count,)), gives the number, or
            None where it is undefined for that draw. Resample pictures, not elements: the elements of one
            picture are not independent.
        count: number of pictures.
        rounds: number of draws.
        level: share of draws inside the interval, 0..1.
        seed: the same seed gives the same interval.
    """
    if count < 2:
        return Interval(None, None, f"an interval needs at least 2 pictures, there are {count}")
    chance = np.random.default_rng(seed)
    drawn = [statistic(chance.integers(0, count, count)) for _ in range(rounds)]
    return percentiles(np.array([math.nan if value is None else value for value in drawn]), level)


def share(tally: Floats) -> Interval:
    """Interval of the first column's sum over the second's: right answers over all answers, by picture."""
    return interval_of(tally, lambda sums: sums[:, 0] / sums[:, 1])


def combined(parts: dict[str, Measure], weights: dict[str, float], scale: float = 1.0) -> Measure:
    """A weighted sum of measures, undefined where one of them is.

    Its interval adds the half-widths as if all parts erred together, so it is never too narrow.
    """
    missing = [name for name in weights if parts[name].value is None]
    count = max((parts[name].count for name in weights), default=0)
    if missing:
        why = "; ".join(f"{name}: {parts[name].note}" for name in missing)
        return Measure(None, f"undefined without {', '.join(missing)} ({why})", count)
    value = scale * sum(w * _number(parts[name].value) for name, w in weights.items())
    spans = [(parts[name].interval, w) for name, w in weights.items()]
    if any(span is None for span, _ in spans):
        return Measure(value, "", count)
    ends = [(span.low, span.high, w) for span, w in spans if span is not None]
    if any(low is None for low, _, _ in ends):
        return Measure(value, "", count, Interval(None, None, "a part has no interval"))
    bottom = sum(w * _number(low if w > 0 else high) for low, high, w in ends)
    top = sum(w * _number(high if w > 0 else low) for low, high, w in ends)
    return Measure(value, "", count, Interval(scale * bottom, scale * top))


def _number(value: float | None) -> float:
    assert value is not None
    return value
