"""Averages of values and metrics: mean, weighted sum, median over groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import bootstrap_interval, ratio_interval
from eval.metrics.metric_value import Interval, MetricValue
from eval.metrics.validation import check_pairs, group_rows

Floats = NDArray[np.float64]


def mean(values: Sequence[float], *, interval: bool = False) -> MetricValue:
    """Compute the mean of one number per image.

    Args:
        values: the numbers.
        interval: add a bootstrap interval over images.
    """
    if not len(values):
        return MetricValue(None, "there is nothing to compare", 0)
    table = np.array([[value, 1.0] for value in values])
    bounds = float(table[:, 0].min()), float(table[:, 0].max())
    value = float(np.clip(table[:, 0].mean(), *bounds))
    return MetricValue(value, "", len(values), ratio_interval(table, bounds) if interval else None)


def weighted_sum(
    metrics: Mapping[str, MetricValue], weights: Mapping[str, float], scale: float = 1.0
) -> MetricValue:
    """Compute a weighted sum of metrics; it is undefined when one of them is.

    The interval adds the half-widths of the parts as if all of them were wrong in the same direction, so it
    is never too narrow.

    Args:
        metrics: metrics by name; names without a weight are ignored.
        weights: weight of each metric in the sum.
        scale: factor of the whole sum.
    """
    missing = [name for name in weights if metrics[name].value is None]
    count = max((metrics[name].count for name in weights), default=0)
    if missing:
        reasons = "; ".join(f"{name}: {metrics[name].note}" for name in missing)
        return MetricValue(None, f"undefined without {', '.join(missing)} ({reasons})", count)
    # `fsum` rounds once, so that the sum of greatest values is the greatest sum.
    value = scale * math.fsum(w * _defined(metrics[name].value) for name, w in weights.items())
    intervals = [(metrics[name].interval, w) for name, w in weights.items()]
    if any(interval is None for interval, _ in intervals):
        return MetricValue(value, "", count)
    ends = [(interval.low, interval.high, w) for interval, w in intervals if interval is not None]
    if any(low is None for low, _, _ in ends):
        return MetricValue(value, "", count, Interval(None, None, "a part has no interval"))
    bottom = math.fsum(w * _defined(low if w > 0 else high) for low, high, w in ends)
    top = math.fsum(w * _defined(high if w > 0 else low) for low, high, w in ends)
    return MetricValue(value, "", count, Interval(scale * bottom, scale * top))


def _defined(value: float | None) -> float:
    assert value is not None
    return value


def group_median(
    metric: Callable[[Floats, Floats], MetricValue],
    predicted: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Hashable],
    *,
    interval: bool = False,
) -> MetricValue:
    """Compute a metric within each group (scene), and the median over groups.

    Groups in which the metric is undefined are left out; the note says how many.

    Args:
        metric: takes predictions and truth of one group, for example `srcc`.
        predicted: predicted scores, shape (rows,).
        truth: true scores, shape (rows,).
        groups: group of each row.
        interval: add a bootstrap interval; it draws whole groups.

    Returns:
        The median. Its `count` is the number of groups it is taken over.

    Raises:
        InputError: the arrays differ in length or hold values that are not finite.
    """
    x, y = check_pairs(predicted, truth)
    values = [metric(x[rows], y[rows]).value for rows in group_rows(groups, len(x))]
    defined = np.array([value for value in values if value is not None])
    if not len(defined):
        return MetricValue(None, f"undefined within each of the {len(values)} groups", 0)
    undefined = len(values) - len(defined)
    note = f"{undefined} of {len(values)} groups were left out: undefined within them" if undefined else ""
    median = MetricValue(float(np.median(defined)), note, len(defined))
    if not interval:
        return median
    bounds = float(defined.min()), float(defined.max())
    ends = bootstrap_interval(lambda i: float(np.median(defined[i])), len(defined), bounds=bounds)
    return replace(median, interval=ends)
