"""Accuracy of yes-or-no answers, and precision, recall and F1 from counts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import SHARE, interval_from_sums, ratio_interval
from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

Floats = NDArray[np.float64]


# ---------------------------------------------------------------------------------------------- accuracy


def accuracy(
    predicted: Sequence[Hashable | None],
    truth: Sequence[Hashable],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> MetricValue:
    """Compute the share of equal answers, 0..1. A missing answer (None) is wrong.

    Args:
        predicted: the judge's answers.
        truth: the true answers.
        groups: the image each answer belongs to.
        interval: add a bootstrap interval; it draws groups, or single answers without groups.

    Raises:
        InputError: the arguments differ in length.
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} answers", "pair both sides first")
    if not truth:
        return MetricValue(None, "there is nothing to compare", 0)
    right = [p is not None and p == t for p, t in zip(predicted, truth, strict=True)]
    table = _sum_by_group([[r, 1] for r in right], groups)
    confidence = ratio_interval(table, SHARE) if interval else None
    return MetricValue(sum(right) / len(truth), "", len(truth), confidence)


def element_accuracy(
    probabilities: Sequence[float | None],
    truth: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> MetricValue:
    """Compute the share of elements judged right, pooled over all images. Both sides are cut at >= 0.5.

    Args:
        probabilities: probability that the element is present, 0..1; None where the judge gave no answer,
            which is wrong.
        truth: 0..1, for example the mean over annotators; booleans are fine.
        groups: the image each element belongs to; the interval draws images.
        interval: add a bootstrap interval.
    """
    return accuracy(_cut_at_half(probabilities), _cut_at_half(truth), groups=groups, interval=interval)


def accuracy_by_kind(
    kinds: Sequence[str], probabilities: Sequence[float | None], truth: Sequence[float]
) -> dict[str, MetricValue]:
    """Compute `element_accuracy` within each kind of element.

    Args:
        kinds: kind of each element.
        probabilities: as for `element_accuracy`.
        truth: as for `element_accuracy`.

    Returns:
        Accuracy by kind, kinds in order of first appearance.

    Raises:
        InputError: the arguments differ in length.
    """
    if len(kinds) != len(truth) or len(probabilities) != len(truth):
        raise InputError("kinds", len(kinds), f"one kind per element, {len(truth)}", "pair all sides first")
    rows: dict[str, list[int]] = {}
    for row, kind in enumerate(kinds):
        rows.setdefault(kind, []).append(row)
    return {
        kind: element_accuracy([probabilities[i] for i in indices], [truth[i] for i in indices])
        for kind, indices in rows.items()
    }


def majority_class_accuracy(truth: Sequence[Hashable]) -> MetricValue:
    """Compute the accuracy of the best constant answer: a judge that ignores its input reaches this much."""
    if not truth:
        return MetricValue(None, "there is nothing to compare", 0)
    return MetricValue(max(truth.count(t) for t in set(truth)) / len(truth), "", len(truth))


def image_accuracy(
    predicted: Sequence[Sequence[Any] | None], truth: Sequence[Sequence[Any]], *, interval: bool = False
) -> MetricValue:
    """Compute the share of images rightly called clean or defective, regardless of the defects' places.

    Args:
        predicted: predicted defects of each image; None where the judge gave no answer, which is wrong.
        truth: true defects of each image.
        interval: add a bootstrap interval over images.
    """
    has_defects = [None if defects is None else bool(defects) for defects in predicted]
    return accuracy(has_defects, [bool(defects) for defects in truth], interval=interval)


def _cut_at_half(values: Sequence[float | None]) -> list[bool | None]:
    return [None if value is None else bool(value >= 0.5) for value in values]


def _sum_by_group(rows: Sequence[Sequence[float]], groups: Sequence[Hashable] | None) -> Floats:
    """Sum the rows within each group, shape (groups, columns); without groups return the rows themselves."""
    table = np.array(rows, dtype=np.float64)
    if groups is None or not len(table):
        return table
    if len(groups) != len(table):
        raise InputError("groups", len(groups), f"one per answer, {len(table)}", "pair all sides first")
    numbers: dict[Hashable, int] = {}
    group_numbers = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    return np.stack([np.bincount(group_numbers, weights=column) for column in table.T], axis=1)


# ------------------------------------------------------------------------------- precision, recall and F1


def element_f1(
    probabilities: Sequence[float | None],
    truth: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> tuple[MetricValue, MetricValue, MetricValue]:
    """Compute F1, precision and recall of "present", pooled over all images. Both sides are cut at >= 0.5.

    An element without an answer counts as not predicted. Arguments are those of `element_accuracy`.

    Raises:
        InputError: the arguments differ in length.
    """
    if len(probabilities) != len(truth):
        raise InputError("probabilities", len(probabilities), f"{len(truth)} answers", "pair both sides")
    rows = [
        [bool(p and t), bool(p), bool(p and t), bool(t)]
        for p, t in zip(_cut_at_half(probabilities), _cut_at_half(truth), strict=True)
    ]
    counts = _sum_by_group(rows, groups).astype(np.int64).reshape(-1, 4)
    return f1_from_counts(counts, "present element", interval=interval)


def f1_from_counts(
    counts: NDArray[np.int64], noun: str = "region", *, interval: bool = False
) -> tuple[MetricValue, MetricValue, MetricValue]:
    """Compute F1, precision and recall from counts, summed over all rows.

    Precision and recall have hits of their own, because several predictions may hit one true region.

    Args:
        counts: shape (rows, 4): predictions that hit, predictions, true ones that are hit, true ones. A row
            is usually an image.
        noun: what is counted; the notes call it so.
        interval: add bootstrap intervals over rows.

    Returns:
        F1, precision and recall, 0..1.
    """
    values = _f1_values(counts, noun)
    if not interval:
        return values
    table, formulas = counts.reshape(-1, 4).astype(np.float64), (_f1, _precision, _recall)
    return tuple(  # type: ignore[return-value]
        m if m.value is None else replace(m, interval=interval_from_sums(table, formula, bounds=SHARE))
        for m, formula in zip(values, formulas, strict=True)
    )


def _f1_values(counts: NDArray[np.int64], noun: str) -> tuple[MetricValue, MetricValue, MetricValue]:
    hits, predicted, true_hit, true = (int(n) for n in counts.reshape(-1, 4).sum(axis=0))
    no_predicted, no_true = f"no {noun} was predicted at all", f"the truth has no {noun}"
    precision = MetricValue(hits / predicted, "", predicted) if predicted else MetricValue(None, no_predicted)
    recall = MetricValue(true_hit / true, "", true) if true else MetricValue(None, no_true)
    if not predicted and not true:
        return MetricValue(None, f"{no_true} and none was predicted"), precision, recall
    if not predicted or not true:
        note = f"{no_predicted}, so F1 is 0" if true else f"{no_true}, so every prediction is wrong"
        return MetricValue(0.0, note, predicted + true), precision, recall
    p, r = hits / predicted, true_hit / true
    return MetricValue(2 * p * r / (p + r) if p + r else 0.0, "", predicted + true), precision, recall


def _precision(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _recall(sums: Floats) -> Floats:
    return np.asarray(sums[:, 2] / sums[:, 3])


def _f1(sums: Floats) -> Floats:
    """Return 0 where one side is empty or nothing hits, and NaN where both sides are empty."""
    p, r = np.nan_to_num(_precision(sums)), np.nan_to_num(_recall(sums))
    f1 = 2 * p * r / np.where(p + r > 0, p + r, 1)
    return np.where(sums[:, 1] + sums[:, 3] > 0, f1, np.nan)
