"""The numbers of an examination, computed from a judge's answers and the exact truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.examination.answers import ALONE, REVERSED, Answers
from eval.examination.box_conventions import BoxCase, ConventionFit, case_iou
from eval.examination.cases import LEVELS, Cases
from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.boxes import box_f1
from eval.metrics.classification import element_accuracy, majority_class_accuracy
from eval.metrics.correlation import srcc
from eval.metrics.metric_value import Interval, MetricValue
from judge.backends.cards import Measure
from judge.backends.models.boxes import BoxConvention, Size
from judge.types import Box, Element, Verdict

Measures = dict[str, Measure]
THOUGHT = re.compile(r"</?think(?:ing)?>|</?reasoning>|<\|[A-Za-z0-9_]+\|>", re.I)
"""Marks of a thought, or of control tokens, which no text of a verdict may hold."""
ESTIMATED = ("the backend estimated the probabilities", "the backend gave no probabilities")
"""Beginnings of the notes of verdicts whose numbers are not the model's own probabilities."""


def compute_measures(
    cases: Cases, answers: Answers, box_cases: BoxCases, fit: ConventionFit | None
) -> Measures:
    """Compute everything that can be computed from the answers.

    Args:
        cases: the cases with their truth.
        answers: of the judge.
        box_cases: true and given boxes, see `build_box_cases`.
        fit: of the box conventions; None if there are too few boxes.
    """
    measures: Measures = {}
    for part in (
        _measure_replies(answers),
        _measure_elements(cases, answers) if any(v.elements for v in answers.main) else {},
        _measure_scores(cases, answers),
        _measure_boxes(cases, answers, box_cases, fit),
        _measure_pairs(answers),
        _measure_batches(answers),
        _measure_cost(answers),
    ):
        measures.update(part)
    return measures


# -- Replies ---------------------------------------------------------------------------------------------


def _measure_replies(answers: Answers) -> Measures:
    verdicts = [*answers.verdicts, *answers.scores]
    unscored = [v.reason for v in verdicts if v.status == "unscored"]
    reasons = "; ".join(sorted(set(unscored), key=lambda reason: (-unscored.count(reason), reason))[:3])
    estimated = [any(n.startswith(ESTIMATED) for n in v.provenance.notes) for v in verdicts if v.score]
    masses = [mass for v in verdicts if (mass := label_mass(v)) is not None]
    texts = [text for v in answers.verdicts for text in (v.explanation, *(d.explanation for d in v.defects))]
    leaks = [text for text in texts if THOUGHT.search(text)]
    return {
        "unscored": _mean_measure([float(v.status == "unscored") for v in verdicts], reasons),
        "estimated": _mean_measure(list(map(float, estimated))),
        "label_mass": _mean_measure(masses)
        if masses
        else Measure(value=None, note="this backend does not report it"),
        "thinking_leaks": _mean_measure(
            [float(bool(THOUGHT.search(text))) for text in texts], f"{leaks[0][:80]!r}" if leaks else ""
        ),
    }


def label_mass(verdict: Verdict) -> float | None:
    """Return the probability that the labels had before all else was masked; None if unknown."""
    mass = getattr(verdict.provenance, "label_mass", None)
    if isinstance(mass, Mapping):  # of each blank
        mass = sum(mass.values()) / len(mass) if mass else None
    return float(mass) if isinstance(mass, int | float) else None


# -- Elements --------------------------------------------------------------------------------------------


def _measure_elements(cases: Cases, answers: Answers) -> Measures:
    kinds: list[str] = []
    given: list[float | None] = []
    truth: list[bool] = []
    images: list[int] = []
    for number, (scene, verdict) in enumerate(zip(cases.scenes, answers.main, strict=True)):
        probabilities = {element.name: element.probability for element in verdict.elements}
        for label in scene.sample.labels.elements:
            kinds.append(label.kind or "other")
            given.append(probabilities.get(label.name))
            truth.append(label.present)
            images.append(number)
    constant = majority_class_accuracy(truth)
    measures = {
        "element_accuracy": _from_metric(element_accuracy(given, truth, groups=images, interval=True)),
        "element_constant": _from_metric(constant),
        "element_gain": _gain(given, truth, images),
    }
    for kind in dict.fromkeys(kinds):
        rows = [n for n, own in enumerate(kinds) if own == kind]
        own_truth, own_images = [truth[n] for n in rows], [images[n] for n in rows]
        accuracy = element_accuracy([given[n] for n in rows], own_truth, groups=own_images, interval=True)
        measures[f"element_accuracy.{kind}"] = _from_metric(accuracy)
        measures[f"element_constant.{kind}"] = _from_metric(majority_class_accuracy(own_truth))
    answered = [(p, t) for p, t in zip(given, truth, strict=True) if p is not None]
    measures["yes_to_absent"] = _mean_measure([float(p >= 0.5) for p, t in answered if not t])
    measures["yes_to_present"] = _mean_measure([float(p >= 0.5) for p, t in answered if t])
    bias = [float(p >= 0.5) - t for p, t in answered]
    measures["yes_bias"] = _mean_measure(bias, "share of yes minus share of true statements")
    return measures | _measure_element_order(cases, answers)


