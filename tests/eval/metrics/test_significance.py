"""Significance of the difference between two judges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.metrics.significance import Difference, plcc_difference, share_difference, srcc_difference
from judge.errors import InputError


def make_scores(seed: int, noise: float, count: int = 300) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the truth, which is the same for every seed, and scores with noise."""
    random = np.random.default_rng(seed)
    truth = np.random.default_rng(0).normal(size=count)
    return truth, truth + noise * random.normal(size=count)


@pytest.mark.slow
@pytest.mark.parametrize("difference", [srcc_difference, plcc_difference])
def test_a_better_judge_differs_significantly_and_an_equal_one_does_not(
    difference: Callable[..., Difference],
) -> None:
    truth, good = make_scores(1, 0.5)
    _, bad = make_scores(2, 2.0)
    _, equal = make_scores(3, 0.5)
    better = difference(bad, good, truth)
    assert better.value > 0.2 and better.low > 0 and better.p < 0.01 and better.count == 300
    assert difference(good, bad, truth).value == pytest.approx(-better.value)
    same = difference(good, equal, truth)
    assert same.low < 0 < same.high and same.p > 0.05
    assert difference(good, good, truth).p == 1.0


@pytest.mark.slow
def test_equal_judges_are_rarely_called_different() -> None:
    """The p-value holds its level: about one in twenty equally good judges is called different."""
    truth = make_scores(0, 1.0, 60)[0]
    differences = [
        srcc_difference(make_scores(2 * n, 1.0, 60)[1], make_scores(2 * n + 1, 1.0, 60)[1], truth)
        for n in range(1, 13)
    ]
    assert sum(difference.p < 0.05 for difference in differences) <= 3


def test_shares_are_compared_by_image() -> None:
    first = np.array([[1, 2]] * 50)
    second = np.array([[2, 2]] * 50)
    difference = share_difference(first, second)
    assert difference.value == 0.5 and difference.p is not None and difference.p < 0.01


def test_a_comparison_that_is_not_possible_has_a_note() -> None:
    assert "needs" in srcc_difference([1, 2], [2, 1], [1, 2]).note
    constant = srcc_difference([3.0] * 9, list(range(9)), list(range(9)))
    assert constant.value is None and "equal" in constant.note
    with pytest.raises(InputError):
        srcc_difference([1, 2], [1], [1, 2])
