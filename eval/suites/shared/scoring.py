"""Matching of predictions with labels, and metrics that all suites report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.metrics.metric_value import MetricValue
from eval.suites.shared.reading import shorten_list
from eval.suites.shared.suite import Metrics
from judge.errors import InputError


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
        InputError: predictions are missing; it says which and how many.
    """
    absent = [name for name in truth if name not in predicted]
    if absent:
        raise InputError(
            "pred",
            str(path),
            f"a prediction for each of the {len(truth)} names; {len(absent)} are missing: "
            f"{shorten_list(absent)}",
            "add them, or score against the labels of the same split",
        )
    extra = [name for name in predicted if name not in truth]
    metrics: Metrics = {}
    if extra:
        note = f"predictions without a label, left out: {shorten_list(extra)}"
        metrics["extra"] = MetricValue(float(len(extra)), note, len(extra))
    return list(truth), metrics


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
