"""EvalMuse-40K alignment: does the image show the prompt, overall and by element (NTIRE 2025 track 1).

Source: https://huggingface.co/datasets/DY-Evalab/EvalMuse

Labels: `train_list.json`, a list of `{prompt_id, prompt, type, img_path, total_score: [one per annotator],
element_score: {"pig giants (animal)": [0/1 per annotator]}, ...}`. The means over annotators are the truth.
Test lists have null in place of scores. Averaged numbers in place of lists, `element_score` as JSON text (as
on Hugging Face), and true or false in place of 1 or 0 are read too; total scores of true or false are counted
in `boolean_totals`.

Predictions: `output.json` (or the archive), a list of `{prompt, img_path, total_score, element_score:
{element: number}}`.

Numbers: SRCC is raw, accuracy pools all elements of all images with both sides cut at >= 0.5, final = PLCC /
4 + SRCC / 4 + accuracy / 2. Precision, recall and F1 of "present" are reported as well.

- `plcc`, the official one: the organisers' `evaluate.py` (https://github.com/DYEvaLab/EvalMuse, folder
  NTIRE2025/Track1_Alignment) passes labels and predictions to its metric in swapped order. The 4-parameter
  logistic is fitted from the human scores to the predictions, and the fitted human scores are correlated with
  the predictions. `final` uses this number. SRCC and accuracy do not depend on the order.
- `plcc_fitted`: the fit in the usual direction, from predictions to human scores.
- `plcc_raw`: without a fit.

Caveat: the organisers' script sorts both lists by `img_path` and pairs them by index. Here they are matched
by name; missing and duplicate names are errors, extra predictions are counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from eval.metrics.averages import weighted_sum
from eval.metrics.classification import accuracy_by_kind, element_accuracy, element_f1
from eval.metrics.correlation import plcc, srcc
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.text_files import parse_number, read_json
from eval.suites.shared.name_matching import MAX_LISTED, shorten_list
from eval.suites.shared.reading import read_samples
from eval.suites.shared.samples import (
    GroundTruth,
    JudgedSample,
    SuiteSample,
    get_predicted_score,
    parse_verdict,
)
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.submission_files import README_OPTIONS, build_readme, dump_json, require_score
from eval.suites.shared.suite import Metrics, Submission, Suite
from judge.errors import InputError
from judge.types import ElementLabel

SOURCE = "https://huggingface.co/datasets/DY-Evalab/EvalMuse"
LABEL_FILES = {
    "train": ("train_list.json", "train.json"),
    "val": ("val_list.json", "val.json", "eval_list.json", "eval.json"),
    "test": ("test_list.json", "test.json"),
}
WEIGHTS = {"srcc": 0.25, "plcc": 0.25, "accuracy": 0.5}
MIN_KIND_COUNT = 20
"""Number of elements from which on the accuracy of a kind is reported on its own."""
_KINDS_IN_NAME = ("", "counting", "spatial")
"""Kinds that stay part of an element's name."""
ElementScores = dict[str, float | None]
"""Element as the set names it -> score 0..1, or None."""


class ElementPair(NamedTuple):
    """Prediction and truth of one element."""

    image_id: str
    name: str
    probability: float | None
    """None where the judge gave no answer."""
    share: float
    """Share of annotators who see the element, 0..1."""


