"""Agreement of boxes: IoU, and F1 of matched boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eval.metrics.classification import f1_from_counts
from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

Box = Sequence[float]
"""x1, y1, x2, y2 in pixels; x2 and y2 are exclusive."""


@dataclass(frozen=True)
class DetectionF1:
    """F1, precision and recall of predicted regions, pooled over the data set.

    Counts are summed over all images before they are divided, so an image with many defects weighs more than
    an image with one.
    """

    f1: MetricValue
    precision: MetricValue
    recall: MetricValue
    counts: NDArray[np.int64]
    """Shape (images, 4): predictions that hit, predictions, true regions that are hit, true regions."""
    matches: list[tuple[int, int, int, float]] = field(default_factory=list)
    """Boxes only: (image, index of the prediction, index of the truth, IoU) of every match."""


def box_iou(a: Box, b: Box) -> float:
    """Compute the intersection over union of two boxes, 0..1; 0 for boxes without area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


def box_f1(
    predicted: Sequence[Sequence[Box]],
    truth: Sequence[Sequence[Box]],
    *,
    threshold: float = 0.5,
    interval: bool = False,
) -> DetectionF1:
    """Compute F1 of boxes, matched one to one within an image, greedily by IoU.

    The labels of boxes are ignored; compare them on the `matches` of the result.

    Args:
        predicted: predicted boxes of each image.
        truth: true boxes of each image.
        threshold: a match needs IoU >= this.
        interval: add bootstrap intervals over images.

    Raises:
        InputError: the arguments differ in length.
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} images", "pair both sides first")
    matches: list[tuple[int, int, int, float]] = []
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for image, (boxes, true_boxes) in enumerate(zip(predicted, truth, strict=True)):
        pairs = [(box_iou(p, t), i, j) for i, p in enumerate(boxes) for j, t in enumerate(true_boxes)]
        matched_i: set[int] = set()
        matched_j: set[int] = set()
        for iou, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if iou < threshold or iou <= 0:
                break
            if i not in matched_i and j not in matched_j:
                matched_i.add(i)
                matched_j.add(j)
                matches.append((image, i, j, iou))
        counts[image] = len(matched_i), len(boxes), len(matched_j), len(true_boxes)
    return DetectionF1(*f1_from_counts(counts, "box", interval=interval), counts, matches)


def box_diou(a: Box, b: Box) -> float:
    """Compute the distance IoU of two boxes, -1..1 (Zheng et al. 2020).

    It is their IoU minus the squared distance of their centres, in units of the squared diagonal of the
    smallest box that holds both.
    """
    distance = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    width, height = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    diagonal = width**2 + height**2
    return box_iou(a, b) - (distance / diagonal if diagonal else 0.0)


def assign_boxes(predicted: Sequence[Box], truth: Sequence[Box]) -> list[tuple[int, int, float]]:
    """Match boxes one to one so that the sum of 1 - DIoU is smallest (Hungarian method).

    Args:
        predicted: predicted boxes of one image.
        truth: its true boxes.

    Returns:
        Index of the prediction, index of the truth, IoU of each match, which may be 0.
    """
    from scipy.optimize import linear_sum_assignment

    if not predicted or not truth:
        return []
    costs = np.array([[1 - box_diou(a, b) for b in truth] for a in predicted])
    rows, columns = linear_sum_assignment(costs)
    return [(int(i), int(j), box_iou(predicted[i], truth[j])) for i, j in zip(rows, columns, strict=True)]


def boxes_to_mask(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.bool_]:
    """Draw filled boxes into one mask of shape (height, width). Edges are rounded to whole pixels."""
    mask = np.zeros((height, width), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, top = max(0, round(x1)), max(0, round(y1))
        mask[top : max(0, round(y2)), left : max(0, round(x2))] = True
    return mask
