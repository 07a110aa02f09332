"""Numbers of boxes with a type and an importance, as SDG-30K has them: by script and by paper.

`eval.suites.generated_images.sdg_30k` says which number is whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.metrics.averages import mean
from eval.metrics.boxes import assign_boxes, box_iou
from eval.metrics.classification import accuracy, f1_from_counts
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.defect_boxes import LabelledBox
from eval.suites.shared.suite import Metrics

TYPES = ("artifact", "misalignment")
IOU_THRESHOLDS = (0.1, 0.5)
Counts = list[tuple[int, int, int, int]]
"""A row per image, as `f1_from_counts` takes them."""


@dataclass
class LabelledBoxAccumulator:
    """Counts over images."""

    types: dict[str, Counts] = field(default_factory=lambda: {name: [] for name in TYPES})
    """Type -> counts at image level."""
    boxes: dict[tuple[str, float], Counts] = field(default_factory=dict)
    """(label or `all`, IoU threshold) -> counts of boxes."""
    assigned: dict[tuple[str, float], Counts] = field(default_factory=dict)
    """(type, IoU threshold) -> counts of boxes, matched by the best assignment within the type."""
    called_clean: dict[str, list[bool]] = field(default_factory=lambda: {n: [] for n in (*TYPES, "all")})
    """Type or `all` -> for each image without a true box of it, whether the judge found none."""
    importance: list[tuple[str, str]] = field(default_factory=list)
    """(predicted, true) importance of matched boxes, as words."""
    agreement: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TYPES})
    """Type -> 1 - |difference of importance| / 100 of its assigned boxes."""

    def add(
        self, predicted: Sequence[LabelledBox], truth: Sequence[LabelledBox], *, is_scored: bool = True
    ) -> None:
        """Add the boxes of one image. Where the judge gave no answer, it does not call the image clean."""
        for name, counts in self.types.items():
            own, true = _select(predicted, name), _select(truth, name)
            p, t = bool(own), bool(true)
            counts.append((p and t, p, p and t, t))
            if not true:
                self.called_clean[name].append(is_scored and not own)
            self._assign(name, own, true)
        if not truth:
            self.called_clean["all"].append(is_scored and not predicted)
        for threshold in IOU_THRESHOLDS:
            pairs = _match_boxes(predicted, truth, threshold)
            self._count(pairs, predicted, truth, threshold)
            if threshold == 0.5:
                self.importance += [(predicted[i].importance, truth[j].importance) for i, j in pairs]

    def _count(
        self,
        pairs: Sequence[tuple[int, int]],
        predicted: Sequence[LabelledBox],
        truth: Sequence[LabelledBox],
        threshold: float,
    ) -> None:
        """Count matches: hits and misses by the label of the true box, false boxes by their own."""
        matched = {i for i, _ in pairs}
        for name in (*TYPES, "both", "all"):
            hits = sum(name in (truth[j].label, "all") for _, j in pairs)
            false = sum(name in (b.label, "all") for i, b in enumerate(predicted) if i not in matched)
            true = sum(name in (box.label, "all") for box in truth)
            self.boxes.setdefault((name, threshold), []).append((hits, hits + false, hits, true))

    def _assign(self, name: str, own: Sequence[LabelledBox], true: Sequence[LabelledBox]) -> None:
        """Match the boxes of one type by the best assignment."""
        pairs = assign_boxes([b.box for b in own], [b.box for b in true])
        for threshold in IOU_THRESHOLDS:
            hits = sum(iou >= threshold for _, _, iou in pairs)
            self.assigned.setdefault((name, threshold), []).append((hits, len(own), hits, len(true)))
        for i, j, iou in pairs:
            a, b = own[i].importance_score, true[j].importance_score
            if iou >= IOU_THRESHOLDS[0] and a is not None and b is not None:
                self.agreement[name].append(1 - abs(a - b) / 100)

    def metrics(self) -> Metrics:
        """Compute all numbers."""
        metrics: Metrics = {}
        for (name, threshold), rows in sorted(self.boxes.items()):
            if name == "both" and not np.any(rows):
                continue
            f1, precision, recall = _count_f1(rows, "box" if name == "all" else f"box of {name}")
            plain = f"box_f1@{threshold}"
            metrics[plain if name == "all" else f"script_{plain}/{name}"] = f1
            if (name, threshold) == ("all", 0.5):
                metrics |= {"f1": f1, "precision": precision, "recall": recall}
        for (name, threshold), rows in sorted(self.assigned.items()):
            metrics[f"box_f1@{threshold}/{name}"] = _count_f1(rows, f"box of {name}")[0]
        for name, rows in self.types.items():
            metrics[f"type_f1/{name}"] = _count_f1(rows, name)[0]
        for name, clean in self.called_clean.items():
            what = "is clean" if name == "all" else f"is without {name}"
            none = MetricValue(None, f"no image of the truth {what}")
            value = accuracy(clean, [True] * len(clean), interval=True) if clean else none
            metrics["clean_accuracy" + ("" if name == "all" else f"/{name}")] = value
        return metrics | self._importance_metrics()

    def _importance_metrics(self) -> Metrics:
        pairs = [(predicted, true) for predicted, true in self.importance if true]
        words = accuracy([p for p, _ in pairs], [t for _, t in pairs], interval=True)
        none = MetricValue(None, "no matched box has an importance")
        metrics = {"importance_accuracy": words if pairs else none}
        for name, values in self.agreement.items():
            reason = f"no matched box of {name} has an importance 1..100 on both sides"
            value = mean(values, interval=True) if values else MetricValue(None, reason)
            metrics[f"importance_agreement/{name}"] = value
        return metrics


def _count_f1(rows: Counts, noun: str) -> tuple[MetricValue, MetricValue, MetricValue]:
    return f1_from_counts(np.array(rows, dtype=np.int64), noun, interval=True)


def _select(boxes: Sequence[LabelledBox], name: str) -> list[LabelledBox]:
    """Return the boxes of a type; boxes labelled "both" belong to each."""
    return [box for box in boxes if box.label in (name, "both")]


def _match_boxes(
    predicted: Sequence[LabelledBox], truth: Sequence[LabelledBox], threshold: float
) -> list[tuple[int, int]]:
    """Match the boxes of one image whose labels agree, greedily by IoU; of equal IoU the last go first."""
    candidates = sorted(
        (
            (box_iou(a.box, b.box), i, j)
            for i, a in enumerate(predicted)
            for j, b in enumerate(truth)
            if _labels_agree(a, b)
        ),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    for iou, i, j in candidates:
        if iou >= threshold and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return list(pairs.items())


def _labels_agree(a: LabelledBox, b: LabelledBox) -> bool:
    return a.label == b.label or ("both" in (a.label, b.label) and {a.label, b.label} <= {"both", *TYPES})
