"""The answers of one run, as columns over the rows of the data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eval.runs.records import RecordedRun
from eval.suites.shared.suite import Metrics

Floats = NDArray[np.float64]


@dataclass
class ElementAnswers:
    """Answers to the elements whose truth is known; each list has one entry for each element."""

    rows: list[int] = field(default_factory=list)
    """Index of the row that the element belongs to."""
    kinds: list[str] = field(default_factory=list)
    probabilities: list[float | None] = field(default_factory=list)
    """Probability that the element is present; None where the judge gave no answer, which counts as wrong."""
    truth: list[bool] = field(default_factory=list)

    def count_by_row(self, row_count: int) -> Floats:
        """Return the number of correct elements and of all elements of each row, shape (row_count, 2)."""
        table = np.zeros((row_count, 2))
        for row, p, present in zip(self.rows, self.probabilities, self.truth, strict=True):
            table[row] += (p is not None and (p >= 0.5) == present, 1)
        return table

    def answered(self) -> tuple[list[float], list[bool]]:
        """Return the probabilities and the truth of the elements that have an answer."""
        pairs = [(p, t) for p, t in zip(self.probabilities, self.truth, strict=True) if p is not None]
        return [p for p, _ in pairs], [t for _, t in pairs]


@dataclass
class RunAnswers:
    """The answers of one run."""

    name: str
    """Name of the run in the report; unique among its runs."""
    recorded: RecordedRun
    predicted: Floats
    """The judge's number for each row; NaN where it gave none."""
    measures: Metrics = field(default_factory=dict)
    """The measures of the suite, and those of the elements."""
    elements: ElementAnswers = field(default_factory=ElementAnswers)
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of unscored verdicts by reason; names and numbers in a reason are replaced by an ellipsis."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the first rows with a reason."""
    status: list[str] = field(default_factory=list)
    """Status of each row: `scored`, `unscored`, or empty where it is not judged yet."""
    abstained: int = 0
    """Rows among the unscored ones on which the judge abstained."""
    milliseconds: Floats = field(default_factory=lambda: np.zeros(0))
    """Time of each verdict."""
    fitted: Floats | str | None = None
    """See `ReportData.fitted`, which computes it on first use."""

    def count(self, status: str) -> int:
        """Return the number of rows with this status."""
        return self.status.count(status)