# ------------------------------------------------------------------------------------- labels and elements


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file; null scores give samples without labels."""
    for number, row in enumerate(_read_list(path, "truth"), 1):
        name, total, shares = _parse_row(row, f"{path.name} row {number}")
        names = strip_kinds(list(shares))
        elements = [
            ElementLabel(name=element, present=share >= 0.5, kind=parse_kind(key))
            for element, (key, share) in zip(names, shares.items(), strict=True)
            if share is not None
        ]
        yield SuiteSample(
            id=name,
            image=name,
            prompt=str(row.get("prompt") or ""),
            elements=names,
            generator=name.split("/")[0] if "/" in name else "",
            group=str(row.get("prompt_id") or row.get("prompt") or ""),
            labels=GroundTruth(
                mos=total,
                score=total if total is not None and 1 <= total <= 5 else None,
                element_shares=shares,
                elements=elements if len(elements) == len(shares) else [],
            ),
        )


def strip_kinds(keys: Sequence[str]) -> list[str]:
    """Return the names of elements as the judge receives them: the set's names without their kinds.

    An element keeps its kind where the name would occur twice without it, or would be a bare number or
    preposition ("two (counting)", "on (spatial)").
    """
    bare = [
        " ".join(key.rpartition(" (")[0].split()) if parse_kind(key) not in _KINDS_IN_NAME else key
        for key in keys
    ]
    return [b if b and bare.count(b) == 1 and b not in keys else k for b, k in zip(bare, keys, strict=True)]


def parse_kind(key: str) -> str:
    """Return the kind in brackets at the end of an element, in lower case: "pigs (Animal)" -> "animal"."""
    head, bracket, tail = key.strip().rpartition(" (")
    return tail[:-1].strip().lower() if head and bracket and tail.endswith(")") else ""


def _read_list(path: Path, field: str) -> list[Any]:
    rows = read_json(path, "output.json", ".json", field=field)
    if isinstance(rows, dict) and field == "truth":  # The set also has a file of prompts with their elements.
        mend = "this file has no images: take a label list"
        raise InputError(field, str(path), "a list with img_path", mend)
    if not isinstance(rows, list) or not rows:
        expected = "a JSON list of {img_path, total_score, element_score}"
        raise InputError(field, str(path), expected, "write the file in this layout")
    return rows


def _parse_row(row: Any, place: str) -> tuple[str, float | None, ElementScores]:
    """Return name, total score and element scores of one object, means over annotators."""
    if not isinstance(row, dict) or not isinstance(row.get("img_path"), str):
        raise InputError(place, row, "an object with img_path, total_score and element_score", "fix the row")
    elements = row.get("element_score") or {}
    if isinstance(elements, str):
        try:
            elements = json.loads(elements)
        except ValueError:
            raise InputError(f"{place}: element_score", elements, "a JSON object", "fix the row") from None
    if not isinstance(elements, dict):
        raise InputError(f"{place}: element_score", elements, "an object {element: score}", "fix the row")
    scores = {str(key): _mean_score(value, f"{place}: {key}") for key, value in elements.items()}
    return row["img_path"], _mean_score(row.get("total_score"), f"{place}: total_score"), scores


def _mean_score(value: Any, place: str) -> float | None:
    """Return a number, or the mean of a list; true and false are 1 and 0, as in the organisers' script."""
    if value is None or value == []:
        return None
    answers = value if isinstance(value, list) else [value]
    numbers = [int(answer) if isinstance(answer, bool) else answer for answer in answers]
    return sum(parse_number(number, place) for number in numbers) / len(numbers)


# ---------------------------------------------------------------------------------------------- metrics


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with the labels.

    An unscored verdict has no total score, and all its elements are wrong.
    """
    totals: list[tuple[float, float]] = []
    elements: list[ElementPair] = []
    unscored = total = 0
    for judged in judged_samples:
        labels, total = judged.sample.labels, total + 1
        predicted = get_predicted_score(judged, "alignment")
        unscored += predicted is None
        if predicted is not None and labels.mos is not None:
            totals.append((predicted, labels.mos))
        probabilities = match_probabilities(judged)
        elements += [
            ElementPair(judged.sample.id, key, probabilities.get(key), share)
            for key, share in labels.element_shares.items()
            if share is not None
        ]
    return compute_metrics(totals, elements) | build_unscored_metric(unscored, total)


def match_probabilities(judged: JudgedSample) -> dict[str, float]:
    """Return the judge's probabilities by the set's own names of the elements."""
    probabilities = {" ".join(e.name.split()): e.probability for e in parse_verdict(judged).elements}
    keys = list(judged.sample.labels.element_shares)
    names = [" ".join(name.split()) for name in strip_kinds(keys)]
    return {key: probabilities[name] for key, name in zip(keys, names, strict=True) if name in probabilities}


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official numbers of an output.json.

    Raises:
        InputError: a file cannot be read, or totals or elements are missing.
    """
    labels = {name: row for name, row in _read_by_name(truth, "truth").items() if row[0] is not None}
    if not labels:
        mend = "this one has none: it is for participants"
        raise InputError("truth", str(truth), "a list with scores", mend)
    predictions = _read_by_name(pred, "pred")
    names, extra = match_names(predictions, labels, pred)
    _check_elements(names, predictions, labels, pred)
    totals, elements = [], []
    for name in names:
        (total, probabilities), (mos, shares) = predictions[name], labels[name]
        if total is None:
            raise InputError(f"pred: {name}", None, "a total_score", "predict one")
        totals.append((total, mos or 0.0))
        elements += [
            ElementPair(name, key, probabilities[key], share)
            for key, share in shares.items()
            if share is not None
        ]
    return compute_metrics(totals, elements) | extra | _count_boolean_totals(pred)


def _count_boolean_totals(pred: Path) -> Metrics:
    """Return the metric `boolean_totals`: total scores of true or false, which count as 1 or 0."""
    rows = _read_list(pred, "pred")
    names = [str(row["img_path"]) for row in rows if isinstance(row.get("total_score"), bool)]
    if not names:
        return {}
    note = f"total scores of true or false, on a scale of 1 to 5, taken as 1 or 0: {shorten_list(names)}"
    return {"boolean_totals": MetricValue(float(len(names)), note, len(rows))}


