"""Sums over the images of a run, so that 100,000 images need little memory: elements, regions and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.boxes import Box, box_f1, boxes_to_mask
from eval.metrics.classification import (
    accuracy,
    accuracy_by_kind,
    element_accuracy,
    element_f1,
    f1_from_counts,
)
from eval.metrics.masks import (
    count_pixels,
    count_regions,
    pixel_f1_from_counts,
    pixel_iou_from_counts,
    resize_mask,
)
from eval.suites.shared.samples import JudgedSample, parse_verdict
from eval.suites.shared.suite import Metrics
from judge.types import Verdict


@dataclass
class ElementAccumulator:
    """Elements of all images: predicted probabilities and labels."""

    image_ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    probabilities: list[float | None] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)

    def add(self, judged: JudgedSample) -> None:
        """Add the labelled elements of one sample. Elements without an answer count as wrong."""
        predicted = {" ".join(e.name.split()): e.probability for e in parse_verdict(judged).elements}
        for label in judged.sample.labels.elements:
            self.image_ids.append(judged.sample.id)
            self.kinds.append(label.kind or "unknown")
            self.probabilities.append(predicted.get(" ".join(label.name.split())))
            self.truth.append(float(label.present))

    def metrics(self) -> Metrics:
        """Return accuracy, overall and by kind, and precision, recall and F1 of "present"."""
        columns, groups = (self.probabilities, self.truth), self.image_ids
        f1, precision, recall = element_f1(*columns, groups=groups, interval=True)
        by_kind = accuracy_by_kind(self.kinds, *columns)
        return {
            "accuracy": element_accuracy(*columns, groups=groups, interval=True),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            **{f"accuracy_by_kind/{kind}": by_kind[kind] for kind in sorted(by_kind)},
        }


@dataclass
class RegionAccumulator:
    """Regions of all images by the rule of the EvalMuse structure track, and their pixels."""

    region_counts: list[tuple[int, int, int, int]] = field(default_factory=list)
    pixel_counts: list[tuple[int, int, int]] = field(default_factory=list)

    def add_judged(self, judged: JudgedSample) -> None:
        """Add the boxes of a verdict, drawn filled, and the true regions, if the sample has any.

        Nothing is added when the judge could not open the image, because the size to which boxes would refer
        is unknown. Such a sample is counted among the unscored.
        """
        load_mask, verdict = judged.sample.labels.load_mask, parse_verdict(judged)
        if load_mask is not None and (verdict.status == "scored" or verdict.size is not None):
            truth = load_mask()
            self.add(draw_defects(verdict, truth.shape), truth)

    def add(self, predicted: NDArray[Any], truth: NDArray[Any]) -> None:
        """Add the two masks of one image, of any size."""
        self.region_counts.append(count_regions(predicted, truth))
        self.pixel_counts.append(count_pixels(resize_mask(predicted), resize_mask(truth)))

    def metrics(self) -> Metrics:
        """Return F1, precision and recall of regions, and mean IoU and F1 of pixels at 512 x 512."""
        counts = np.array(self.region_counts, dtype=np.int64).reshape(-1, 4)
        f1, precision, recall = f1_from_counts(counts, interval=True)
        return {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "pixel_iou": pixel_iou_from_counts(self.pixel_counts, interval=True),
            "pixel_f1": pixel_f1_from_counts(self.pixel_counts, interval=True),
        }


@dataclass
class BoxAccumulator:
    """Boxes of all images: predicted and true."""

    threshold: float = 0.5
    """A match needs at least this IoU."""
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    has_boxes: list[tuple[bool | None, bool]] = field(default_factory=list)
    """Whether boxes were predicted (None without an answer), and whether there are true ones."""

    def add(self, predicted: Sequence[Box] | None, truth: Sequence[Box]) -> None:
        """Add the boxes of one image; `predicted` is None where the judge gave no answer."""
        self.counts.append(box_f1([predicted or []], [truth], threshold=self.threshold).counts[0])
        self.has_boxes.append((None if predicted is None else bool(predicted), bool(truth)))

    def metrics(self) -> Metrics:
        """Return F1, precision and recall of boxes, and the accuracy of calling images clean or defective."""
        table = np.array(self.counts, dtype=np.int64).reshape(-1, 4)
        f1, precision, recall = f1_from_counts(table, "box", interval=True)
        right = accuracy([p for p, _ in self.has_boxes], [t for _, t in self.has_boxes], interval=True)
        return {"box_f1": f1, "box_precision": precision, "box_recall": recall, "image_accuracy": right}


def list_defect_boxes(verdict: Verdict, family: str | None = None) -> list[Box]:
    """Return the boxes of a verdict's defects, of one family or (None) of all."""
    return [d.box for d in verdict.defects if family is None or d.family == family]


def draw_defects(
    verdict: Verdict, shape: tuple[int, int], family: str | None = "artifact"
) -> NDArray[np.uint8]:
    """Draw the boxes of a verdict's defects, filled, into a 0/1 mask.

    Args:
        verdict: its boxes are scaled from `Verdict.size` to `shape`. Without a size, when no image was
            judged, the mask is empty.
        shape: height and width of the mask.
        family: family of the defects to draw; None draws all.
    """
    height, width = shape
    if verdict.size is None:
        return np.zeros(shape, dtype=np.uint8)
    scale_x, scale_y = width / verdict.size[0], height / verdict.size[1]
    boxes = [
        (x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y)
        for x1, y1, x2, y2 in list_defect_boxes(verdict, family)
    ]
    return boxes_to_mask(boxes, width, height).astype(np.uint8)
