"""Temperature, exponential tilting and means of distributions over labels."""

from __future__ import annotations

import pytest

from judge.pipeline.distributions import apply_temperature, expectation, tilt_to_mean

SHARES = [0.1, 0.2, 0.4, 0.2, 0.1]


def test_tilting_to_the_own_mean_changes_nothing() -> None:
    assert tilt_to_mean(SHARES, 3) == pytest.approx(SHARES, abs=1e-9)


@pytest.mark.parametrize("mean", [1, 1.01, 2.5, 4.99, 5])
def test_a_tilted_distribution_has_the_given_mean(mean: float) -> None:
    assert expectation(tilt_to_mean(SHARES, mean)) == pytest.approx(mean, abs=1e-6)


def test_tilting_works_for_labels_of_probability_zero() -> None:
    assert expectation(tilt_to_mean([1, 0, 0, 0, 0], 4)) == pytest.approx(4, abs=1e-6)


def test_temperatures_above_one_flatten_and_below_one_sharpen() -> None:
    assert apply_temperature([0.2, 0.8], 1) == pytest.approx([0.2, 0.8])
    assert apply_temperature([0.2, 0.8], 2)[1] < 0.8 < apply_temperature([0.2, 0.8], 0.5)[1]
