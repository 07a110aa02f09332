"""Sums over the pictures of a run, so that 100,000 of them need no memory: elements and regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.agreement import (
    Box,
    Measure,
    accuracy,
    accuracy_by_kind,
    box_f1,
    boxes_mask,
    element_accuracy,
    element_f1,
    f1_of,
    mean,
    overlap,
    region_counts,
    share_interval,
)
from eval.suites.base import Measures, Row, verdict_of
from judge.types import Verdict

SIDE = 512


@dataclass
class Elements:
    """Elements of all pictures, judged and true."""

    pictures: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    said: list[float | None] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """The labelled elements of one row; without an answer they count as wrong."""
        found = {" ".join(e.name.split()): e.probability for e in verdict_of(row).elements}
        for label in row.sample.labels.elements:
            self.pictures.append(row.sample.id)
            self.kinds.append(label.kind or "unknown")
            self.said.append(found.get(" ".join(label.name.split())))
            self.true.append(float(label.present))

    def measures(self) -> Measures:
        """Accuracy, overall and by kind, precision, recall and F1 of "present"."""
        f1, precision, recall = element_f1(self.said, self.true, groups=self.pictures, interval=True)
        kinds = accuracy_by_kind(self.kinds, self.said, self.true)
        return {
            "accuracy": element_accuracy(self.said, self.true, groups=self.pictures, interval=True),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            **{f"accuracy_by_kind/{kind}": kinds[kind] for kind in sorted(kinds)},
        }


@dataclass
class Regions:
    """Regions of all pictures by the structure track's rule, and their pixels."""

    counts: list[tuple[int, int, int, int]] = field(default_factory=list)
    pixels: list[tuple[int, int, int]] = field(default_factory=list)

    def add_row(self, row: Row) -> None:
        """The judge's boxes, drawn filled, against the true regions, if the row has any.

        Nothing where the judge could not open the picture: nobody knows at which size they lie. Such a row is
        counted among the unscored.
        """
        area, verdict = row.sample.labels.area, verdict_of(row)
        if area is not None and (verdict.status == "scored" or verdict.size is not None):
            truth = area()
            self.add(defect_mask(verdict, truth.shape), truth)

    def add(self, predicted: NDArray[Any], truth: NDArray[Any]) -> None:
        """The masks of one picture, of any size."""
        self.counts.append(region_counts(predicted, truth))
        self.pixels.append(overlap(_at_side(predicted), _at_side(truth)))

    def measures(self) -> Measures:
        """F1, precision and recall of regions; mean IoU and F1 of pixels at 512 x 512."""
        f1, precision, recall = f1_of(np.array(self.counts, dtype=np.int64).reshape(-1, 4), interval=True)
        ious = [(both + 1e-4) / (a + b - both + 1e-4) for both, a, b in self.pixels]
        tally = np.array([(2 * both, a + b) for both, a, b in self.pixels], dtype=np.float64).reshape(-1, 2)
        both, marked = (float(value) for value in tally.sum(axis=0))
        pixel_f1 = Measure(both / marked, "", int(marked), share_interval(tally)) if marked else None
        return {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "pixel_iou": mean(ious, interval=True),
            "pixel_f1": pixel_f1 or Measure(None, "no pixel is marked on either side"),
        }


@dataclass
class Boxes:
    """Boxes of all pictures, judged and true."""

    threshold: float = 0.5
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    clean: list[tuple[bool | None, bool]] = field(default_factory=list)

    def add(self, predicted: Sequence[Box] | None, truth: Sequence[Box]) -> None:
        """The boxes of one picture; None where the judge gave no answer."""
        self.counts.append(box_f1([predicted or []], [truth], threshold=self.threshold).counts[0])
        self.clean.append((None if predicted is None else bool(predicted), bool(truth)))

    def measures(self) -> Measures:
        """BoxF1 with precision and recall, and how many pictures are rightly called clean or broken."""
        table = np.array(self.counts, dtype=np.int64).reshape(-1, 4)
        f1, precision, recall = f1_of(table, "box", interval=True)
        right = accuracy([a for a, _ in self.clean], [b for _, b in self.clean], interval=True)
        return {"box_f1": f1, "box_precision": precision, "box_recall": recall, "image_accuracy": right}


def defect_boxes(verdict: Verdict, family: str | None = None) -> list[Box]:
    """Boxes of the verdict's defects, of one family where it is named."""
    return [d.box for d in verdict.defects if family is None or d.family == family]


def defect_mask(
    verdict: Verdict, shape: tuple[int, int], family: str | None = "artifact"
) -> NDArray[np.uint8]:
    """The verdict's boxes drawn filled into 0/1, in the picture's shape (height, width).

    A verdict without a size (none was judged) gives an empty mask.
    """
    height, width = shape
    if verdict.size is None:
        return np.zeros(shape, dtype=np.uint8)
    sx, sy = width / verdict.size[0], height / verdict.size[1]
    boxes = [(a * sx, b * sy, c * sx, d * sy) for a, b, c, d in defect_boxes(verdict, family)]
    return boxes_mask(boxes, width, height).astype(np.uint8)


def _at_side(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Everything above 0, resized as the structure track resizes it."""
    import cv2

    inside = (np.asarray(mask) > 0).astype(np.uint8)
    if inside.shape == (SIDE, SIDE):
        return inside
    resized = cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized > 0, dtype=np.uint8)
