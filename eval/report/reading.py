"""Read runs into columns over the rows of the data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from eval.metrics.calibration import expected_calibration_error
from eval.metrics.classification import element_accuracy, majority_class_accuracy
from eval.report.answers import ElementAnswers, RunAnswers
from eval.report.data import ReportData
from eval.runs.records import RecordedRun
from eval.suites.shared.samples import JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.suite import Metrics
from judge.errors import InputError

MAX_EXAMPLES = 3
"""Number of ids that are kept for each reason of unscored rows."""


def read_report_data(runs: Sequence[RecordedRun]) -> ReportData:
    """Read the runs.

    Raises:
        InputError: the runs are not over the same rows, or the data is missing.
    """
    first = runs[0]
    for other in runs[1:]:
        _check_same_rows(first, other)
    data = ReportData(first.suite, [], np.zeros(0), [], [])
    truth: list[float] = []
    for name, run in zip(_unique_names(runs), runs, strict=True):
        data.runs.append(_read_run(name, run, data, truth))
    data.truth = np.array(truth, dtype=np.float64)
    return data


def _check_same_rows(first: RecordedRun, other: RecordedRun) -> None:
    for key in ("suite", "data", "split", "limit", "options"):
        expected, actual = first.manifest[key], other.manifest[key]
        if key == "data":
            expected, actual = expected["fingerprint"], actual["fingerprint"]
        if expected != actual:
            mend = f"{key} is {actual} there and {expected} in {first.folders[0]}: report them separately"
            raise InputError("run", str(other.folders[0]), "runs over the same rows", mend)


def _unique_names(runs: Sequence[RecordedRun]) -> list[str]:
    """Return the names of the folders, with as many parents as are needed to make them unique."""
    parts = [run.folders[0].resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [run.name for run in runs]


def _read_run(name: str, run: RecordedRun, data: ReportData, truth: list[float]) -> RunAnswers:
    """Read one run.

    Args:
        name: its name in the report.
        run: the run.
        data: its ids and generators are filled while they are empty, by the first run.
        truth: filled with the true scores by the first run.
    """
    answers = RunAnswers(name, run, np.zeros(0))
    is_first, predicted, milliseconds = not data.ids, list[float](), list[float]()

    def add(row: JudgedSample | SuiteSample) -> None:
        sample = row.sample if isinstance(row, JudgedSample) else row
        if is_first:
            data.ids.append(sample.id)
            data.generators.append(sample.generator)
            truth.append(_true_score(sample))
        value = get_predicted_score(row, data.suite.dimension) if isinstance(row, JudgedSample) else None
        predicted.append(np.nan if value is None else value)
        if not isinstance(row, JudgedSample):
            answers.status.append("")
            return
        verdict: Any = row.verdict
        answers.status.append(verdict["status"])
        milliseconds.append(verdict["provenance"]["milliseconds"])
        if verdict["status"] == "unscored":
            _add_reason(answers, verdict["reason"], sample.id)
            answers.abstained += verdict.get("out_of_domain", False)
        _add_elements(answers.elements, sample, verdict, len(predicted) - 1)

    def judged_rows() -> Iterator[JudgedSample]:
        for row in iterate_rows(run):
            add(row)
            if isinstance(row, JudgedSample):
                yield row

    rows = judged_rows()
    answers.measures = dict(data.suite.evaluate(rows))
    for _ in rows:  # read the rows that the suite's measure did not read
        pass
    answers.predicted, answers.milliseconds = np.array(predicted), np.array(milliseconds)
    if answers.elements.truth:
        answers.measures |= _element_measures(answers.elements, answers.measures)
    return answers


def iterate_rows(run: RecordedRun) -> Iterator[JudgedSample | SuiteSample]:
    """Yield the rows with the paths of their images, or without any image if one is missing.

    The numbers of a report need no images.
    """
    rows = run.rows(media=True)
    try:
        first = next(rows, None)
    except InputError:
        yield from (_remove_region_mask(row, media=True) for row in run.rows(media=False))
        return
    for row in chain([] if first is None else [first], rows):
        yield _remove_region_mask(row) if _is_unreadable(row) else row


def _is_unreadable(row: JudgedSample | SuiteSample) -> bool:
    """Return whether the judge could not open the image; true regions cannot be drawn at its size either."""
    return isinstance(row, JudgedSample) and row.verdict["size"] is None  # type: ignore[index]


def _remove_region_mask(
    row: JudgedSample | SuiteSample, *, media: bool = False
) -> JudgedSample | SuiteSample:
    """Return the row without the mask of its true regions; with `media`, also without its image or video."""
    if isinstance(row, SuiteSample):
        return row
    sample = row.sample.model_copy(
        update={"labels": row.sample.labels.model_copy(update={"load_mask": None})}
    )
    return row._replace(sample=sample.model_copy(update={"image": None, "video": None}) if media else sample)


def _true_score(sample: SuiteSample) -> float:
    value = sample.labels.mos if sample.labels.mos is not None else sample.labels.score
    return np.nan if value is None else float(value)


def _add_reason(answers: RunAnswers, text: str, item_id: str) -> None:
    reason = generalize_reason(text)
    answers.reasons[reason] += 1
    examples = answers.examples.setdefault(reason, [])
    if len(examples) < MAX_EXAMPLES:
        examples.append(item_id)


def generalize_reason(reason: str) -> str:
    """Return a reason with its quoted names and its numbers replaced by an ellipsis."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "…", reason)


def _add_elements(elements: ElementAnswers, sample: SuiteSample, verdict: Any, row: int) -> None:
    if not sample.labels.elements:
        return
    answers = {" ".join(e["name"].split()): e["probability"] for e in verdict.get("elements") or ()}
    for label in sample.labels.elements:
        elements.rows.append(row)
        elements.kinds.append(label.kind or "element")
        elements.probabilities.append(answers.get(" ".join(label.name.split())))
        elements.truth.append(label.present)


def _element_measures(elements: ElementAnswers, suite_measures: Metrics) -> Metrics:
    """Return the measures of the elements that every suite gets.

    Args:
        elements: the answers.
        suite_measures: the suite's measures; if the element accuracy is among them, it is not repeated.
    """
    error = expected_calibration_error(*elements.answered(), interval=True)
    share = element_accuracy(elements.probabilities, elements.truth, groups=elements.rows, interval=True)
    suite_accuracy = suite_measures.get("accuracy")
    is_known = (
        suite_accuracy is not None
        and suite_accuracy.value == share.value
        and suite_accuracy.count == share.count
    )
    return {
        **({} if is_known else {"element_accuracy": share}),
        "element_constant": majority_class_accuracy(elements.truth),
        "element_calibration_error": error,
    }
