"""Whether one judge is better than another on the same rows: a paired bootstrap.

Both judges' answers to a row are drawn together, so what makes a row easy or hard for both cancels out. The
p-value is two-sided: twice the share of resamples in which the difference has the other sign, and never below
what the number of resamples can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import choose_resamples, resample_counts
from eval.metrics.correlation import plcc, srcc
from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

Floats = NDArray[np.float64]
MIN_ROWS = 5
"""With fewer rows no difference is tested."""


@dataclass(frozen=True)
class Difference:
    """The second judge's metric minus the first judge's, on the rows that both answered."""

    value: float | None
    """None when it is undefined."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end of the 95 % interval."""
    p: float | None
    """Two-sided p-value; not corrected for testing several pairs of judges."""
    count: int
    """Number of rows."""
    note: str = ""
    """Why there is no value; empty when there is one."""


def srcc_difference(first: ArrayLike, second: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Difference:
    """Compare Spearman's rank correlations with the truth.

    Args:
        first: the first judge's scores, shape (rows,), all finite.
        second: the second judge's scores of the same rows.
        truth: true scores.
        seed: the same seed gives the same interval.

    Raises:
        InputError: the arguments differ in length.
    """
    from scipy.stats import rankdata

    def rank_correlations(a: Floats, b: Floats, t: Floats) -> tuple[float, float]:
        ranks = rankdata(t)
        return _pearson(rankdata(a), ranks), _pearson(rankdata(b), ranks)

    return _correlation_difference(first, second, truth, srcc, rank_correlations, seed)


def plcc_difference(first: ArrayLike, second: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Difference:
    """Compare Pearson's linear correlations with the truth. Arguments are those of `srcc_difference`."""

    def linear_correlations(a: Floats, b: Floats, t: Floats) -> tuple[float, float]:
        return _pearson(a, t), _pearson(b, t)

    return _correlation_difference(first, second, truth, plcc, linear_correlations, seed)


def _correlation_difference(
    first: ArrayLike,
    second: ArrayLike,
    truth: ArrayLike,
    metric: Callable[[Floats, Floats], MetricValue],
    resampled: Callable[[Floats, Floats, Floats], tuple[float, float]],
    seed: int,
) -> Difference:
    a, b, t = _check_columns(first, second, truth)
    correlation_a, correlation_b = metric(a, t), metric(b, t)
    if len(t) < MIN_ROWS or correlation_a.value is None or correlation_b.value is None:
        note = correlation_a.note or correlation_b.note or f"it needs {MIN_ROWS} rows that both answered"
        return Difference(None, None, None, None, len(t), note)
    differences = []
    for rows in _resample_rows(len(t), seed):
        drawn_a, drawn_b = resampled(a[rows], b[rows], t[rows])
        differences.append(drawn_b - drawn_a)
    return _summarise(np.array(differences), correlation_b.value - correlation_a.value, len(t), 2.0)


def share_difference(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Difference:
    """Compare shares that are ratios of sums over rows, for example right answers over all answers.

    Args:
        first: numerator and denominator of each row by the first judge, shape (rows, 2).
        second: the same rows by the second judge.
        seed: the same seed gives the same interval.

    Raises:
        InputError: the arguments differ in shape.
    """
    a = np.asarray(first, dtype=np.float64).reshape(-1, 2)
    b = np.asarray(second, dtype=np.float64).reshape(-1, 2)
    if a.shape != b.shape:
        raise InputError("second", b.shape, f"the rows of the first, {a.shape}", "pair both sides first")
    totals = a[:, 1].sum(), b[:, 1].sum()
    if len(a) < MIN_ROWS or not all(totals):
        return Difference(None, None, None, None, len(a), f"it needs {MIN_ROWS} rows that both answered")
    table = np.concatenate([a, b], axis=1)
    blocks = resample_counts(len(a), choose_resamples(len(a)), seed)
    with np.errstate(all="ignore"):
        sums = np.concatenate([block @ table for block in blocks])
        differences = sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]
    return _summarise(differences, float(b[:, 0].sum() / totals[1] - a[:, 0].sum() / totals[0]), len(a), 1.0)


def _check_columns(*columns: ArrayLike) -> list[Floats]:
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        shapes = [array.shape for array in arrays]
        raise InputError("second", shapes, "columns of one length", "pair all sides first")
    return arrays


def _resample_rows(count: int, seed: int) -> Iterator[NDArray[np.intp]]:
    random = np.random.default_rng(seed)
    return (random.integers(0, count, count) for _ in range(choose_resamples(count)))


def _pearson(x: Floats, y: Floats) -> float:
    """Return Pearson's correlation, NaN where a side is constant."""
    with np.errstate(all="ignore"):
        a, b = x - x.mean(), y - y.mean()
        return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def _summarise(differences: Floats, value: float, count: int, bound: float) -> Difference:
    """Compute interval and p-value from the differences of all resamples, which lie within +-`bound`."""
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return Difference(None, None, None, None, count, "undefined in every draw")
    low, high = np.clip(np.quantile(differences, [0.025, 0.975]), -bound, bound)
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)) + 1
    p = min(1.0, 2 * float(tail) / (len(differences) + 1))
    return Difference(value, float(low), float(high), p, count)
