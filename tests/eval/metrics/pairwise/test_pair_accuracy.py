"""Accuracies over pairs and ranked lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from metric_values import defined, small_score_pairs

from eval.metrics.pairwise.pair_accuracy import (
    inversion_accuracy,
    pairwise_accuracy,
    preference_accuracy,
    tie_accuracy,
    tie_optimised_accuracy,
)


def enumerate_pairs(x, y):
    """(order by x, order by y, distance in x) of all pairs."""
    differences = [(x[i] - x[j], y[i] - y[j]) for i in range(len(x)) for j in range(i)]
    return [(float(np.sign(a)), float(np.sign(b)), abs(a)) for a, b in differences]


@given(small_score_pairs)
def test_pairwise_metrics_agree_with_counting_all_pairs(rows) -> None:
    x, y = np.array(rows, dtype=float).T
    pairs = enumerate_pairs(x, y)
    ordered = [(a, b) for a, b, _ in pairs if b]
    accuracy = pairwise_accuracy(x, y)
    if ordered:
        assert defined(accuracy) == pytest.approx(np.mean([a == b for a, b in ordered]))
    else:
        assert accuracy.value is None
    assert defined(tie_accuracy(x, y)) == pytest.approx(np.mean([a == b for a, b, _ in pairs]))
    best = max(
        np.mean([(b == 0) if d <= tie else a == b for a, b, d in pairs])
        for tie in {0.0, *(d for *_, d in pairs)}
    )
    optimised = tie_optimised_accuracy(x, y)
    assert defined(optimised.accuracy) == pytest.approx(best)
    assert defined(tie_accuracy(x, y, tie=optimised.tie)) == pytest.approx(best)


def test_pairs_of_different_groups_are_never_compared() -> None:
    x, y = [1.0, 2.0, 9.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    assert defined(pairwise_accuracy(x, y, ["a", "a", "b", "b"])) == 0.5
    assert pairwise_accuracy(x, y, list("abcd")).value is None


def test_a_preference_gives_half_a_point_where_exactly_one_side_ties() -> None:
    first, second = [2.0, 1.0, 1.0, 1.0, None], [1.0, 1.0, 2.0, 1.0, 3.0]
    # Right; the judge ties a decided pair; the judge decides a tied pair; both tie; no answer.
    points = preference_accuracy(first, second, [1, 1, 0.5, 0.5, 0])
    assert defined(points) == pytest.approx((1 + 0.5 + 0.5 + 1 + 0) / 5)


def test_inversions_are_counted_per_list_and_human_ties_are_no_inversions() -> None:
    # First list: perfect. Second list: of three pairs one is inverted, one is a human tie.
    predicted, ranks = [3.0, 2.0, 1.0, 5.0, 6.0, 1.0], [1.0, 2.0, 3.0, 1.0, 2.0, 2.0]
    accuracy = inversion_accuracy(predicted, ranks, ["a"] * 3 + ["b"] * 3)
    assert defined(accuracy) == pytest.approx((1 + (1 - 1 / 3)) / 2)
    tied = inversion_accuracy([1.0, 1.0], [1.0, 2.0], ["a", "a"])
    assert defined(tied) == 0.5
    assert "1 pairs that the judge ties" in tied.note
