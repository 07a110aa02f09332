"""Measure the accuracy of a judge on drawn scenes, whose truth is exact.

Scenes are drawn by `judge.scenes`, or read from a file of any renderer (`labelled_rows`).

- Elements are pooled over all images; an unscored verdict counts as a wrong answer for all its elements.
- Defects are those of the family `artifact` on both sides: defects of structure, not disagreement with the
  prompt.
- True regions are exact masks, predicted regions are filled boxes; both are compared by the rule of the
  EvalMuse structure track. `region_f1_of_true_boxes` is what the true boxes get, the upper limit for boxes.
- An unscored verdict counts as wrong for the defects and attributes of its image and has no boxes. It has
  no score, so it is left out of the correlations; `unscored` counts such verdicts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.boxes import box_f1, boxes_to_mask
from eval.metrics.classification import (
    accuracy,
    accuracy_by_kind,
    element_accuracy,
    f1_from_counts,
    image_accuracy,
    majority_class_accuracy,
)
from eval.metrics.correlation import plcc, srcc
from eval.metrics.masks import pixel_f1, region_f1
from eval.metrics.metric_value import Interval, MetricValue
from judge.errors import InputError
from judge.scenes.held_out import LabelledScene
from judge.types import Sample, Verdict

KINDS = ("object", "count", "relation", "background")
"""Kinds of element that are always reported, in this order; other kinds follow."""


class JudgeLike(Protocol):
    """What is needed of a judge; `judge.Judge` has it."""

    def many(self, samples: Iterable[Sample], *, depth: Any = ..., batch: int = ...) -> Iterator[Verdict]:
        """Judge samples and yield one verdict for each, in order."""
        ...


def measure_scenes(
    judge: JudgeLike, scenes: Sequence[LabelledScene], *, batch: int = 16, tick: Any = lambda: None
) -> dict[str, Any]:
    """Judge the scenes at both depths and measure the verdicts.

    Args:
        judge: the judge.
        scenes: images with their truth.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        Numbers by name, None where undefined; `notes` and `interval_95` by the same names.
    """
    samples = [scene.unlabelled_sample() for scene in scenes]
    verdicts, verdict_seconds = _judge_timed(judge, samples, "verdict", batch, tick)
    scores, score_seconds = _judge_timed(judge, samples, "score", batch, tick)
    measures, intervals = compute_measures(scenes, verdicts, scores)
    notes = {scene.note for scene in scenes if scene.note}
    return {
        **_to_numbers(measures),
        "seconds_per_verdict": verdict_seconds / len(scenes),
        "seconds_per_score": score_seconds / len(scenes),
        "unscored": sum(v.status == "unscored" for v in verdicts),
        "unscored_score_depth": sum(v.status == "unscored" for v in scores),
        "unscored_reasons": sorted({v.reason for v in [*verdicts, *scores] if v.status == "unscored"})[:5],
        "count": len(scenes),
        "batch": batch,
        "interval_95": {name: [i.low, i.high] for name, i in intervals.items()},
        "notes": {
            **{name: m.note for name, m in _flatten(measures) if m.note},
            **{f"interval_95.{name}": i.note for name, i in intervals.items() if i.note},
            **({"truth": "; ".join(sorted(notes))} if notes else {}),
        },
    }


def _judge_timed(
    judge: JudgeLike, samples: list[Sample], depth: str, batch: int, tick: Any
) -> tuple[list[Verdict], float]:
    """Return the verdicts in order, and their wall time in seconds without the time to load the model."""
    list(judge.many(samples[:1], depth=depth, batch=batch))
    verdicts, start = [], time.perf_counter()
    for verdict in judge.many(samples, depth=depth, batch=batch):
        verdicts.append(verdict)
        tick()
    seconds = time.perf_counter() - start
    if [v.id for v in verdicts] != [s.id for s in samples]:
        raise InputError(
            "verdicts", len(verdicts), f"{len(samples)} in the order of the samples", "correct `many`"
        )
    return verdicts, seconds


Measures = dict[str, MetricValue | dict[str, MetricValue]]


def compute_measures(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict], scores: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    """Compute all measures.

    Args:
        scenes: images with their truth.
        verdicts: their verdicts at depth `verdict`.
        scores: their verdicts at depth `score`.

    Returns:
        The measures, and 95 % bootstrap intervals over images of some of them.
    """
    measures: Measures = {}
    intervals: dict[str, Interval] = {}
    for part_measures, part_intervals in (
        _measure_elements(scenes, verdicts),
        _measure_scores(scenes, verdicts, scores),
        _measure_defects(scenes, verdicts),
    ):
        measures.update(part_measures)
        intervals.update(part_intervals)
    measures["element_accuracy_score_depth"] = _measure_elements(scenes, scores)[0]["element_accuracy"]
    measures["dimension_srcc"] = _measure_dimensions(scenes, verdicts)
    measures["degradation_accuracy"] = _measure_attribute(scenes, verdicts, "degradation")
    return measures, intervals


def _measure_elements(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    kinds: list[str] = []
    probabilities: list[float | None] = []
    truth: list[bool] = []
    counts = np.zeros((len(scenes), 2))
    for row, (scene, verdict) in enumerate(zip(scenes, verdicts, strict=True)):
        answers = {" ".join(e.name.split()): e.probability for e in verdict.elements}
        for label in scene.sample.labels.elements:
            p = answers.get(" ".join(label.name.split()))
            kinds.append(label.kind or "unknown")
            probabilities.append(p)
            truth.append(label.present)
            counts[row] += (p is not None and (p >= 0.5) == label.present, 1)
    by_kind = accuracy_by_kind(kinds, probabilities, truth)
    missing = {
        kind: MetricValue(None, f"no element of the kind {kind}") for kind in KINDS if kind not in by_kind
    }
    order = [*KINDS, *sorted(set(by_kind) - set(KINDS))]
    truth_by_kind: dict[str, list[bool]] = {}
    for kind, present in zip(kinds, truth, strict=True):
        truth_by_kind.setdefault(kind, []).append(present)
    measures: Measures = {
        "element_accuracy": element_accuracy(probabilities, truth),
        "element_constant": majority_class_accuracy(truth),
        "element_accuracy_by_kind": {kind: (by_kind | missing)[kind] for kind in order},
        "element_constant_by_kind": {
            k: majority_class_accuracy(truth_by_kind[k]) for k in order if k in truth_by_kind
        },
    }
    return measures, {"element_accuracy": bootstrap_interval(lambda draw: _ratio(counts[draw]), len(scenes))}


def _ratio(rows: NDArray[np.float64]) -> float | None:
    """Return the sum of the first column divided by the sum of the second."""
    part, total = rows.sum(axis=0)
    return float(part / total) if total else None


def _measure_scores(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict], scores: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    def pairs(verdicts: Sequence[Verdict], *, likeliest: bool = False) -> NDArray[np.float64]:
        """Return (predicted score, true score) of the scenes that have both."""
        rows = []
        for scene, verdict in zip(scenes, verdicts, strict=True):
            label = int(np.argmax(verdict.distribution)) + 1.0 if verdict.distribution else None
            predicted = label if likeliest else verdict.score
            if predicted is not None and scene.sample.labels.score is not None:
                rows.append((predicted, scene.sample.labels.score))
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    at_verdict, sampled, at_score = pairs(verdicts), pairs(verdicts, likeliest=True), pairs(scores)
    measures: Measures = {
        "score_srcc": srcc(*at_verdict.T),
        "score_srcc_sampled": srcc(*sampled.T),
        "score_srcc_score_depth": srcc(*at_score.T),
        "score_plcc": plcc(*at_verdict.T),
        "score_plcc_fitted": plcc(*at_verdict.T, logistic_parameters=4),
        "score_plcc_score_depth": plcc(*at_score.T),
    }
    return measures, {
        "score_srcc": bootstrap_interval(lambda draw: srcc(*at_verdict[draw].T).value, len(at_verdict)),
        "score_srcc_score_depth": bootstrap_interval(
            lambda draw: srcc(*at_score[draw].T).value, len(at_score)
        ),
    }


def _measure_dimensions(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]
) -> dict[str, MetricValue]:
    pairs: dict[str, list[tuple[float, float]]] = {}
    for scene, verdict in zip(scenes, verdicts, strict=True):
        for name, truth in scene.sample.labels.dimensions.items():
            rows = pairs.setdefault(name, [])
            if name in verdict.dimensions:
                rows.append((verdict.dimensions[name].score, truth))
    return {name: srcc([p for p, _ in rows], [t for _, t in rows]) for name, rows in pairs.items()}


def _measure_defects(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    reported = [[d for d in v.defects if d.family == "artifact"] for v in verdicts]
    truth = [scene.defects for scene in scenes]
    answered = [r if v.status == "scored" else None for r, v in zip(reported, verdicts, strict=True)]
    boxes = box_f1([[d.box for d in r] for r in reported], [[d.box for d in t] for t in truth])
    masks = []
    for scene, defects, verdict in zip(scenes, reported, verdicts, strict=True):
        height, width = scene.mask.shape
        if verdict.size is not None and verdict.size != (width, height):
            raise InputError(
                "verdict.size",
                verdict.size,
                f"that of the image, {(width, height)}",
                "boxes are in its pixels",
            )
        masks.append(boxes_to_mask([d.box for d in defects], width, height))
    regions = region_f1(masks, [scene.mask for scene in scenes])
    limit = region_f1(
        [
            boxes_to_mask([d.box for d in t], *scene.mask.shape[::-1])
            for t, scene in zip(truth, scenes, strict=True)
        ],
        [scene.mask for scene in scenes],
    )
    matched = [(reported[row][i].kind, truth[row][j].kind) for row, i, j, _ in boxes.matches]
    kinds = accuracy([a for a, _ in matched], [b for _, b in matched])
    measures: Measures = {
        "defect_image_accuracy": image_accuracy(answered, truth),
        "defect_image_constant": majority_class_accuracy([bool(t) for t in truth]),
        "box_f1_50": boxes.f1,
        "box_precision_50": boxes.precision,
        "box_recall_50": boxes.recall,
        "region_f1": regions.f1,
        "region_precision": regions.precision,
        "region_recall": regions.recall,
        "region_f1_of_true_boxes": limit.f1,
        "pixel_f1": pixel_f1(masks, [scene.mask for scene in scenes]),
        "kind_accuracy_on_matched": kinds if matched else MetricValue(None, "no box was matched"),
    }
    correct = np.array(
        [[a is not None and bool(a) == bool(t), 1] for a, t in zip(answered, truth, strict=True)], dtype=float
    )
    return measures, {
        "defect_image_accuracy": bootstrap_interval(lambda draw: _ratio(correct[draw]), len(scenes)),
        "box_f1_50": bootstrap_interval(
            lambda draw: f1_from_counts(boxes.counts[draw])[0].value, len(scenes)
        ),
        "region_f1": bootstrap_interval(
            lambda draw: f1_from_counts(regions.counts[draw])[0].value, len(scenes)
        ),
    }


def _measure_attribute(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict], name: str
) -> MetricValue:
    pairs = [
        (v.attributes[name].label if name in v.attributes else None, s.sample.labels.attributes[name])
        for s, v in zip(scenes, verdicts, strict=True)
        if name in s.sample.labels.attributes
    ]
    return accuracy([a for a, _ in pairs], [b for _, b in pairs])


def _flatten(measures: Measures) -> Iterator[tuple[str, MetricValue]]:
    """Yield (dotted name, value)."""
    for name, value in measures.items():
        if isinstance(value, MetricValue):
            yield name, value
        else:
            yield from ((f"{name}.{kind}", m) for kind, m in value.items())


def _to_numbers(measures: Measures) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, MetricValue) else {kind: m.value for kind, m in value.items()}
        for name, value in measures.items()
    }
