"""Operations on probability distributions over the labels 1, 2, ... of a score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]


def expectation(shares: Sequence[float]) -> float:
    """Return the mean of the labels 1, 2, ..., n under a distribution.

    Args:
        shares: n probabilities that sum to 1.

    Returns:
        The mean, limited to 1..n.
    """
    return min(float(len(shares)), max(1.0, sum(label * share for label, share in enumerate(shares, 1))))


def apply_temperature(shares: Sequence[float], temperature: float) -> list[float]:
    """Raise probabilities to the power 1 / temperature and renormalise them (Guo et al. 2017).

    Args:
        shares: probabilities.
        temperature: above 0; values above 1 flatten the distribution, values below 1 sharpen it.
    """
    powers = [share ** (1 / temperature) for share in shares]
    total = sum(powers)
    return [power / total for power in powers]


def tilt_to_mean(shares: Sequence[float], mean: float) -> list[float]:
    """Tilt a distribution exponentially until it has a given mean.

    Each share is multiplied by exp(t * label) and the result renormalised, with t such that the mean is met.
    Of all distributions with this mean, it is the nearest to the original by the Kullback-Leibler divergence.

    Args:
        shares: probabilities of the labels 1, 2, ..., summing to 1.
        mean: between the first and the last label; at either end all weight goes to that label.
    """
    count = len(shares)
    target = min(max(mean, 1 + 1e-9), count - 1e-9)
    logs = [math.log(max(share, 1e-12)) for share in shares]
    low, high = -200.0, 200.0
    for _ in range(80):
        middle = (low + high) / 2
        is_above = expectation(_tilt_by_slope(logs, middle)) > target
        low, high = (low, middle) if is_above else (middle, high)
    return _tilt_by_slope(logs, (low + high) / 2)


def _tilt_by_slope(logs: Sequence[float], slope: float) -> list[float]:
    heights = [log + slope * label for label, log in enumerate(logs, 1)]
    top = max(heights)
    weights = [math.exp(height - top) for height in heights]
    total = sum(weights)
    return [weight / total for weight in weights]


def spread_over_labels(values: Row, shares: Row) -> list[float]:
    """Convert a distribution over any numbers to one over the labels 1 to 5 with the same mean.

    Each value is divided between its two neighbouring labels.

    Args:
        values: numbers, limited to 1..5; any shape.
        shares: probabilities of the values, of the same shape.

    Returns:
        Probabilities of the labels 1 to 5.
    """
    values, shares = values.ravel().clip(1, 5), shares.ravel()
    low = np.minimum(values.astype(int), 4)
    upper_shares = shares * (values - low)
    labels = (np.bincount(low, shares - upper_shares, 6) + np.bincount(low + 1, upper_shares, 6))[1:]
    return [min(1.0, max(0.0, share)) for share in (labels / labels.sum()).tolist()]
