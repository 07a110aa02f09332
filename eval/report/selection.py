"""Select the rows whose images are shown: those with the worst and with the best agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.report.answers import ElementAnswers, Floats, RunAnswers
from eval.report.data import ReportData


@dataclass(frozen=True)
class Selection:
    """The rows that are shown."""

    worst: list[int]
    best: list[int]
    titles: tuple[str, str]
    """Titles of the two groups."""
    rule: str
    """How the rows were selected, as a part of a sentence for the reader of the page."""


def select_rows(data: ReportData, run: RunAnswers, count: int) -> Selection:
    """Select `count` rows with the worst and `count` rows with the best agreement.

    Agreement is measured by the human scores. Without human scores it is measured by the elements; without
    elements, the rows with the lowest and the highest prediction are selected.
    """
    agreement = ("Worst agreement", "Best agreement")
    fitted = data.fitted(run)
    if not isinstance(fitted, str):
        worst, best = _select_by_distance(np.abs(fitted - data.truth), data.truth, count)
        rule = (
            "by the distance between the prediction, after the logistic fit, and the true score; the best "
            f"are the closest in each of {count} parts of the scale"
        )
        return Selection(worst, best, agreement, rule)
    if run.elements.truth:
        order = _order_rows(_element_errors(run.elements, len(data.ids)))
        rule = "by the mean distance between the elements' probabilities and the truth"
        worst, best = order[::-1][:count], order[: min(count, max(0, len(order) - count))]
        return Selection(worst, best, agreement, rule)
    order = _order_rows(run.predicted)
    rule = "by the lowest and the highest prediction, because there are no human scores"
    worst, best = order[:count], order[::-1][: min(count, max(0, len(order) - count))]
    return Selection(worst, best, ("Lowest", "Highest"), rule)


def _select_by_distance(distance: Floats, truth: Floats, count: int) -> tuple[list[int], list[int]]:
    order = _order_rows(distance)
    worst = order[::-1][: min(count, (len(order) + 1) // 2)]
    worst_rows = set(worst)
    others = [row for row in order if row not in worst_rows]
    # The closest rows of all have scores that many rows have: take one from each part of the human scale.
    low, high = np.nanmin(truth), np.nanmax(truth)
    parts = np.minimum(((truth - low) / max(high - low, 1e-12) * count), count - 1)
    best: dict[int, int] = {}
    for row in others:
        best.setdefault(int(parts[row]), row)
    return worst, [best[part] for part in sorted(best)]


def _element_errors(elements: ElementAnswers, row_count: int) -> Floats:
    """Return the mean distance between probabilities and truth of each row; NaN without elements."""
    sums = np.zeros((row_count, 2))
    for row, p, present in zip(elements.rows, elements.probabilities, elements.truth, strict=True):
        sums[row] += (1.0 if p is None else abs(p - present), 1)
    errors = np.full(row_count, np.nan)
    has_elements = sums[:, 1] > 0
    errors[has_elements] = sums[has_elements, 0] / sums[has_elements, 1]
    return errors


def _order_rows(values: Floats) -> list[int]:
    """Return the rows that have a value, the lowest value first."""
    rows = np.flatnonzero(np.isfinite(values))
    return [int(row) for row in rows[np.argsort(values[rows], kind="stable")]]
