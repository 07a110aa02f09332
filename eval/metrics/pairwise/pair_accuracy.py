"""Accuracies over pairs and ranked lists: which of two items is better, by people and by the judge.

Greater is better on both sides, unless a function says otherwise. With `groups` (a prompt, a ranked list)
only items of the same group are compared; without, all items are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import SHARE, ratio_interval
from eval.metrics.metric_value import Interval, MetricValue
from eval.metrics.pairwise.pair_statistics import (
    compute_row_means,
    iterate_pair_differences,
    pair_formula_interval,
    sample_pair_differences,
)
from eval.metrics.validation import check_pairs, group_rows
from judge.errors import InputError

Floats = NDArray[np.float64]

MAX_PAIRS = 50_000_000
"""Most pairs that `tie_optimised_accuracy` compares, enough for the 9,600 images of GenAI-Bench. Of larger
sets, so many pairs are drawn at random."""


# ------------------------------------------------------------------------------------ pairs of all rows


def pairwise_accuracy(
    predicted: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    interval: bool = False,
) -> MetricValue:
    """Compute the share of pairs that the judge orders as people do, pooled over groups (ImageReward's rule).

    Pairs that people tie are left out; a pair that the judge ties is wrong.

    Args:
        predicted: the judge's scores, shape (rows,).
        truth: human scores, shape (rows,).
        groups: group of each row; None: compare all rows.
        interval: add a bootstrap interval; it draws groups, or rows without groups.

    Returns:
        The accuracy, 0..1. Its `count` is the number of pairs.
    """
    x, y = check_pairs(predicted, truth)
    if groups is None:
        return _ungrouped_accuracy(x, y, interval)
    counts = [_count_right_pairs(x[rows], y[rows]) for rows in group_rows(groups, len(x))]
    table = np.array(counts, dtype=np.float64)
    right, pairs = table.reshape(-1, 2).sum(axis=0)
    if not pairs:
        return MetricValue(None, "no pair of the same group has different human scores", 0)
    confidence = ratio_interval(table, SHARE) if interval else None
    return MetricValue(float(right / pairs), "", int(pairs), confidence)


def _ungrouped_accuracy(x: Floats, y: Floats, interval: bool) -> MetricValue:
    right, pairs = _count_right_pairs(x, y)
    if not pairs:
        return MetricValue(None, "no pair has different human scores", 0)
    if not interval:
        return MetricValue(right / pairs, "", pairs)
    ordered = compute_row_means(x, y, lambda dx, dy: dy != 0)
    agreeing = compute_row_means(x, y, lambda dx, dy: (dx * np.sign(dy)) > 0)
    confidence = pair_formula_interval([agreeing, ordered], lambda a, o: a / o, right / pairs, SHARE)
    return MetricValue(right / pairs, "", pairs, confidence)


def _count_right_pairs(x: Floats, y: Floats) -> tuple[int, int]:
    """Count the pairs ordered alike, and the pairs that people order."""
    right = total = 0
    for dx, dy in iterate_pair_differences(x, y):
        right += int((dx * np.sign(dy) > 0).sum())
        total += int(np.count_nonzero(dy))
    return right, total


def tie_accuracy(predicted: ArrayLike, truth: ArrayLike, *, tie: float = 0.0) -> MetricValue:
    """Compute the share of all pairs ordered as people order them, ties included.

    A pair that both sides tie is right.

    Args:
        predicted: the judge's scores, shape (rows,).
        truth: human scores, shape (rows,).
        tie: predicted scores at most this far apart are a tie.
    """
    x, y = check_pairs(predicted, truth)
    right = total = 0
    for dx, dy in iterate_pair_differences(x, y):
        right += int(_agreements(dx, dy, tie).sum())
        total += len(dx)
    if not total:
        return MetricValue(None, f"a pair needs two, there are {len(x)}", 0)
    return MetricValue(right / total, "", total)


@dataclass(frozen=True)
class TieOptimisedAccuracy:
    """The best `tie_accuracy` over all thresholds, and that threshold."""

    accuracy: MetricValue
    tie: float | None
    """Predicted scores at most this far apart are a tie; None where the accuracy is undefined."""


def tie_optimised_accuracy(
    predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False, seed: int = 0
) -> TieOptimisedAccuracy:
    """Compute the pairwise accuracy with the best tie threshold (Deutsch et al. 2023), as GenAI-Bench does.

    Of equally good thresholds the smallest is taken. When there are more than `MAX_PAIRS` pairs, a random
    sample of that size is compared, and the note says so.

    Args:
        predicted: the judge's scores, shape (rows,).
        truth: human scores, shape (rows,).
        interval: add a bootstrap interval; the threshold is held fixed in it.
        seed: seed for drawing pairs.
    """
    x, y = check_pairs(predicted, truth)
    pairs = len(x) * (len(x) - 1) // 2
    if not pairs:
        return TieOptimisedAccuracy(MetricValue(None, f"a pair needs two, there are {len(x)}", 0), None)
    if pairs > MAX_PAIRS:
        blocks = iter([sample_pair_differences(x, y, MAX_PAIRS, seed)])
        note, pairs = f"from {MAX_PAIRS} of {pairs} pairs, drawn at random", MAX_PAIRS
    else:
        blocks, note = iterate_pair_differences(x, y), ""
    right, tie = _best_tie(blocks)
    value = right / pairs
    confidence = _tie_accuracy_interval(x, y, value, tie) if interval else None
    return TieOptimisedAccuracy(MetricValue(value, note, pairs, confidence), tie)


def _agreements(dx: Floats, dy: Floats, tie: float) -> NDArray[np.bool_]:
    tied = np.abs(dx) <= tie
    return np.asarray(np.where(tied, dy == 0, (dx * np.sign(dy)) > 0))


def _best_tie(blocks: Iterable[tuple[Floats, Floats]]) -> tuple[int, float]:
    """Find the largest number of right pairs, and the smallest threshold that reaches it.

    At a threshold t, human ties at most t apart are right, and pairs of the human order more than t apart.
    Pairs of the other order never are, so they are not kept, and the number rises only at distances of human
    ties: the threshold is 0 or one of these.

    Args:
        blocks: differences of predictions and of truth, each of shape (pairs in the block,).
    """
    ties, same_order = list[Floats](), list[Floats]()
    for dx, dy in blocks:
        ties.append(np.abs(dx[dy == 0]))
        same_order.append(np.abs(dx[dx * np.sign(dy) > 0]))
    tied, ordered = np.sort(np.concatenate(ties)), np.sort(np.concatenate(same_order))
    right_at_zero = int(np.searchsorted(tied, 0.0, "right")) + len(ordered)
    thresholds, last = np.unique(tied, return_counts=True)
    right = np.cumsum(last) + len(ordered) - np.searchsorted(ordered, thresholds, "right")
    if not len(right) or int(right.max()) <= right_at_zero:
        return right_at_zero, 0.0
    best = int(right.argmax())  # The first of equal ones, so the smallest threshold.
    return int(right[best]), float(thresholds[best])


def _tie_accuracy_interval(x: Floats, y: Floats, value: float, tie: float) -> Interval:
    agreement = compute_row_means(x, y, lambda dx, dy: _agreements(dx, dy, tie))
    return pair_formula_interval([agreement], lambda a: a, value, SHARE)


# ---------------------------------------------------------------------------- listed pairs, ranked lists


def preference_accuracy(
    first: Sequence[float | None],
    second: Sequence[float | None],
    label: Sequence[float],
    *,
    interval: bool = False,
) -> MetricValue:
    """Compute the mean points over listed pairs (Pick-a-Pic's rule).

    A pair gives 1 point where the preferred item scores higher or both sides tie, 1/2 where exactly one side
    ties (the judge ties a pair that people decide, or decides a pair that people tie), and 0 otherwise.

    Args:
        first: the judge's score of the first item of each pair; None where it gave none (the pair gives 0).
        second: the judge's score of the second item.
        label: 1 where people prefer the first, 0 the second, 0.5 neither.
        interval: add a bootstrap interval over pairs.

    Raises:
        InputError: the arguments differ in length.
    """
    if not len(first) == len(second) == len(label):
        raise InputError("label", len(label), f"{len(first)} pairs", "pair all sides first")
    if not len(label):
        return MetricValue(None, "there is nothing to compare", 0)
    points = []
    for a, b, human in zip(first, second, label, strict=True):
        predicted = None if a is None or b is None else 0.5 + 0.5 * float(np.sign(a - b))
        points.append(0.0 if predicted is None else 1.0 - abs(predicted - human))
    table = np.array([[point, 1.0] for point in points])
    value = float(table[:, 0].mean())
    return MetricValue(value, "", len(points), ratio_interval(table, SHARE) if interval else None)


def inversion_accuracy(
    predicted: ArrayLike,
    ranks: ArrayLike,
    groups: Sequence[Hashable],
    *,
    interval: bool = False,
) -> MetricValue:
    """Compute the mean over ranked lists of 1 - inversions / pairs (HPDv2's rule).

    A pair is inverted where people and the judge order it in opposite ways; a human tie is never inverted.
    The official script ranks by argsort, which breaks the judge's ties by position. Here such a tie counts as
    half an inversion, the average of breaking it either way, and the note says how many there were.

    Args:
        predicted: the judge's scores, greater is better, shape (rows,).
        ranks: human ranks within the list, 1 is best, shape (rows,).
        groups: the list that each row belongs to.
        interval: add a bootstrap interval; it draws lists.
    """
    x, y = check_pairs(predicted, ranks)
    accuracies, judge_ties = [], 0
    for rows in group_rows(groups, len(x)):
        if len(rows) < 2:
            continue
        i, j = np.triu_indices(len(rows), 1)
        a, b = np.sign(x[rows][i] - x[rows][j]), -np.sign(y[rows][i] - y[rows][j])
        tied = int(((a == 0) & (b != 0)).sum())
        accuracies.append(1.0 - (int((a * b < 0).sum()) + tied / 2) / len(i))
        judge_ties += tied
    if not accuracies:
        return MetricValue(None, "no list has two items to compare", 0)
    note = f"{judge_ties} pairs that the judge ties count as half an inversion" if judge_ties else ""
    table = np.array([[accuracy, 1.0] for accuracy in accuracies])
    confidence = ratio_interval(table, SHARE) if interval else None
    return MetricValue(float(table[:, 0].mean()), note, len(accuracies), confidence)
