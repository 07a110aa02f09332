"""Statistics over all pairs of rows: differences in blocks, and bootstrap intervals without all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import CORRELATION, Bounds, interval_from_sums
from eval.metrics.metric_value import Interval

Floats = NDArray[np.float64]
PairKernel = Callable[[Floats, Floats], NDArray[Any]]
"""Takes differences of predictions and of truth of the same pairs, and returns one number per pair."""

_MAX_KERNEL_PAIRS = 40_000_000
"""Most pairs from which the means of all rows are computed; of larger sets, a sample is used."""
_MAX_BLOCK_PAIRS = 4_000_000
"""Pairs held in memory at once."""


def iterate_pair_differences(x: Floats, y: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield the differences of all pairs i < j on both sides, in blocks of shape (pairs in the block,)."""
    count, start = len(x), 0
    while start < count - 1:
        rows = max(1, min(count - 1 - start, _MAX_BLOCK_PAIRS // count))
        i, j = np.triu_indices(rows, 1, count - start)
        yield x[start + i] - x[start + j], y[start + i] - y[start + j]
        start += rows


def sample_pair_differences(x: Floats, y: Floats, pairs: int, seed: int) -> tuple[Floats, Floats]:
    """Return the differences of random pairs of different rows, shape (pairs,) each."""
    random = np.random.default_rng(seed)
    i = random.integers(0, len(x), pairs)
    j = (i + random.integers(1, len(x), pairs)) % len(x)  # An offset of at least 1: never the same row.
    return x[i] - x[j], y[i] - y[j]


def compute_row_means(x: Floats, y: Floats, kernel: PairKernel) -> Floats:
    """Compute the mean of a pair statistic over each row's pairs, shape (rows,).

    When there are many rows, each row is paired with a random sample of the others.
    """
    count, max_partners = len(x), max(200, _MAX_KERNEL_PAIRS // max(1, len(x)))
    partners = np.arange(count)
    if count > max_partners:
        partners = np.random.default_rng(0).choice(count, max_partners, replace=False)
    means, block = np.empty(count), max(1, _MAX_BLOCK_PAIRS // len(partners))
    for start in range(0, count, block):
        rows = np.arange(start, min(count, start + block))
        values = kernel(x[rows, None] - x[partners], y[rows, None] - y[partners])
        is_other_row = partners != rows[:, None]
        means[rows] = np.where(is_other_row, values, 0).sum(axis=1) / np.maximum(is_other_row.sum(axis=1), 1)
    return means


def pair_formula_interval(
    statistics: Sequence[Floats], formula: Callable[..., Any], value: float, bounds: Bounds
) -> Interval:
    """Compute the bootstrap interval of a formula of pair statistics.

    Each statistic is taken as linear in the rows, which is right up to terms of order 1 / rows.

    Args:
        statistics: results of `compute_row_means`, shape (rows,) each.
        formula: takes the means of the statistics, in the same order.
        value: the value of the whole set; the interval is shifted so that it belongs to this value.
        bounds: least and greatest value that the metric can have. The linear form may go past them, the
            interval does not.
    """
    table = np.stack(statistics, axis=1)
    centre = table.mean(axis=0)
    at_centre = formula(*centre)
    shift = value - float(at_centre)

    def resampled_formula(sums: Floats) -> Floats:
        means = centre + 2 * (sums / len(table) - centre)
        values: Floats = np.clip(formula(*means.T) + shift, *bounds)
        return values

    return interval_from_sums(table, resampled_formula)


def tau_interval(x: Floats, y: Floats, value: float) -> Interval:
    """Compute the interval of Kendall's tau-b `value`, by the bootstrap of its linear part."""
    concordance = compute_row_means(x, y, lambda dx, dy: np.sign(dx) * np.sign(dy))
    untied_x = compute_row_means(x, y, lambda dx, dy: dx != 0)
    untied_y = compute_row_means(x, y, lambda dx, dy: dy != 0)
    return pair_formula_interval(
        [concordance, untied_x, untied_y], lambda s, a, b: s / np.sqrt(a * b), value, CORRELATION
    )
