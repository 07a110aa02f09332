"""Calibration of probabilities: bins of a reliability diagram, and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import SHARE, interval_from_sums
from eval.metrics.metric_value import MetricValue
from eval.metrics.validation import check_pairs
from judge.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationBin:
    """Answers of similar probability."""

    low: float
    high: float
    """Probabilities from `low` (included) to `high` (excluded, except for 1)."""
    count: int
    confidence: float | None
    """Mean probability of the answers in the bin; None when there are none."""
    frequency: float | None
    """Share of them that are true; None when there are none."""


def calibration_bins(
    probabilities: Sequence[float], truth: Sequence[bool], *, bins: int = 10
) -> list[CalibrationBin]:
    """Sort answers into bins of equal width, with the mean probability and the share of true answers in each.

    Args:
        probabilities: probability of each answer, 0..1.
        truth: whether the answer is true.
        bins: number of bins.

    Raises:
        InputError: the arguments differ in length, or a probability is not within 0..1.
    """
    p, bin_index, t = _assign_bins(probabilities, truth, bins)
    result = []
    for number in range(bins):
        inside = bin_index == number
        count = int(inside.sum())
        confidence, frequency = (float(p[inside].mean()), float(t[inside].mean())) if count else (None, None)
        result.append(CalibrationBin(number / bins, (number + 1) / bins, count, confidence, frequency))
    return result


def expected_calibration_error(
    probabilities: Sequence[float], truth: Sequence[float], *, bins: int = 10, interval: bool = False
) -> MetricValue:
    """Compute the expected calibration error, 0..1.

    It is the mean over answers of the distance between the mean probability and the mean truth of their bin.

    Args:
        probabilities: probability of each answer, 0..1.
        truth: 0..1; may be a share, for example of the annotators who gave the answer.
        bins: number of bins of equal width.
        interval: add a bootstrap interval over answers.

    Raises:
        InputError: the arguments differ in length, or a probability is not within 0..1.
    """
    p, bin_index, t = _assign_bins(probabilities, truth, bins)
    if not len(p):
        return MetricValue(None, "there is nothing to compare", 0)
    table = np.zeros((len(p), bins))
    table[np.arange(len(p)), bin_index] = p - t

    def error(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums).sum(axis=1) / len(p))

    value = float(error(table.sum(axis=0, keepdims=True))[0])
    confidence = interval_from_sums(table, error, bounds=SHARE) if interval else None
    return MetricValue(value, "", len(p), confidence)


def _assign_bins(
    probabilities: Sequence[float], truth: Sequence[float], bins: int
) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return probabilities, bin numbers and truth, shape (answers,) each."""
    p, t = check_pairs(probabilities, truth)
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise InputError("probabilities", float(p.min()), "0 to 1", "give probabilities")
    return p, np.minimum((p * bins).astype(np.intp), bins - 1), t
