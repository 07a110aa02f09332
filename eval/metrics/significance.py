"""Whether one judge is better than another on the same rows: paired bootstrap.

Both judges' answers to a row are drawn together, so what makes a row easy or hard for both cancels out. The
p-value is two-sided: twice the share of draws in which the difference has the other sign, and never below
what the number of draws can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.agreement import plcc, srcc
from eval.metrics.bootstrap import draws, rounds_for
from judge.errors import InputError

Floats = NDArray[np.float64]
LEAST = 5
"""Rows below which no difference is tested."""


@dataclass(frozen=True)
class Difference:
    """The second judge's measure minus the first's, on the rows that both answered."""

    value: float | None
    """None when it is undefined."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval."""
    p: float | None
    """Two-sided; no correction for testing several pairs of judges."""
    count: int
    note: str = ""
    """Why there is no value; empty when there is one."""


def srcc_difference(first: ArrayLike, second: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Difference:
    """Of Spearman's rank correlations with the truth; three numbers a row, all finite."""
    from scipy.stats import rankdata

    a, b, t = _columns(first, second, truth)
    whole = [srcc(side, t) for side in (a, b)]
    if (
        early := _undefined(len(t), whole[0].value, whole[1].value, whole[0].note or whole[1].note)
    ) is not None:
        return early
    drawn = []
    for at in _rows(len(t), seed):
        ranks = rankdata(t[at])
        drawn.append(_pearson(rankdata(b[at]), ranks) - _pearson(rankdata(a[at]), ranks))
    return _summed(np.array(drawn), _less(whole[1].value, whole[0].value), len(t))


def plcc_difference(first: ArrayLike, second: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Difference:
    """Of Pearson's linear correlations with the truth."""
    a, b, t = _columns(first, second, truth)
    whole = [plcc(side, t) for side in (a, b)]
    if (
        early := _undefined(len(t), whole[0].value, whole[1].value, whole[0].note or whole[1].note)
    ) is not None:
        return early
    drawn = [_pearson(b[at], t[at]) - _pearson(a[at], t[at]) for at in _rows(len(t), seed)]
    return _summed(np.array(drawn), _less(whole[1].value, whole[0].value), len(t))


def share_difference(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Difference:
    """Of shares that are sums over rows, for example right answers over all answers.

    Args:
        first: (right, all) of each row, shape (rows, 2).
        second: the same rows by the other judge.
        seed: the same seed gives the same interval.
    """
    a = np.asarray(first, dtype=np.float64).reshape(-1, 2)
    b = np.asarray(second, dtype=np.float64).reshape(-1, 2)
    if a.shape != b.shape:
        raise InputError("second", b.shape, f"the rows of the first, {a.shape}", "pair both sides first")
    totals = a[:, 1].sum(), b[:, 1].sum()
    if len(a) < LEAST or not all(totals):
        return Difference(None, None, None, None, len(a), f"it needs {LEAST} rows that both answered")
    table = np.concatenate([a, b], axis=1)
    with np.errstate(all="ignore"):
        sums = np.concatenate([d @ table for d in draws(len(a), rounds_for(len(a)), seed)])
        drawn = sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]
    return _summed(drawn, float(b[:, 0].sum() / totals[1] - a[:, 0].sum() / totals[0]), len(a))


def _columns(*sides: ArrayLike) -> list[Floats]:
    columns = [np.asarray(side, dtype=np.float64) for side in sides]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        shapes = [column.shape for column in columns]
        raise InputError("second", shapes, "columns of one length", "pair all sides first")
    return columns


def _rows(count: int, seed: int) -> Iterator[NDArray[np.intp]]:
    chance = np.random.default_rng(seed)
    return (chance.integers(0, count, count) for _ in range(rounds_for(count)))


def _pearson(x: Floats, y: Floats) -> float:
    """NaN where a side is constant."""
    with np.errstate(all="ignore"):
        a, b = x - x.mean(), y - y.mean()
        return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def _undefined(count: int, a: float | None, b: float | None, note: str) -> Difference | None:
    if count >= LEAST and a is not None and b is not None:
        return None
    return Difference(None, None, None, None, count, note or f"it needs {LEAST} rows that both answered")


def _less(a: float | None, b: float | None) -> float:
    assert a is not None and b is not None
    return a - b


def _summed(drawn: Floats, value: float, count: int) -> Difference:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Difference(None, None, None, None, count, "undefined in every draw")
    low, high = np.quantile(drawn, [0.025, 0.975])
    tail = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0)) + 1
    p = min(1.0, 2 * float(tail) / (len(drawn) + 1))
    return Difference(value, float(low), float(high), p, count)
