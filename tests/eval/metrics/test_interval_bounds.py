"""No interval leaves the range of its metric, whatever the data: few rows, ties, near copies."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import eval.metrics as metrics_package
from eval.metrics.averages import group_median, mean, weighted_sum
from eval.metrics.boxes import box_f1
from eval.metrics.calibration import expected_calibration_error
from eval.metrics.classification import (
    accuracy,
    element_accuracy,
    element_f1,
    f1_from_counts,
    image_accuracy,
)
from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.masks import pixel_f1, pixel_f1_from_counts, pixel_iou, pixel_iou_from_counts, region_f1
from eval.metrics.metric_value import MetricValue
from eval.metrics.pairwise.pair_accuracy import (
    inversion_accuracy,
    pairwise_accuracy,
    preference_accuracy,
    tie_optimised_accuracy,
)
from eval.metrics.pairwise.ranking import bradley_terry
from eval.metrics.prediction_error import mae, rescaled_rmse, rmse
from eval.metrics.significance import plcc_difference, share_difference, srcc_difference

SHARE, CORRELATION, ERROR = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)
Rows = list[tuple[float, float]]
rows = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 1e-9, 0.7]), st.floats(0, 1)),
        st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)),
    ),
    min_size=2,
    max_size=12,
)


def columns(data: Rows) -> tuple[list[float], list[float]]:
    return [a for a, _ in data], [b for _, b in data]


def groups(data: Rows) -> list[int]:
    return [index // 3 for index in range(len(data))]


def counts(data: Rows) -> np.ndarray:
    table = [(round(3 * a * b), round(3 * a), round(3 * min(a, b)), round(3 * b)) for a, b in data]
    return np.array([(min(h, p), p, min(k, t), t) for h, p, k, t in table])


def boxes(side: list[float]) -> list[list[tuple[float, float, float, float]]]:
    return [[(0, 0, 9 * value, 9)] if value > 0.1 else [] for value in side]


def masks(side: list[float]) -> list[np.ndarray]:
    return [(np.arange(64).reshape(8, 8) < 64 * value).astype(np.uint8) for value in side]


def run(metric: Callable[..., Any], data: Rows) -> Any:
    """Call a metric on rows of two numbers 0..1, in the form that it takes."""
    x, y = columns(data)
    labels = [round(2 * value) / 2 for value in y]
    calls: dict[Callable[..., Any], Callable[[], Any]] = {
        mean: lambda: mean(x, interval=True),
        group_median: lambda: group_median(srcc, x, y, groups(data), interval=True),
        accuracy: lambda: accuracy([a > 0.5 for a in x], [b > 0.5 for b in y], interval=True),
        image_accuracy: lambda: image_accuracy(boxes(x), boxes(y), interval=True),
        f1_from_counts: lambda: f1_from_counts(counts(data), interval=True),
        box_f1: lambda: box_f1(boxes(x), boxes(y), interval=True),
        region_f1: lambda: region_f1(masks(x)[:3], masks(y)[:3], interval=True),
        pixel_f1: lambda: pixel_f1(masks(x), masks(y), interval=True),
        pixel_iou: lambda: pixel_iou(masks(x), masks(y), interval=True),
        pixel_f1_from_counts: lambda: pixel_f1_from_counts([(1, 2, 3)] * len(x), interval=True),
        pixel_iou_from_counts: lambda: pixel_iou_from_counts([(1, 2, 3)] * len(x), interval=True),
        inversion_accuracy: lambda: inversion_accuracy(x, labels, groups(data), interval=True),
        preference_accuracy: lambda: preference_accuracy(x, y, labels, interval=True),
        bradley_terry: list,  # Strengths have no bounds.
    }
    return calls.get(metric, lambda: metric(x, y, interval=True))()


def values(result: Any) -> Iterator[MetricValue]:
    """All metric values in a result."""
    if isinstance(result, MetricValue):
        yield result
    elif isinstance(result, tuple | list):
        for item in result:
            yield from values(item)
    else:
        yield from values([v for v in vars(result).values() if isinstance(v, MetricValue)])


BOUNDS: dict[Callable[..., Any], tuple[float, float]] = {
    **dict.fromkeys((srcc, plcc, krcc, group_median), CORRELATION),
    **dict.fromkeys((rmse, mae, rescaled_rmse), ERROR),
    **dict.fromkeys(
        (
            mean, accuracy, image_accuracy, element_accuracy, element_f1, f1_from_counts, box_f1, region_f1,
            pixel_f1, pixel_iou, pixel_f1_from_counts, pixel_iou_from_counts, inversion_accuracy,
            preference_accuracy, pairwise_accuracy, tie_optimised_accuracy, expected_calibration_error,
        ),
        SHARE,
    ),
    bradley_terry: (-math.inf, math.inf),
}  # fmt: skip


def test_every_function_with_an_interval_is_among_those_that_are_tested() -> None:
    found = set()
    for module in walk_packages(metrics_package.__path__, "eval.metrics."):
        for _, function in inspect.getmembers(import_module(module.name), inspect.isfunction):
            is_public = not function.__name__.startswith("_")
            if is_public and "interval" in inspect.signature(function).parameters:
                found.add(function)
    assert found == set(BOUNDS)


@pytest.mark.parametrize("metric", BOUNDS, ids=lambda metric: metric.__name__)
@settings(max_examples=8, deadline=None, database=None)
@seed(3)
@given(data=rows)
def test_no_interval_leaves_the_range_of_its_metric(metric: Callable[..., Any], data: Rows) -> None:
    low, high = BOUNDS[metric]
    for value in values(run(metric, data)):
        if value.value is not None:
            assert low <= value.value <= high
        if value.interval is not None and value.interval.low is not None:
            assert low <= value.interval.low <= value.interval.high <= high


@pytest.mark.parametrize("metric", [srcc, plcc, krcc, partial(plcc, logistic_parameters=4)])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-3])
def test_near_copies_reach_one_and_stay_there(metric: Callable[..., Any], noise: float) -> None:
    truth = np.repeat(np.linspace(1, 5, 6), 3)
    predicted = truth + noise * np.random.default_rng(0).normal(size=len(truth))
    for sign in (1, -1):
        result = metric(sign * predicted, truth, interval=True)
        assert result.interval.low <= result.interval.high <= 1 and result.interval.low >= -1


def test_weighted_sums_of_perfect_parts_are_the_sum_of_the_weights() -> None:
    one = mean([1.0, 1.0, 1.0], interval=True)
    for weights in ([0.45, 0.45, 0.05, 0.05], [0.7, 0.15, 0.15], [0.1] * 10):
        parts = {str(number): one for number in range(len(weights))}
        total = weighted_sum(parts, {str(number): weight for number, weight in enumerate(weights)})
        assert (total.value, total.interval.high) == (1.0, 1.0)


@settings(max_examples=5, deadline=None, database=None)
@seed(4)
@given(data=rows)
def test_differences_stay_within_the_range_of_differences(data: Rows) -> None:
    x, y = columns(data)
    truth = list(range(len(x)))
    shares = [[value, 1.0] for value in x], [[value, 1.0] for value in y]
    for difference, bound in (
        (srcc_difference(x, y, truth), 2),
        (plcc_difference(x, y, truth), 2),
        (share_difference(*shares), 1),
    ):
        if difference.low is not None:
            assert -bound <= difference.low <= difference.high <= bound
