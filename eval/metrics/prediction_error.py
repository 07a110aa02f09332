"""Errors of predicted scores on the scale of the truth: RMSE and MAE."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import interval_from_sums
from eval.metrics.logistic import fit_logistic
from eval.metrics.metric_value import MetricValue
from eval.metrics.validation import check_pairs, is_constant

Floats = NDArray[np.float64]


def rmse(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    logistic_parameters: int = 0,
    interval: bool = False,
) -> MetricValue:
    """Compute the root mean squared error, on the scale of the truth.

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        logistic_parameters: 4 or 5: map the predictions by `fit_logistic` first; 0: take them as they are.
        interval: add a bootstrap interval over rows; the fitted curve is held fixed in it.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite.
    """
    return _mean_error(predicted, truth, np.square, np.sqrt, logistic_parameters, interval)


def mae(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    logistic_parameters: int = 0,
    interval: bool = False,
) -> MetricValue:
    """Compute the mean absolute error, on the scale of the truth. Arguments are those of `rmse`."""
    return _mean_error(predicted, truth, np.abs, lambda mean: mean, logistic_parameters, interval)


def rescaled_rmse(predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False) -> MetricValue:
    """Compute RMSE of predictions rescaled to the mean and the standard deviation of the truth.

    It is the RMSE of `test.py` of T2VQA, and a function of PLCC: std(truth) * sqrt(2 - 2 PLCC).

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        interval: add a bootstrap interval over rows; mean and deviation are held fixed in it.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite.
    """
    x, y = check_pairs(predicted, truth)
    if not len(x):
        return MetricValue(None, "there is nothing to compare", 0)
    if is_constant(x):
        return MetricValue(None, "all predictions are equal, so they cannot be rescaled", len(x))
    return rmse((x - x.mean()) / x.std() * y.std() + y.mean(), y, interval=interval)


def _mean_error(
    predicted: ArrayLike,
    truth: ArrayLike,
    loss: Callable[[Floats], Floats],
    inverse: Callable[[Floats], Floats],
    logistic_parameters: int,
    interval: bool,
) -> MetricValue:
    """Compute `inverse(mean(loss(predicted - truth)))`."""
    x, y = check_pairs(predicted, truth)
    if not len(x):
        return MetricValue(None, "there is nothing to compare", 0)
    if logistic_parameters:
        mapped = fit_logistic(x, y, parameters=logistic_parameters)
        if isinstance(mapped, str):
            return MetricValue(None, mapped, len(x))
        x = mapped
    losses = loss(x - y)
    confidence = None
    if interval:
        bounds = float(inverse(losses.min())), float(inverse(losses.max()))
        formula = partial(_invert_mean, inverse=inverse, count=len(losses))
        confidence = interval_from_sums(losses[:, None], formula, bounds=bounds)
    return MetricValue(float(inverse(losses.mean())), "", len(x), confidence)


def _invert_mean(sums: Floats, inverse: Callable[[Floats], Floats], count: int) -> Floats:
    return inverse(sums[:, 0] / count)
