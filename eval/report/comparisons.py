"""Comparisons: paired differences between runs, accuracy by kind of element, calibration of elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from eval.metrics.calibration import CalibrationBin, calibration_bins
from eval.metrics.classification import element_accuracy, majority_class_accuracy
from eval.metrics.metric_value import MetricValue
from eval.metrics.significance import Difference, plcc_difference, share_difference, srcc_difference
from eval.report.answers import Floats, RunAnswers


def paired_differences(
    truth: Floats, base: RunAnswers, other: RunAnswers
) -> Iterator[tuple[str, RunAnswers, Difference]]:
    """Yield (measure, other run, difference) on the rows that both runs answered.

    Args:
        truth: human score of each row, NaN where there is none.
        base: the run that is subtracted.
        other: the run that is compared with it.
    """
    both = np.isfinite(base.predicted) & np.isfinite(other.predicted) & np.isfinite(truth)
    columns = base.predicted[both], other.predicted[both], truth[both]
    if np.isfinite(truth).any():
        yield "srcc", other, srcc_difference(*columns)
        yield "plcc", other, plcc_difference(*columns)
    if base.elements.truth and other.elements.truth:
        first, second = (run.elements.count_by_row(len(truth)) for run in (base, other))
        both = (first[:, 1] > 0) & (second[:, 1] > 0)
        yield "element_accuracy", other, share_difference(first[both], second[both])


def accuracy_of_kind(runs: Sequence[RunAnswers], kind: str) -> list[MetricValue]:
    """Return the accuracy of each run on one kind of element, then that of the best constant answer."""
    values, truth = list[MetricValue](), list[bool]()
    for run in runs:
        elements = run.elements
        indices = [i for i, element_kind in enumerate(elements.kinds) if element_kind == kind]
        truth = [elements.truth[i] for i in indices]
        probabilities = [elements.probabilities[i] for i in indices]
        rows = [elements.rows[i] for i in indices]
        values.append(element_accuracy(probabilities, truth, groups=rows, interval=True))
    return [*values, majority_class_accuracy(truth)]


def element_calibration(run: RunAnswers) -> list[CalibrationBin]:
    """Return bins of the probability that an element is present, with the share that is present."""
    return calibration_bins(*run.elements.answered())
