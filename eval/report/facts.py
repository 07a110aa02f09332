"""What a report says, as numbers: one reading of each run, kept as columns over the rows of the data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.agreement import (
    Bin,
    Measure,
    calibration,
    constant_accuracy,
    element_accuracy,
    expected_calibration_error,
    fit_logistic,
    mean,
    srcc,
)
from eval.metrics.significance import Difference, plcc_difference, share_difference, srcc_difference
from eval.runs.records import Recorded
from eval.suites.base import Item, Measures, Row, Suite, answer_of
from judge.errors import InputError
from judge.types import Verdict

Floats = NDArray[np.float64]
Heated = Callable[[Recorded, Row], Verdict]
"""Adds heat maps to a row's verdict."""
MOST_GENERATORS = 40
"""Generators ranked at most: those with the most rows."""
MOST_KINDS = 24
"""Kinds of element shown at most: those with the most elements."""


@dataclass
class Elements:
    """Answers to yes-and-no questions whose truth is known, one entry an element."""

    rows: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    probabilities: list[float | None] = field(default_factory=list)
    """None where the judge gave no answer, which counts as wrong."""
    truth: list[bool] = field(default_factory=list)

    def tally(self, count: int) -> Floats:
        """(right, all) of each of `count` rows."""
        table = np.zeros((count, 2))
        for row, p, present in zip(self.rows, self.probabilities, self.truth, strict=True):
            table[row] += (p is not None and (p >= 0.5) == present, 1)
        return table


@dataclass
class Answers:
    """What one run said."""

    name: str
    record: Recorded
    predicted: Floats
    """The judge's number for each row; NaN where it gave none."""
    measures: Measures = field(default_factory=dict)
    """The suite's own."""
    elements: Elements = field(default_factory=Elements)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why verdicts are unscored; what differs from row to row is replaced by dots."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> ids of the first rows with it."""
    status: list[str] = field(default_factory=list)
    """Of each row: scored, unscored, or empty where it is not judged yet."""
    milliseconds: Floats = field(default_factory=lambda: np.zeros(0))
    fitted: Floats | str | None = None
    """See `Facts.fitted`, which fills it when it is asked for."""

    def count(self, status: str) -> int:
        return self.status.count(status)


@dataclass(frozen=True)
class Standing:
    """A generator's place by one judge, or by people."""

    name: str
    count: int
    mean: Measure