def _read_by_name(path: Path, field: str) -> dict[str, tuple[float | None, ElementScores]]:
    rows: dict[str, tuple[float | None, ElementScores]] = {}
    duplicates = []
    for number, row in enumerate(_read_list(path, field), 1):
        name, total, scores = _parse_row(row, f"{path.name} row {number}")
        if name in rows:
            duplicates.append(name)
        rows[name] = total, scores
    if duplicates:
        expected = (
            f"each img_path once; {len(duplicates)} are duplicates: {', '.join(duplicates[:MAX_LISTED])}"
        )
        raise InputError(field, str(path), expected, "remove one")
    return rows


def _check_elements(
    names: Sequence[str],
    predictions: dict[str, tuple[float | None, ElementScores]],
    labels: dict[str, tuple[float | None, ElementScores]],
    path: Path,
) -> None:
    """Raise `InputError` when a labelled element has no prediction."""
    absent = [
        f"{name}: {key}"
        for name in names
        for key, share in labels[name][1].items()
        if share is not None and predictions[name][1].get(key) is None
    ]
    if absent:
        total = sum(len(labels[name][1]) for name in names)
        listing = "; ".join(absent[:MAX_LISTED])
        name = absent[0].partition(": ")[0]
        given = [key for key in predictions[name][1] if key not in labels[name][1]]
        listing += f"; {name} has {shorten_list(given)}" if given else ""
        raise InputError(
            "pred",
            str(path),
            f"a score for each of the {total} elements; {len(absent)} are missing: {listing}",
            "take the elements' names from the label list",
        )


def compute_metrics(totals: Sequence[tuple[float, float]], elements: Sequence[ElementPair]) -> Metrics:
    """Compute all numbers.

    Args:
        totals: (predicted, human) total score of each image.
        elements: prediction and truth of all elements.
    """
    x, y = [p for p, _ in totals], [t for _, t in totals]
    images = [e.image_id for e in elements]
    probabilities, shares = [e.probability for e in elements], [e.share for e in elements]
    f1, precision, recall = element_f1(probabilities, shares, groups=images, interval=True)
    raw = plcc(x, y, interval=True)
    metrics = {
        "srcc": srcc(x, y, interval=True),
        # From labels to predictions, as the organisers' script fits. Where a side is constant, the reason is
        # that of `raw`, which calls the sides by their names.
        "plcc": raw if raw.value is None else plcc(y, x, logistic_parameters=4, interval=True),
        "plcc_fitted": plcc(x, y, logistic_parameters=4, interval=True),
        "accuracy": element_accuracy(probabilities, shares, groups=images, interval=True),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "plcc_raw": raw,
    }
    metrics["final"] = weighted_sum(metrics, WEIGHTS)
    kinds = _merge_rare_kinds([parse_kind(e.name) for e in elements])
    by_kind = accuracy_by_kind(kinds, probabilities, shares)
    return metrics | {f"accuracy_by_kind/{kind}": value for kind, value in sorted(by_kind.items())}


def _merge_rare_kinds(kinds: Sequence[str]) -> list[str]:
    """Return the kinds, those of few elements as "rare": the set has hundreds that occur once."""
    counts = Counter(kinds)
    return [kind if kind and counts[kind] >= MIN_KIND_COUNT else "rare" for kind in kinds]


# ------------------------------------------------------------------------------------------- submission


def build_files(judged_samples: Sequence[JudgedSample], **options: str) -> dict[str, bytes]:
    """Build output.json and readme.txt.

    Raises:
        InputError: a verdict has no score, or lacks the answer to an element.
    """
    rows = []
    for judged in judged_samples:
        sample = judged.sample
        total, probabilities = require_score(judged, "alignment"), match_probabilities(judged)
        absent = [key for key in sample.labels.element_shares if key not in probabilities]
        if absent:
            raise InputError(f"verdict {sample.id}", absent, "an answer to each element", "judge it again")
        rows.append(
            {
                "prompt": sample.prompt,
                "img_path": sample.id,
                "total_score": round(total, 6),
                "element_score": {key: round(probabilities[key], 6) for key in sample.labels.element_shares},
            }
        )
    return {"output.json": dump_json(rows), "readme.txt": build_readme(judged_samples, options, llm=True)}


SUITE = Suite(
    name="evalmuse-alignment",
    title="EvalMuse-40K alignment (NTIRE 2025 text-to-image quality, track 1)",
    source=SOURCE,
    read=partial(
        read_samples, read_labels=read_labels, label_files=LABEL_FILES, default_split="train", source=SOURCE
    ),
    evaluate=evaluate,
    score_files=score_files,
    dimension="alignment",
    mos_range=(1.0, 5.0),
    splits=tuple(LABEL_FILES),
    default_split="train",
    submission=Submission(
        build_files, {**README_OPTIONS, "llm": "1 when a large language model is part of it"}
    ),
)
