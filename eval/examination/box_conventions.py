"""Which box convention fits the truth best: what a model wrote, read in each of the known ways.

A general model is asked for the same objects in each convention. Where that is not possible, its boxes are
turned back into the numbers that it wrote, and those are read in each convention. The one with the largest
mean IoU fits best. Another one than the judge's own is only proposed if the gain is no chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.boxes import assign_boxes
from judge.backends.models.boxes import BoxConvention, Size, read_box, write_box
from judge.types import Box

MIN_BOXES = 4
"""Fewer images with a true and an answered box decide nothing."""
MIN_IOU = 0.15
"""A convention whose mean IoU is lower fits nothing."""


@dataclass(frozen=True)
class BoxCase:
    """The true boxes of one image and the boxes that the model gave, all in pixels of the image."""

    truth: Sequence[Box]
    given: Sequence[Box]
    size: Size
    """Width and height of the image."""
    shown: Size
    """Width and height of the image as the model saw it."""


@dataclass(frozen=True)
class ConventionFit:
    """How well each convention fits."""

    used: BoxConvention
    """The convention that the judge uses for the model."""
    best: BoxConvention
    """The one that fits best; `used` if no other one fits clearly better."""
    mean_iou: dict[str, float]
    """Name of each convention -> mean IoU over the true boxes of all images, a missing box counting 0."""
    count: int
    """Number of images with a true box."""
    is_asked: bool
    """Whether the model was asked in each convention. False: its boxes were read in each convention."""


def fit_conventions(cases: Mapping[BoxConvention, Sequence[BoxCase]]) -> ConventionFit | None:
    """Find the convention that fits best.

    Args:
        cases: images with true and given boxes, by the convention in which the model was asked for them; the
            one that the judge uses comes first. Conventions in which it was not asked are judged by reading
            the same numbers in them.

    Returns:
        The fit; None if too few images have a true and a given box.
    """
    if not cases:
        return None
    used, own = next(iter(cases.items()))
    if sum(bool(case.truth and case.given) for case in own) < MIN_BOXES:
        return None
    # The grid differs from relative coordinates in its steps only: nothing tells them apart.
    tried = [c for c in BoxConvention if c is used or c is not BoxConvention.JUDGE_GRID]
    ious = {}
    for convention in tried:
        asked = cases.get(convention)
        source, read_as = (own, used) if asked is None else (asked, convention)
        values = [case_iou(case, read_as, convention) for case in source if case.truth]
        ious[convention] = np.array(values)
    best = max(tried, key=lambda convention: (ious[convention].mean(), convention is used))
    gains = ious[best] - ious[used]
    interval = bootstrap_interval(lambda draw: float(gains[draw].mean()), len(gains))
    if ious[best].mean() < MIN_IOU or interval.low is None or interval.low <= 0:
        best = used
    means = {convention.value: float(values.mean()) for convention, values in ious.items()}
    return ConventionFit(used, best, means, len(gains), is_asked=len(cases) > 1)


def case_iou(case: BoxCase, used: BoxConvention, convention: BoxConvention) -> float:
    """Return the mean IoU over the true boxes of an image if its given boxes are read in a convention."""
    read = [reread(box, case, used, convention) for box in case.given]
    matched = assign_boxes(read, case.truth)
    return sum(iou for _, _, iou in matched) / len(case.truth)


def reread(box: Box, case: BoxCase, used: BoxConvention, convention: BoxConvention) -> Box:
    """Return a box that was read in one convention as another one reads the same numbers."""
    if convention is used:
        return box
    # The model's own numbers need not lie on the grid, so nothing is rounded to it.
    is_grid = used is BoxConvention.JUDGE_GRID
    writing = BoxConvention.RELATIVE_1000_XYXY if is_grid else used
    written = write_box(box, writing, case.size, case.shown)
    return read_box(written, convention, case.size, case.shown)


def used_convention(backend: object) -> BoxConvention:
    """Return the convention that a backend uses for its model; by default the judge's grid."""
    convention = getattr(backend, "boxes", None)
    if isinstance(convention, BoxConvention):
        return convention
    return BoxConvention(convention) if isinstance(convention, str) else BoxConvention.JUDGE_GRID


def askable_conventions(backend: object) -> tuple[BoxConvention, ...]:
    """Return the conventions in which a backend can ask for boxes, the one that it uses first."""
    used = used_convention(backend)
    if not isinstance(getattr(backend, "boxes", None), BoxConvention):
        return (used,)
    others = (c for c in BoxConvention if c is not used and c is not BoxConvention.JUDGE_GRID)
    return (used, *others)


def shown_size(backend: object, image: NDArray[np.uint8]) -> Size:
    """Return the width and height at which the model of a backend sees an image.

    Args:
        backend: the backend; None if the model is behind an address.
        image: the image, shape (height, width, 3).
    """
    side = getattr(backend, "size", None)
    if side is not None:
        return side, side
    translator = getattr(backend, "box_translator", None)
    if translator is None:
        return image.shape[1], image.shape[0]
    resized: Size = translator.resized(Image.fromarray(image))
    return resized
