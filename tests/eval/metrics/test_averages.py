"""Weighted sums of metrics and medians over groups."""

from __future__ import annotations

import numpy as np
import pytest
from metric_values import defined

from eval.metrics.averages import group_median, weighted_sum
from eval.metrics.correlation import plcc, srcc


def test_the_group_median_leaves_out_groups_without_a_correlation() -> None:
    scenes = ["a"] * 3 + ["b"] * 3 + ["c"]
    x = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 9.0]
    y = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 5.0]
    median = group_median(srcc, x, y, scenes, interval=True)
    assert (median.value, median.count) == (0.0, 2)
    assert "1 of 3 groups" in median.note
    assert group_median(srcc, [1.0], [2.0], ["a"]).value is None


def test_a_weighted_sum_is_undefined_when_a_part_is_and_its_interval_contains_it() -> None:
    truth, noise = np.random.default_rng(1).normal(size=(2, 120))
    predicted = truth + noise
    parts = {"a": srcc(predicted, truth, interval=True), "b": plcc(predicted, truth, interval=True)}
    total = weighted_sum(parts, {"a": 0.5, "b": 0.5})
    assert defined(total) == pytest.approx((parts["a"].value + parts["b"].value) / 2)
    assert total.interval.low <= total.value <= total.interval.high
    undefined = weighted_sum({"a": srcc([1.0, 1.0], [1.0, 2.0])}, {"a": 1.0})
    assert undefined.value is None
    assert "predictions are equal" in undefined.note
