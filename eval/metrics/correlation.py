"""Correlations of predicted with true scores: SRCC, PLCC and KRCC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import (
    CORRELATION,
    choose_resamples,
    interval_from_sums,
    percentile_interval,
    resample_counts,
)
from eval.metrics.logistic import fit_logistic
from eval.metrics.metric_value import Interval, MetricValue
from eval.metrics.pairwise.pair_statistics import tau_interval
from eval.metrics.validation import check_pairs, is_constant

Floats = NDArray[np.float64]
MIN_VARIANCE = 1e-12
"""Variance of a resample, in units of the whole set's, below which its values are equal up to rounding."""


def srcc(predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False) -> MetricValue:
    """Compute Spearman's rank correlation coefficient, -1..1. Ties take their mean rank.

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        interval: add a bootstrap interval over rows.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite.
    """
    from scipy.stats import spearmanr

    result = _correlate(predicted, truth, lambda x, y: float(spearmanr(x, y).statistic))
    if not interval or result.value is None:
        return result
    return replace(result, interval=_srcc_interval(*check_pairs(predicted, truth)))


def plcc(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    logistic_parameters: int = 0,
    interval: bool = False,
) -> MetricValue:
    """Compute Pearson's linear correlation coefficient, -1..1.

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        logistic_parameters: 4 or 5: map the predictions by `fit_logistic` with so many parameters first.
            0: correlate the raw predictions.
        interval: add a bootstrap interval over rows; the fitted curve is held fixed in it.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite, or `logistic_parameters`
            is not 0, 4 or 5.
    """
    from scipy.stats import pearsonr

    def pearson(x: Floats, y: Floats) -> float:
        return float(pearsonr(x, y).statistic)

    result = _correlate(predicted, truth, pearson)
    if result.value is None:
        return result
    x, y = check_pairs(predicted, truth)
    if logistic_parameters:
        mapped = fit_logistic(x, y, parameters=logistic_parameters)
        if isinstance(mapped, str):
            return MetricValue(None, mapped, len(x))
        if is_constant(mapped):
            return MetricValue(None, "the fitted curve is flat, so the correlation is undefined", len(x))
        x, result = mapped, _correlate(mapped, y, pearson)
    if not interval or result.value is None:
        return result
    return replace(result, interval=_plcc_interval(x, y))


def krcc(predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False) -> MetricValue:
    """Compute Kendall's rank correlation coefficient tau-b, -1..1.

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        interval: add a bootstrap interval over rows.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite.
    """
    from scipy.stats import kendalltau

    result = _correlate(predicted, truth, lambda x, y: float(kendalltau(x, y).statistic))
    if not interval or result.value is None:
        return result
    return replace(result, interval=tau_interval(*check_pairs(predicted, truth), result.value))


def _correlate(
    predicted: ArrayLike, truth: ArrayLike, statistic: Callable[[Floats, Floats], float]
) -> MetricValue:
    """Compute a correlation where it is defined, and the reason where it is not."""
    x, y = check_pairs(predicted, truth)
    if len(x) < 2:
        return MetricValue(None, f"a correlation needs at least 2 pairs, there are {len(x)}", len(x))
    for name, side in (("predictions", x), ("true values", y)):
        if is_constant(side):
            return MetricValue(None, f"all {name} are equal, so the correlation is undefined", len(x))
    value = statistic(x, y)
    if not np.isfinite(value):  # The differences are too small for the statistic's floating-point arithmetic.
        return MetricValue(None, "the values differ too little for a correlation", len(x))
    return MetricValue(min(1.0, max(-1.0, value)), "", len(x))


def _plcc_interval(x: Floats, y: Floats) -> Interval:
    # Standardised, so that sums of squares keep their digits.
    a, b = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    count = len(a)

    def pearson(sums: Floats) -> Floats:
        mean_a, mean_b, mean_aa, mean_bb, mean_ab = sums.T / count
        covariance = mean_ab - mean_a * mean_b
        # A draw of equal values has a variance of 0, of which only rounding is left: no correlation.
        variances = (
            np.where(variance > MIN_VARIANCE, variance, np.nan)
            for variance in (mean_aa - mean_a * mean_a, mean_bb - mean_b * mean_b)
        )
        return np.asarray(covariance / np.sqrt(next(variances) * next(variances)))

    table = np.stack([a, b, a * a, b * b, a * b], axis=1)
    return interval_from_sums(table, pearson, bounds=CORRELATION)


def _srcc_interval(x: Floats, y: Floats) -> Interval:
    """Compute the interval of SRCC: the ranks of a resample follow from how often each value occurs in it."""
    count, resamples = len(x), choose_resamples(len(x))
    if count < 3:
        return Interval(None, None, f"an interval needs at least 3 pairs, there are {count}")
    (_, index_x), (_, index_y) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    values = []
    with np.errstate(all="ignore"):
        for block in resample_counts(count, resamples):
            for weights in block:
                a, b = _weighted_ranks(index_x, weights), _weighted_ranks(index_y, weights)
                # The ranks of a resample have the mean count / 2. No dot products: BLAS threads cost more
                # than they save.
                a, b = a - count / 2, b - count / 2
                weighted_a = weights * a
                aa, bb, ab = (weighted_a * a).sum(), (weights * b * b).sum(), (weighted_a * b).sum()
                values.append(ab / np.sqrt(aa * bb))
    return percentile_interval(np.array(values), bounds=CORRELATION)


def _weighted_ranks(value_index: NDArray[np.intp], weights: NDArray[np.int64]) -> Floats:
    """Compute the mean rank of each row's value in a resample.

    Args:
        value_index: index of each row's value among the sorted distinct values.
        weights: how often each row occurs in the resample.
    """
    occurrences = np.bincount(value_index, weights=weights)
    return np.asarray((np.cumsum(occurrences) - occurrences / 2)[value_index])
