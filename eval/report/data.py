"""What a report shows, apart from images: the answers of all runs over the same rows, and derived numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.metrics.averages import mean
from eval.metrics.logistic import fit_logistic
from eval.metrics.metric_value import MetricValue
from eval.metrics.significance import Difference
from eval.report.answers import Floats, RunAnswers
from eval.report.comparisons import accuracy_of_kind, paired_differences
from eval.suites.shared.suite import Suite

MAX_KINDS = 24
"""Largest number of kinds of element that are shown: those with the most elements."""


@dataclass(frozen=True)
class ScoreStep:
    """Rows of similar predicted score."""

    predicted: float
    """Mean prediction, on the human scale."""
    human: MetricValue
    """Mean human score."""


@dataclass
class ReportData:
    """The answers of all runs over the same rows."""

    suite: Suite
    ids: list[str]
    truth: Floats
    """Human score of each row, on the scale of the data set; NaN where there is none."""
    generators: list[str]
    """Name of the generator of each row; empty where it is not known."""
    runs: list[RunAnswers]

    def pairs(self, run: RunAnswers) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Return the predictions and human scores of the rows that have both, and the indices of the rows."""
        rows = np.flatnonzero(np.isfinite(run.predicted) & np.isfinite(self.truth))
        return run.predicted[rows], self.truth[rows], rows

    def fitted(self, run: RunAnswers) -> Floats | str:
        """Return the predictions mapped to the human scale by a logistic fit, or why there is no fit.

        The values are NaN for the rows without a prediction or a human score.
        """
        if run.fitted is None:
            run.fitted = self._fit(run)
        return run.fitted

    def _fit(self, run: RunAnswers) -> Floats | str:
        x, y, rows = self.pairs(run)
        if not len(x):
            return "no row has both a prediction and a human score"
        fitted = fit_logistic(x, y)
        if isinstance(fitted, str):
            return fitted
        column = np.full(len(self.ids), np.nan)
        column[rows] = fitted
        return column

    def score_steps(self, run: RunAnswers, count: int = 10) -> list[ScoreStep] | str:
        """Divide the rows into steps of equal size by predicted score, and compare with the human scores.

        The judge's scale of 1 to 5 is mapped linearly to the scale of the data set. Nothing is fitted, so
        that a judge whose scores are always too high is recognised.

        Args:
            run: a run.
            count: number of steps.

        Returns:
            The steps, or why there are none.
        """
        x, y, _ = self.pairs(run)
        if len(x) < 2 * count:
            return f"it needs at least {2 * count} rows with a human score, there are {len(x)}"
        scale = self.suite.mos_range or ((1.0, 5.0) if 1 <= y.min() and y.max() <= 5 else None)
        if scale is None:
            return "the human scale has no ends, so scores cannot be mapped to it"
        x = scale[0] + (x - 1) / 4 * (scale[1] - scale[0])
        order = np.argsort(x, kind="stable")
        return [
            ScoreStep(float(x[rows].mean()), mean(y[rows].tolist(), interval=True))
            for rows in np.array_split(order, count)
        ]

    @cached_property
    def accuracy_by_kind(self) -> dict[str, list[MetricValue]]:
        """Accuracy of each run by kind of element, then of the best constant answer; frequent kinds first."""
        counts = Counter(self.runs[0].elements.kinds).most_common(MAX_KINDS)
        return {kind: accuracy_of_kind(self.runs, kind) for kind, _ in counts}

    @cached_property
    def differences(self) -> list[tuple[str, RunAnswers, Difference]]:
        """(measure, run, difference from the first run) of each other run, on the rows that both answered."""
        base, *others = self.runs
        return [row for other in others for row in paired_differences(self.truth, base, other)]

    @property
    def has_computed_truth(self) -> bool:
        """Whether the true scores are computed: the scores of drawn scenes are no opinions of people."""
        return self.suite.name == "scenes"

    @property
    def truth_source(self) -> str:
        """Where the true scores come from, for example "agreement with people"."""
        return "the truth" if self.has_computed_truth else "people"

    @property
    def truth_label(self) -> str:
        """The word that stands before a true score."""
        return "true" if self.has_computed_truth else "people"

    @property
    def truth_name(self) -> str:
        """The name of one of the true scores."""
        return "true score" if self.has_computed_truth else "human score"

    @property
    def has_opinions(self) -> bool:
        """Whether any row has a true score."""
        return bool(np.isfinite(self.truth).any())

    @property
    def has_elements(self) -> bool:
        """Whether any row has elements with known truth."""
        return any(run.elements.truth for run in self.runs)
