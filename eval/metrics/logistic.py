"""The logistic mapping of predicted scores onto the human scale, as usual in image quality assessment."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.validation import check_pairs, is_constant
from judge.errors import InputError

Floats = NDArray[np.float64]


def fit_logistic(predicted: ArrayLike, truth: ArrayLike, *, parameters: int = 4) -> Floats | str:
    """Fit a logistic curve by least squares and map the predictions onto the scale of the truth.

    4 parameters: `b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))`, started at b = [max truth, min truth, mean
    prediction, standard deviation of the predictions (ddof 0)].

    5 parameters: `b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5`, started at b = [range of the truth, b2,
    mean prediction, 0, mean truth] with several b2 around 1 / standard deviation of the predictions. The fit
    with the least squared error is taken, because this curve has many local minima.

    Args:
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        parameters: 4 or 5.

    Returns:
        The mapped predictions, shape (rows,), or the reason why there are none.

    Raises:
        InputError: `parameters` is neither 4 nor 5, the arrays differ in length, or a value is not finite.
    """
    if parameters not in (4, 5):
        raise InputError("parameters", parameters, "4 or 5", "choose one of these")
    x, y = check_pairs(predicted, truth)
    if len(x) < parameters:
        return f"the {parameters}-parameter logistic needs at least {parameters} pairs, there are {len(x)}"
    if is_constant(x):
        return "all predictions are equal, so no curve can be fitted to them"
    if parameters == 4:
        curve: Callable[..., Floats] = _logistic_4
        starts = [_start_of_4(x, y)]
    else:
        curve, starts = _logistic_5, _starts_of_5(x, y)
    fits = [mapped for start in starts if (mapped := _fit(curve, x, y, start)) is not None]
    if not fits:
        return f"the fit of the {parameters}-parameter logistic did not converge"
    return min(fits, key=lambda mapped: float(np.square(mapped - y).sum()))


def _fit(curve: Callable[..., Floats], x: Floats, y: Floats, start: list[float]) -> Floats | None:
    """Return the mapped predictions, or None when the fit does not converge to finite values."""
    from scipy.optimize import OptimizeWarning, curve_fit

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # The warning is about the covariance of the parameters, which is not used here.
            warnings.simplefilter("ignore", OptimizeWarning)
            best, _ = curve_fit(curve, x, y, p0=start, maxfev=100_000 if len(start) == 4 else 5_000)
            mapped = curve(x, *best)
    except RuntimeError:
        return None
    return mapped if np.isfinite(mapped).all() else None


def _logistic_4(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    from scipy.special import expit

    return np.asarray(b2 + (b1 - b2) * expit((x - b3) / max(abs(b4), 1e-12)))


def _logistic_5(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    from scipy.special import expit

    return np.asarray(b1 * (0.5 - expit(-b2 * (x - b3))) + b4 * x + b5)


def _start_of_4(x: Floats, y: Floats) -> list[float]:
    return [float(y.max()), float(y.min()), float(x.mean()), float(x.std())]


def _starts_of_5(x: Floats, y: Floats) -> list[list[float]]:
    truth_range, steepness = float(np.ptp(y)), 1 / float(x.std())
    return [
        [truth_range, factor * steepness, float(x.mean()), 0.0, float(y.mean())]
        for factor in (1.0, -1.0, 0.1, 5.0)
    ]
