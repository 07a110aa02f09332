"""Bootstrap intervals: their width, their seed, and the fast intervals against the slow ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from metric_values import small_score_pairs

from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.classification import element_accuracy
from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.pairwise.pair_accuracy import pairwise_accuracy, tie_optimised_accuracy
from eval.metrics.prediction_error import mae, rmse

TRUTH, NOISE = np.random.default_rng(1).normal(size=(2, 120))
PREDICTED = TRUTH + NOISE
METRICS = {
    "srcc": srcc,
    "plcc": plcc,
    "plcc fitted": lambda x, y, **options: plcc(x, y, logistic_parameters=4, **options),
    "krcc": krcc,
    "rmse": rmse,
    "mae": mae,
    "pairs": pairwise_accuracy,
    "ties": lambda x, y, **options: tie_optimised_accuracy(x, y, **options).accuracy,
}


def test_an_interval_contains_the_value_and_narrows_with_more_images() -> None:
    def width(count: int) -> float:
        right = np.arange(count) % 4 > 0
        interval = bootstrap_interval(lambda rows: float(right[rows].mean()), count)
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < 0.75 < interval.high
        return interval.high - interval.low

    assert width(400) == pytest.approx(width(100) / 2, rel=0.2)
    assert width(100) == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 100), rel=0.15)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    first, second = (bootstrap_interval(lambda rows: float(values[rows].mean()), 30) for _ in range(2))
    assert first == second


def test_an_undefined_interval_has_a_note() -> None:
    assert "at least 2 images" in bootstrap_interval(lambda rows: 1.0, 1).note
    undefined = bootstrap_interval(lambda rows: None, 5, resamples=10)
    note = "undefined in 10 of 10 draws: too few data"
    assert (undefined.low, undefined.high, undefined.note) == (None, None, note)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_fast_interval_of_a_metric_agrees_with_the_plain_bootstrap(metric) -> None:
    """The plain bootstrap computes the metric once per resample."""
    fast = metric(PREDICTED, TRUTH, interval=True)
    slow = bootstrap_interval(lambda i: metric(PREDICTED[i], TRUTH[i]).value, len(PREDICTED), resamples=300)
    width = slow.high - slow.low
    assert fast.interval.low <= fast.value <= fast.interval.high
    assert fast.interval.low == pytest.approx(slow.low, abs=0.25 * width)
    assert fast.interval.high == pytest.approx(slow.high, abs=0.25 * width)


def test_elements_of_one_image_are_drawn_together() -> None:
    predicted, truth = [0.9] * 40, [1.0] * 20 + [0.0] * 20
    by_element = element_accuracy(predicted, truth, interval=True).interval
    by_image = element_accuracy(predicted, truth, groups=[i // 10 for i in range(40)], interval=True).interval
    assert by_image.high - by_image.low > 1.5 * (by_element.high - by_element.low)


@settings(max_examples=25, deadline=None)
@given(small_score_pairs)
def test_no_metric_and_no_interval_is_ever_nan(rows) -> None:
    x, y = np.array(rows, dtype=float).T
    for metric in METRICS.values():
        json.dumps(metric(x, y, interval=True).as_dict(), allow_nan=False)
