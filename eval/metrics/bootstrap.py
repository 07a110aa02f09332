"""Percentile bootstrap intervals.

`bootstrap_interval` calls any statistic once per resample. Most metrics are formulas of sums over rows.
For those, `interval_from_sums` draws how often each row occurs and multiplies, so that 100,000 rows take a
second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from eval.metrics.metric_value import Interval

Floats = NDArray[np.float64]
Bounds = tuple[float, float]
"""Least and greatest value that a metric can have; no end of an interval is outside."""
UNBOUNDED: Bounds = (-math.inf, math.inf)
SHARE: Bounds = (0.0, 1.0)
"""Bounds of accuracies, precision, recall and F1."""
CORRELATION: Bounds = (-1.0, 1.0)

_MAX_BLOCK_CELLS = 1_000_000
"""Row counts held in memory at once while resampling: 8 MB."""
_MAX_DRAWN_ROWS = 20_000_000
"""Rows times resamples at most, when the caller does not choose the number of resamples."""


def choose_resamples(count: int) -> int:
    """Return the default number of resamples for `count` rows.

    It is 1,000, and less (but at least 200) when there are many rows.
    """
    return max(200, min(1000, _MAX_DRAWN_ROWS // max(1, count)))


def resample_counts(count: int, resamples: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Draw how often each of `count` rows occurs in each of `resamples` samples with replacement.

    Args:
        count: number of rows.
        resamples: number of samples to draw.
        seed: the same seed gives the same samples.

    Yields:
        Blocks of shape (samples in the block, count). Each row of a block sums to `count`.
    """
    random = np.random.default_rng(seed)
    block = max(1, min(resamples, _MAX_BLOCK_CELLS // max(1, count)))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = random.integers(0, count, (size, count))
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)


def interval_from_sums(
    table: Floats,
    formula: Callable[[Floats], Floats],
    *,
    resamples: int | None = None,
    level: float = 0.95,
    seed: int = 0,
    bounds: Bounds = UNBOUNDED,
) -> Interval:
    """Compute the percentile bootstrap interval of a formula of column sums.

    Args:
        table: shape (rows, columns). Rows are drawn as a whole. A row is usually an image with the sums over
            its elements, because the elements of one image are not independent.
        formula: takes column sums of shape (resamples, columns) and returns values of shape (resamples,), NaN
            where a resample leaves the value undefined.
        resamples: number of resamples; default: `choose_resamples`.
        level: share of resampled values inside the interval, 0..1.
        seed: the same seed gives the same interval.
        bounds: bounds of the formula, which rounding or an approximation may leave.
    """
    count = len(table)
    if count < 2:
        return Interval(None, None, f"an interval needs at least 2 rows, there are {count}")
    table = np.asarray(table, dtype=np.float64)
    blocks = resample_counts(count, resamples or choose_resamples(count), seed)
    with np.errstate(all="ignore"):
        values = np.concatenate([formula(block @ table) for block in blocks])
    return percentile_interval(values, level, bounds)


def percentile_interval(values: Floats, level: float = 0.95, bounds: Bounds = UNBOUNDED) -> Interval:
    """Return the central interval that holds a share `level` of the resampled values.

    Args:
        values: one value per resample; values that are not finite count as undefined.
        level: share of the values inside the interval, 0..1.
        bounds: bounds of the values.

    Returns:
        The interval. It is undefined when more than a tenth of the values are.
    """
    defined = values[np.isfinite(values)]
    undefined = len(values) - len(defined)
    if len(defined) < 0.9 * len(values) or not len(defined):
        return Interval(None, None, f"undefined in {undefined} of {len(values)} draws: too few data")
    low, high = np.clip(np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]), *bounds)
    note = f"{undefined} of {len(values)} draws were undefined" if undefined else ""
    return Interval(float(low), float(high), note)


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float | None],
    count: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    bounds: Bounds = UNBOUNDED,
) -> Interval:
    """Compute the percentile bootstrap interval of any statistic over `count` images.

    Args:
        statistic: takes indices of images, drawn with replacement, of shape (count,), and returns the value,
            or None where it is undefined for that resample. Resample images, not elements: the elements of
            one image are not independent.
        count: number of images.
        resamples: number of resamples.
        level: share of resampled values inside the interval, 0..1.
        seed: the same seed gives the same interval.
        bounds: bounds of the statistic.
    """
    if count < 2:
        return Interval(None, None, f"an interval needs at least 2 images, there are {count}")
    random = np.random.default_rng(seed)
    drawn = [statistic(random.integers(0, count, count)) for _ in range(resamples)]
    values = np.array([math.nan if value is None else value for value in drawn])
    return percentile_interval(values, level, bounds)


def ratio_interval(table: Floats, bounds: Bounds = UNBOUNDED) -> Interval:
    """Compute the interval of a ratio of sums, for example right answers over all answers.

    Args:
        table: shape (rows, 2): numerator and denominator of each row (of each image, for example).
        bounds: bounds of the ratio.
    """
    return interval_from_sums(table, lambda sums: sums[:, 0] / sums[:, 1], bounds=bounds)


def wilson_interval(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of a share after Wilson (1927), 95 % by default. It holds near 0 and 1, too.

    Args:
        hits: numerator of the share.
        count: denominator, 1 or more.
        z: quantile of the normal distribution.
    """
    share = hits / count
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, center - half), min(1.0, center + half)
