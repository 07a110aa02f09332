"""Which box convention fits the truth best: what a model wrote, read in each of the known ways.

The boxes of a verdict were read in the convention that the judge uses for the model. They are turned back
into the numbers that the model wrote, and those are read in every other convention. The one with the largest
mean IoU fits best. Another one than the judge's own is only proposed if the gain is no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    """Number of images with a true box and an answered one."""


def fit_conventions(cases: Sequence[BoxCase], used: BoxConvention) -> ConventionFit | None:
    """Find the convention that fits best.

    Args:
        cases: images with at least one true box.
        used: the convention in which the given boxes were read.

    Returns:
        The fit; None if too few images have a true and an answered box.
    """
    cases = [case for case in cases if case.truth and case.given]
    if len(cases) < MIN_BOXES:
        return None
    ious = {
        convention: np.array([case_iou(case, used, convention) for case in cases])
        for convention in BoxConvention
    }
    best = used
    for convention, values in ious.items():
        # The grid differs from relative coordinates in its steps only: reading tells them not apart.
        if values.mean() > ious[best].mean() + 1e-9 and convention is not BoxConvention.JUDGE_GRID:
            best = convention
    gains = ious[best] - ious[used]
    interval = bootstrap_interval(lambda draw: float(gains[draw].mean()), len(gains))
    if ious[best].mean() < MIN_IOU or interval.low is None or interval.low <= 0:
        best = used
    means = {convention.value: float(values.mean()) for convention, values in ious.items()}
    return ConventionFit(used, best, means, len(cases))


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
    convention = getattr(convention, "convention", convention)
    if isinstance(convention, BoxConvention):
        return convention
    return BoxConvention(convention) if isinstance(convention, str) else BoxConvention.JUDGE_GRID
