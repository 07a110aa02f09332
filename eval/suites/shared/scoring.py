"""Matching of predictions with labels, and metrics that all suites report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.metrics.metric_value import MetricValue
from eval.suites.shared.name_matching import check_names, shorten_list
from eval.suites.shared.suite import Metrics


def match_names(
    predicted: Mapping[str, Any], truth: Mapping[str, Any], path: Path
) -> tuple[list[str], Metrics]:
    """Match predictions with labels by name.

    Args:
        predicted: predictions by name.
        truth: labels by name.
        path: the file of predictions, for the error.

    Returns:
        The names in the order of the truth, and the metric `extra` when there are predictions without a
        label.

    Raises:
        InputError: predictions are missing; see `check_names`.
    """
    check_names(predicted, truth, path)
    return list(truth), count_extra([name for name in predicted if name not in truth])


def count_extra(names: Sequence[str]) -> Metrics:
    """Return the metric `extra`: predictions without a label; empty when there are none."""
    if not names:
        return {}
    note = f"predictions without a label, left out: {shorten_list(names)}"
    return {"extra": MetricValue(float(len(names)), note, len(names))}


def build_unscored_metric(unscored: int, total: int) -> Metrics:
    """Return the metric `unscored`: how many of `total` verdicts have no score."""
    note = "left out of correlations" if unscored else ""
    return {"unscored": MetricValue(float(unscored), note, total)}


def add_note(metric: MetricValue, note: str) -> MetricValue:
    """Return the metric with `note` appended to its note."""
    if not note:
        return metric
    return replace(metric, note="; ".join(part for part in (metric.note, note) if part))


def prefix_names(prefix: str, metrics: Metrics) -> Metrics:
    """Return the metrics with names `prefix/name`. A slash in the prefix becomes `|`."""
    return {f"{prefix.replace('/', '|')}/{name}": value for name, value in metrics.items()}