def _gain(given: Sequence[float | None], truth: Sequence[bool], images: Sequence[int]) -> Measure:
    """Accuracy minus that of the best constant answer, with an interval over images."""
    count = images[-1] + 1 if images else 0
    table = np.zeros((count, 3))
    for p, t, image in zip(given, truth, images, strict=True):
        table[image] += (p is not None and (p >= 0.5) == t, t, 1)

    def gain(rows: NDArray[np.float64]) -> float | None:
        right, present, total = rows.sum(axis=0)
        return float((right - max(present, total - present)) / total) if total else None

    value = gain(table)
    if value is None:
        return Measure(value=None, note="no element was asked for")
    interval = bootstrap_interval(lambda draw: gain(table[draw]), count)
    return Measure(value=value, low=interval.low, high=interval.high, count=len(truth))


def _measure_element_order(cases: Cases, answers: Answers) -> Measures:
    """How much the answers change when the same elements are asked in the opposite order."""
    before = {verdict.id: verdict for verdict in answers.scores}
    changes, flips = list[float](), list[float]()
    early, late = list[float](), list[float]()
    for sample, verdict in zip(cases.reversed_samples(REVERSED), answers.reversed, strict=False):
        first = {e.name: e.probability for e in before[sample.id].elements} if sample.id in before else {}
        for position, element in enumerate(verdict.elements):
            if element.name not in first:
                continue
            p, q = first[element.name], element.probability
            changes.append(abs(p - q))
            flips.append(float((p >= 0.5) != (q >= 0.5)))
            # Position in the reversed order: an element that stood late stands early now.
            is_early = 2 * position < len(verdict.elements) - 1
            (early if is_early else late).append(q - p if 2 * position != len(verdict.elements) - 1 else 0.0)
    pull = float(np.mean(early) - np.mean(late)) / 2 if early and late else 0.0
    note = (
        f"the earlier position {'raises' if pull > 0 else 'lowers'} it by {abs(pull):.2f}" if changes else ""
    )
    return {
        "element_order_change": _mean_measure(changes, note),
        "element_order_flips": _mean_measure(flips),
    }


# -- Scores ----------------------------------------------------------------------------------------------


def _measure_scores(cases: Cases, answers: Answers) -> Measures:
    measures: Measures = {}
    for name, verdicts in (("score_srcc", answers.main), ("score_srcc_score_depth", answers.scores)):
        pairs = [
            (v.score, s.sample.labels.score)
            for s, v in zip(cases.scenes, verdicts, strict=True)
            if v.score is not None and s.sample.labels.score is not None
        ]
        measures[name] = _from_metric(srcc([p for p, _ in pairs], [t for _, t in pairs], interval=True))
    correlations, drops = [], []
    for verdicts in answers.ladders:
        scores = [verdict.score for verdict in verdicts]
        if any(score is None for score in scores):
            continue
        values = [score for score in scores if score is not None]
        # Equal scores at all levels have no rank correlation: they do not fall, which is 0.
        correlations.append(srcc(values, [-float(level) for level in LEVELS]).value or 0.0)
        drops.append(values[0] - values[-1])
    note = f"mean over {len(answers.ladders)} scenes, {len(LEVELS)} levels of damage each"
    measures["damage_correlation"] = _mean_measure(correlations, note)
    measures["damage_drop"] = _mean_measure(drops, "score without damage minus score with strong damage")
    return measures


# -- Boxes -----------------------------------------------------------------------------------------------


BoxCases = dict[BoxConvention, list[BoxCase]]


def build_box_cases(cases: Cases, answers: Answers, used: BoxConvention, shown: Size) -> BoxCases:
    """Return the true and the given boxes of every image, by the convention in which they were asked for.

    They are those of the objects that were asked for; of the defects for a judge that was asked for none.

    Args:
        cases: the cases with their truth.
        answers: of the judge.
        used: the convention that the judge uses.
        shown: size of the images as the model sees them.
    """
    size = (cases.side, cases.side)
    if answers.objects:
        return {
            convention: [BoxCase([case.box], [box] if box else [], size, shown) for case, box in located]
            for convention, located in answers.objects.items()
        }
    defects = [
        BoxCase(
            [defect.box for defect in scene.defects],
            [defect.box for defect in verdict.defects if defect.family == "artifact"],
            size,
            shown,
        )
        for scene, verdict in zip(cases.scenes, answers.verdicts, strict=False)
    ]
    return {used: defects} if defects else {}