@dataclass
class Facts:
    """All that a report shows, pictures aside."""

    suite: Suite
    ids: list[str]
    truth: Floats
    """Human score of each row, on the set's own scale; NaN where there is none."""
    generators: list[str]
    runs: list[Answers]

    def pairs(self, run: Answers) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Predictions and human scores of the rows that have both, and which rows these are."""
        at = np.flatnonzero(np.isfinite(run.predicted) & np.isfinite(self.truth))
        return run.predicted[at], self.truth[at], at

    def fitted(self, run: Answers) -> Floats | str:
        """The predictions on the human scale, NaN where there is none; or why there are none at all."""
        if run.fitted is None:
            run.fitted = self._fit(run)
        return run.fitted

    def _fit(self, run: Answers) -> Floats | str:
        x, y, at = self.pairs(run)
        if not len(x):
            return "no row has both a prediction and a human score"
        mapped = fit_logistic(x, y)
        if isinstance(mapped, str):
            return mapped
        column = np.full(len(self.ids), np.nan)
        column[at] = mapped
        return column

    @cached_property
    def by_kind(self) -> dict[str, list[Measure]]:
        """Kind of element -> accuracy of each run, then of the best constant answer; frequent ones first."""
        order = Counter(self.runs[0].elements.kinds).most_common(MOST_KINDS)
        return {kind: _of_kind(self.runs, kind) for kind, _ in order}

    @cached_property
    def differences(self) -> list[tuple[str, Answers, Difference]]:
        """Each run against the first, on the rows that both answered: measure, run, difference."""
        return [found for other in self.runs[1:] for found in _differences(self, self.runs[0], other)]

    @property
    def people(self) -> str:
        """Whose scores the truth is: drawn scenes are judged by nobody, their scores are computed."""
        return "the truth" if self.suite.name == "scenes" else "people"

    @property
    def said(self) -> str:
        """What stands before such a score."""
        return "true" if self.suite.name == "scenes" else "people"

    @property
    def human(self) -> str:
        """What one of these scores is called."""
        return "true score" if self.suite.name == "scenes" else "human score"

    @property
    def has_opinions(self) -> bool:
        return bool(np.isfinite(self.truth).any())

    @property
    def has_elements(self) -> bool:
        return any(run.elements.truth for run in self.runs)


def collect(records: Sequence[Recorded]) -> Facts:
    """Read the runs.

    Raises:
        InputError: they are not of the same rows, or the data is not there.
    """
    first = records[0]
    for other in records[1:]:
        for key in ("suite", "data", "split", "limit", "options"):
            then, now = (_compared(r.manifest[key], key) for r in (first, other))
            if then != now:
                mend = f"{key} is {now} there and {then} in {first.folders[0]}: report them apart"
                raise InputError("run", str(other.folders[0]), "runs over the same rows", mend)
    facts = Facts(first.suite, [], np.zeros(0), [], [])
    truth: list[float] = []
    for name, record in zip(_names(records), records, strict=True):
        facts.runs.append(_answers(name, record, facts, truth))
    facts.truth = np.array(truth, dtype=np.float64)
    return facts


def _compared(value: Any, key: str) -> Any:
    return value["fingerprint"] if key == "data" else value


def _names(records: Sequence[Recorded]) -> list[str]:
    """The folders' names, with as many parents as it takes to tell them apart."""
    parts = [record.folders[0].resolve().parts for record in records]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [record.name for record in records]


def _answers(name: str, record: Recorded, facts: Facts, truth: list[float]) -> Answers:
    run = Answers(name, record, np.zeros(0))
    first, predicted, spent = not facts.ids, list[float](), list[float]()

    def noted(row: Row | Item) -> None:
        item = row.sample if isinstance(row, Row) else row
        if first:
            facts.ids.append(item.id)
            facts.generators.append(item.generator)
            truth.append(_opinion(item))
        given = answer_of(row, facts.suite.predicts) if isinstance(row, Row) else None
        predicted.append(np.nan if given is None else given)
        if not isinstance(row, Row):
            run.status.append("")
            return
        verdict: Any = row.verdict
        run.status.append(verdict["status"])
        spent.append(verdict["provenance"]["milliseconds"])
        if verdict["status"] == "unscored":
            reason = alike(verdict["reason"])
            run.reasons[reason] += 1
            if len(examples := run.examples.setdefault(reason, [])) < 3:
                examples.append(item.id)
        _note_elements(run.elements, item, verdict, len(predicted) - 1)

    def judged() -> Iterator[Row]:
        for row in rows_of(record):
            noted(row)
            if isinstance(row, Row):
                yield row

    rows = judged()
    run.measures = dict(facts.suite.measure(rows))
    for _ in rows:  # whatever the suite's measure left unread
        pass
    run.predicted, run.milliseconds = np.array(predicted), np.array(spent)
    if run.elements.truth:
        run.measures |= _element_measures(run.elements, run.measures)
    return run


def rows_of(record: Recorded) -> Iterator[Row | Item]:
    """The rows with the paths of their pictures; without, where one is missing: numbers need no picture."""
    rows = record.rows(media=True)
    try:
        first = next(rows, None)
    except InputError:
        yield from (_without(row, media=True) for row in record.rows(media=False))
        return
    for row in chain([] if first is None else [first], rows):
        yield _without(row) if _unreadable(row) else row


def _unreadable(row: Row | Item) -> bool:
    """The judge could not open the picture, so nor can whoever draws true regions at its size."""
    return isinstance(row, Row) and row.verdict["size"] is None  # type: ignore[index]


