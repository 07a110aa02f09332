"""Agreement of masks: F1 of connected regions, F1 and IoU of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.averages import mean
from eval.metrics.bootstrap import SHARE, ratio_interval
from eval.metrics.boxes import DetectionF1
from eval.metrics.classification import f1_from_counts
from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

REGION_MASK_SIDE = 512
"""Side in pixels to which the EvalMuse structure track resizes every mask."""
MIN_PREDICTED_AREA = 157.2864
"""A predicted region counts when its contour area exceeds this: pixels at 512 x 512, 0.0006 of the image."""
MIN_TRUE_AREA = 150.0
"""A true region counts when its contour area exceeds this: pixels at 512 x 512."""
MIN_REGION_IOU = 0.1
"""A region hits another when their IoU exceeds this."""


# -------------------------------------------------------------------------------------- connected regions


def region_f1(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> DetectionF1:
    """Compute F1 of connected regions by the rule of the EvalMuse structure track, pooled over the data set.

    Each mask is resized to 512 x 512 (bilinear, 8-bit 0/1) and cut at > 0. Regions are the external contours
    with their holes filled. Predicted regions count when their contour area exceeds 157.2864, true ones when
    it exceeds 150. A region hits when its IoU with any counted region of the other side exceeds 0.1; one
    region may hit several. Precision = predicted regions that hit / predicted regions; recall = true regions
    that are hit / true regions. No predicted region at all gives F1 = 0 and a note, where the organisers'
    script prints NaN.

    Args:
        predicted: one mask per image, shape (height, width) of any size; everything above 0 is inside.
        truth: one mask per image, likewise.
        interval: add bootstrap intervals over images.

    Raises:
        InputError: the arguments differ in length, or a mask is not two-dimensional.
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} masks", "pair both sides first")
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for image, (mask, true_mask) in enumerate(zip(predicted, truth, strict=True)):
        counts[image] = count_regions(mask, true_mask)
    return DetectionF1(*f1_from_counts(counts, "region", interval=interval), counts)


def count_regions(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, int, int]:
    """Count the regions of one image by the rule of `region_f1`.

    Returns:
        Predicted regions that hit, predicted regions, true regions that are hit, true regions.
    """
    predictions = _find_regions(predicted, MIN_PREDICTED_AREA)
    true_regions = _find_regions(truth, MIN_TRUE_AREA)
    hits = np.array(
        [[_mask_iou(a, b) > MIN_REGION_IOU for b in true_regions] for a in predictions], dtype=bool
    )
    hits = hits.reshape(len(predictions), len(true_regions))
    return int(hits.any(axis=1).sum()), len(predictions), int(hits.any(axis=0).sum()), len(true_regions)


def _find_regions(mask: NDArray[Any], min_area: float) -> list[NDArray[np.bool_]]:
    """Return the regions of a mask, each filled, of shape (512, 512)."""
    import cv2

    contours, _ = cv2.findContours(resize_mask(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for contour in contours:
        if cv2.contourArea(contour) > min_area:
            canvas = np.zeros((REGION_MASK_SIDE, REGION_MASK_SIDE), dtype=np.uint8)
            cv2.drawContours(canvas, [contour], -1, 1, thickness=cv2.FILLED)
            regions.append(canvas.astype(bool))
    return regions


def resize_mask(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Resize a mask as the structure track does: to 512 x 512, bilinear, everything above 0 is 1.

    Raises:
        InputError: the mask is empty or not two-dimensional.
    """
    import cv2

    binary: NDArray[Any] = _binarise(mask)
    if binary.shape == (REGION_MASK_SIDE, REGION_MASK_SIDE):
        return binary
    resized = cv2.resize(binary, (REGION_MASK_SIDE, REGION_MASK_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized > 0, dtype=np.uint8)


def _binarise(mask: NDArray[Any]) -> NDArray[np.uint8]:
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size:
        raise InputError("mask", mask.shape, "shape (height, width), not empty", "give one mask per image")
    return (mask > 0).astype(np.uint8)


def _mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


# ------------------------------------------------------------------------------------------------ pixels


def pixel_f1(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> MetricValue:
    """Compute F1 of pixels, pooled over the data set.

    Args:
        predicted: one mask per image, shape (height, width).
        truth: one mask per image, of the same shape as the prediction.
        interval: add a bootstrap interval over images.
    """
    return pixel_f1_from_counts(_count_all(predicted, truth), interval=interval)


def pixel_f1_from_counts(counts: Sequence[tuple[int, int, int]], *, interval: bool = False) -> MetricValue:
    """Compute F1 of pixels from the results of `count_pixels` for each image."""
    table = np.array([(2 * both, a + b) for both, a, b in counts], dtype=np.float64).reshape(-1, 2)
    both, marked = table.sum(axis=0)
    if not marked:
        return MetricValue(None, "no pixel is marked on either side", 0)
    note = "" if any(a for _, a, _ in counts) else "nothing was marked, so F1 is 0"
    confidence = ratio_interval(table, SHARE) if interval else None
    return MetricValue(float(both / marked), note, int(marked), confidence)


def pixel_iou(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> MetricValue:
    """Compute the mean over images of (intersection + 1e-4) / (union + 1e-4) of the marked pixels.

    The structure track prints it next to its score. An image without a marked pixel on either side counts as
    1.

    Args:
        predicted: one mask per image, shape (height, width).
        truth: one mask per image, of the same shape as the prediction.
        interval: add a bootstrap interval over images.
    """
    return pixel_iou_from_counts(_count_all(predicted, truth), interval=interval)


def pixel_iou_from_counts(counts: Sequence[tuple[int, int, int]], *, interval: bool = False) -> MetricValue:
    """Compute the mean IoU of pixels from the results of `count_pixels` for each image."""
    return mean([(both + 1e-4) / (a + b - both + 1e-4) for both, a, b in counts], interval=interval)


def count_pixels(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, int]:
    """Count the marked pixels of one image.

    Returns:
        Pixels marked on both sides, predicted pixels, true pixels.

    Raises:
        InputError: the masks differ in shape.
    """
    a, b = _binarise(predicted), _binarise(truth)
    if a.shape != b.shape:
        raise InputError("predicted", a.shape, f"the shape of its truth, {b.shape}", "resize it")
    return int((a & b).sum()), int(a.sum()), int(b.sum())


def _count_all(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]
) -> list[tuple[int, int, int]]:
    return [count_pixels(p, t) for p, t in zip(predicted, truth, strict=True)]