def _measure_boxes(
    cases: Cases, answers: Answers, box_cases: BoxCases, fit: ConventionFit | None
) -> Measures:
    measures: Measures = {}
    what = "objects that were asked for" if answers.objects else "true defects"
    for name, value in (fit.mean_iou if fit else {}).items():
        measures[f"box_iou.{name}"] = Measure(
            value=value, count=fit.count if fit else 0, note=f"IoU with {what}"
        )
    if fit is not None:
        read_as = fit.best if fit.best in box_cases else fit.used
        with_truth = [case for case in box_cases[read_as] if case.truth]
        measures["box_iou"] = _mean_measure([case_iou(case, read_as, fit.best) for case in with_truth], what)
        around = [replace(case, given=[_whole_image(case)]) for case in with_truth]
        whole = [case_iou(case, fit.used, fit.used) for case in around]
        measures["box_iou_constant"] = _mean_measure(whole, "IoU of a box around the whole image")
    if answers.verdicts:
        given = [[d.box for d in v.defects if d.family == "artifact"] for v in answers.verdicts]
        truth = [[d.box for d in scene.defects] for scene in cases.scenes]
        right = [
            float(v.score is not None and bool(g) == bool(t))
            for v, g, t in zip(answers.verdicts, given, truth, strict=True)
        ]
        share = majority_class_accuracy([bool(t) for t in truth])
        measures["defect_image_accuracy"] = _mean_measure(right, "damaged or not")
        measures["defect_image_constant"] = _from_metric(share)
        measures["defect_box_f1"] = _from_metric(box_f1(given, truth, interval=True).f1)
    return measures


def _whole_image(case: BoxCase) -> Box:
    return 0.0, 0.0, float(case.size[0]), float(case.size[1])


# -- Pairs, batches, cost --------------------------------------------------------------------------------


def _measure_pairs(answers: Answers) -> Measures:
    if not answers.comparisons:
        return {}
    orders = [c.orders for c in answers.comparisons if c.orders is not None]
    # `a` is the better image in every second pair.
    right = [
        float((c.probability > 0.5) == (n % 2 == 0)) if c.probability not in (None, 0.5) else 0.5
        for n, c in enumerate(answers.comparisons)
        if c.probability is not None
    ]
    first = [a_first - b_first for a_first, b_first in orders]
    return {
        "pair_accuracy": _mean_measure(right),
        "pair_swap": _mean_measure([abs(one) for one in first], "change of the preference by the order"),
        "pair_first_bias": _mean_measure(first, "above 0: the image that is shown first is preferred"),
    }


def _measure_batches(answers: Answers) -> Measures:
    together = {verdict.id: verdict for verdict in answers.scores}
    changes = []
    for verdict in answers.alone[:ALONE]:
        other = together.get(verdict.id)
        if other is None or verdict.score is None or other.score is None:
            continue
        changes.append(abs(verdict.score - other.score))
        changes += [abs(a - b) for a, b in _paired(verdict.elements, other.elements)]
    largest = max(changes, default=None)
    return {"batch_change": Measure(value=largest, count=len(changes), note="" if changes else "no scores")}


def _paired(first: Sequence[Element], second: Sequence[Element]) -> Iterator[tuple[float, float]]:
    for a, b in zip(first, second, strict=False):
        yield a.probability, b.probability


def _measure_cost(answers: Answers) -> Measures:
    def rate(seconds: float | None) -> Measure:
        return Measure(
            value=1 / seconds if seconds else None, note="images per second" if seconds else "no depth"
        )

    return {
        "loading_seconds": Measure(value=answers.loading_seconds),
        "scores_per_second": rate(answers.score_seconds),
        "verdicts_per_second": rate(answers.verdict_seconds),
        "peak_memory": Measure(
            value=answers.memory, note="bytes" if answers.memory else "the model runs in another process"
        ),
    }


# -- From metrics to measures ------------------------------------------------------------------------------


def _from_metric(metric: MetricValue) -> Measure:
    interval = metric.interval or Interval(None, None)
    return Measure(
        value=metric.value, low=interval.low, high=interval.high, count=metric.count, note=metric.note
    )


def _mean_measure(values: Sequence[float], note: str = "") -> Measure:
    """The mean with its bootstrap interval; undefined without values."""
    if not values:
        return Measure(value=None, note=note or "nothing was answered")
    array = np.asarray(values, dtype=np.float64)
    mean: Callable[[NDArray[np.intp]], float | None] = lambda draw: float(array[draw].mean())  # noqa: E731
    interval = bootstrap_interval(mean, len(array))
    return Measure(
        value=float(array.mean()), low=interval.low, high=interval.high, count=len(array), note=note
    )