def _without(row: Row | Item, *, media: bool = False) -> Row | Item:
    """The row without its true regions as a mask, and without its picture."""
    if isinstance(row, Item):
        return row
    item = row.sample.model_copy(update={"labels": row.sample.labels.model_copy(update={"area": None})})
    return row._replace(sample=item.model_copy(update={"image": None, "video": None}) if media else item)


def _opinion(item: Item) -> float:
    labels = item.labels
    value = labels.mos if labels.mos is not None else labels.score
    return np.nan if value is None else float(value)


def alike(reason: str) -> str:
    """A reason without what is particular to its row: quoted names and numbers."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "…", reason)


def _note_elements(elements: Elements, item: Item, verdict: Any, row: int) -> None:
    if not item.labels.elements:
        return
    found = {" ".join(e["name"].split()): e["probability"] for e in verdict.get("elements") or ()}
    for label in item.labels.elements:
        elements.rows.append(row)
        elements.kinds.append(label.kind or "element")
        elements.probabilities.append(found.get(" ".join(label.name.split())))
        elements.truth.append(label.present)


def _element_measures(elements: Elements, own: Measures) -> Measures:
    """What every suite with elements gets, whatever its `own` measures are; nothing is said twice."""
    answered = [(p, t) for p, t in zip(elements.probabilities, elements.truth, strict=True) if p is not None]
    error = expected_calibration_error([p for p, _ in answered], [t for _, t in answered], interval=True)
    share = element_accuracy(elements.probabilities, elements.truth, groups=elements.rows, interval=True)
    known = own.get("accuracy")
    said = known is not None and (known.value, known.count) == (share.value, share.count)
    return {
        **({} if said else {"element_accuracy": share}),
        "element_constant": constant_accuracy(elements.truth),
        "element_calibration_error": error,
    }


# ------------------------------------------------------------------------------------- what is compared


def _differences(facts: Facts, base: Answers, other: Answers) -> Iterator[tuple[str, Answers, Difference]]:
    both = np.isfinite(base.predicted) & np.isfinite(other.predicted) & np.isfinite(facts.truth)
    sides = base.predicted[both], other.predicted[both], facts.truth[both]
    if facts.has_opinions:
        yield "srcc", other, srcc_difference(*sides)
        yield "plcc", other, plcc_difference(*sides)
    if base.elements.truth and other.elements.truth:
        tallies = [run.elements.tally(len(facts.ids)) for run in (base, other)]
        asked = (tallies[0][:, 1] > 0) & (tallies[1][:, 1] > 0)
        yield "element_accuracy", other, share_difference(tallies[0][asked], tallies[1][asked])


def _of_kind(runs: Sequence[Answers], kind: str) -> list[Measure]:
    row, truths = list[Measure](), list[bool]()
    for run in runs:
        e = run.elements
        at = [i for i, own in enumerate(e.kinds) if own == kind]
        truths, groups = [e.truth[i] for i in at], [e.rows[i] for i in at]
        row.append(element_accuracy([e.probabilities[i] for i in at], truths, groups=groups, interval=True))
    return [*row, constant_accuracy(truths)]


def reliability(run: Answers) -> list[Bin]:
    """Bins of the probability that an element is there, with how often it was."""
    answered = [
        (p, t) for p, t in zip(run.elements.probabilities, run.elements.truth, strict=True) if p is not None
    ]
    return calibration([p for p, _ in answered], [t for _, t in answered])


@dataclass(frozen=True)
class Step:
    """Rows of similar predicted score."""

    predicted: float
    """Mean prediction, on the human scale."""
    human: Measure
    """Mean human score."""


def score_steps(facts: Facts, run: Answers, count: int = 10) -> list[Step] | str:
    """Tenths of the rows by predicted score: what was said and what people say.

    The judge's 1 to 5 is laid linearly on the set's own scale; nothing is fitted, so that a judge that is
    always too kind is seen to be.

    Returns:
        The steps, or why there are none.
    """
    x, y, _ = facts.pairs(run)
    if len(x) < 2 * count:
        return f"it needs at least {2 * count} rows with a human score, there are {len(x)}"
    ends = facts.suite.scale or ((1.0, 5.0) if 1 <= y.min() and y.max() <= 5 else None)
    if ends is None:
        return "the human scale has no ends, so that a score cannot be laid on it"
    x = ends[0] + (x - 1) / 4 * (ends[1] - ends[0])
    order = np.argsort(x, kind="stable")
    return [
        Step(float(x[part].mean()), mean(y[part].tolist(), interval=True))
        for part in np.array_split(order, count)
    ]


def ranking(facts: Facts, values: Floats) -> list[Standing]:
    """Generators by the mean of a column, the best first."""
    names = np.array(facts.generators)
    counted = Counter(name for name in facts.generators if name).most_common(MOST_GENERATORS)
    found = []
    for name, _ in counted:
        own = values[(names == name) & np.isfinite(values)]
        if len(own):
            found.append(Standing(name, len(own), mean(own.tolist(), interval=True)))
    return sorted(found, key=lambda s: (-(s.mean.value or 0.0), s.name))


def agreement_of_rankings(mine: list[Standing], people: list[Standing]) -> Measure:
    """Spearman's correlation of two rankings of the generators."""
    theirs = {standing.name: standing.mean.value for standing in people}
    both = [(s.mean.value, theirs[s.name]) for s in mine if s.name in theirs]
    return srcc([a for a, _ in both], [b for _, b in both])  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------ what is looked at


@dataclass(frozen=True)
class Choice:
    """Which rows are shown, and as what."""

    worst: list[int]
    best: list[int]
    rule: str
    """How they were chosen, for people; also what is meant by worst and best."""


def chosen(facts: Facts, run: Answers, count: int) -> Choice:
    """The rows of worst and best agreement; without human scores by elements, and without these by score."""
    fitted = facts.fitted(run)
    if not isinstance(fitted, str):
        return _by_distance(np.abs(fitted - facts.truth), facts.truth, count)
    if run.elements.truth:
        losses = np.full(len(facts.ids), np.nan)
        e = run.elements
        sums = np.zeros((len(facts.ids), 2))
        for row, p, present in zip(e.rows, e.probabilities, e.truth, strict=True):
            sums[row] += (1.0 if p is None else abs(p - present), 1)
        asked = sums[:, 1] > 0
        losses[asked] = sums[asked, 0] / sums[asked, 1]
        order = _order(losses)
        rule = "by the mean distance of the elements' probabilities from the truth"
        return Choice(order[::-1][:count], order[: min(count, max(0, len(order) - count))], rule)
    order = _order(run.predicted)
    rule = "as the lowest and the highest predictions, since there are no human scores"
    return Choice(order[:count], order[::-1][: min(count, max(0, len(order) - count))], rule)


def _by_distance(distance: Floats, truth: Floats, count: int) -> Choice:
    order = _order(distance)
    worst = order[::-1][: min(count, (len(order) + 1) // 2)]
    shown = set(worst)
    left = [row for row in order if row not in shown]
    # The closest of all would all lie where most pictures lie: one from each part of the human scale.
    low, high = np.nanmin(truth), np.nanmax(truth)
    part = np.minimum(((truth - low) / max(high - low, 1e-12) * count), count - 1)
    best: dict[int, int] = {}
    for row in left:
        best.setdefault(int(part[row]), row)
    rule = (
        "by the distance of the prediction, after the logistic fit, from the score it should be; the best "
        f"are the closest of each of {count} parts of the scale"
    )
    return Choice(worst, [best[key] for key in sorted(best)], rule)


def _order(values: Floats) -> list[int]:
    """Rows with a value, the lowest first."""
    at = np.flatnonzero(np.isfinite(values))
    return [int(row) for row in at[np.argsort(values[at], kind="stable")]]
