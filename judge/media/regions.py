"""Boxes, polygons and masks, in pixels of a picture and in the 0..1000 that models speak.

A box is (x1, y1, x2, y2), x to the right and y down, x2 and y2 exclusive: a box from 0 to the picture's
width covers it whole. A mask is a bool array of shape (height, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from judge.errors import InputError
from judge.types import Box

Mask = NDArray[np.bool_]

RELATIVE = 1000
"""Models write coordinates as whole numbers from 0 to this, whatever the picture's size."""


def area(box: Box) -> float:
    """Area of a box in square pixels; 0 when its corners are in the wrong order."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def common(a: Box, b: Box) -> float:
    """Area in square pixels that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1; 0 when both are empty."""
    both = common(a, b)
    either = area(a) + area(b) - both
    return both / either if either > 0 else 0.0


def clip(box: Box, width: int, height: int) -> Box:
    """The part of a box inside a picture of width x height pixels."""
    x1, x2 = (min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
    y1, y2 = (min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
    return x1, y1, x2, y2


def shifted(box: Box, right: float, down: float) -> Box:
    """A box moved by so many pixels."""
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def scale(box: Box, sx: float, sy: float) -> Box:
    """A box with x multiplied by sx and y by sy: with `media.fit`'s factors, model to original pixels."""
    return box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy


def to_relative(box: Box, width: int, height: int, grid: int = 10) -> tuple[int, int, int, int]:
    """Pixels to 0..1000.

    Args:
        box: pixels of a picture of width x height.
        grid: coordinates are rounded to multiples of this; must divide 1000.

    Returns:
        Whole numbers with x1 < x2 and y1 < y2: a box thinner than the grid is widened to one step.

    Raises:
        InputError: the picture has no pixels, the grid does not divide 1000, or a coordinate is not finite.
    """
    _check_size(width, height)
    if not 0 < grid <= RELATIVE or RELATIVE % grid:
        raise InputError("grid", grid, f"divisors of {RELATIVE}", "10 is the usual one")
    if not all(math.isfinite(value) for value in box):
        raise InputError("box", box, "four finite numbers", "check where the box comes from")
    x1, x2 = _relative_pair(box[0] / width, box[2] / width, grid)
    y1, y2 = _relative_pair(box[1] / height, box[3] / height, grid)
    return x1, y1, x2, y2


def from_relative(box: Sequence[float], width: int, height: int) -> Box:
    """0..1000 to pixels of a picture of width x height, cut at its edges."""
    _check_size(width, height)
    x1, y1, x2, y2 = box
    return clip(scale((x1, y1, x2, y2), width / RELATIVE, height / RELATIVE), width, height)


def box_mask(box: Box, width: int, height: int) -> Mask:
    """The pixels whose centre lies in a box, as a mask of shape (height, width)."""
    x1, y1, x2, y2 = box
    return polygon_mask([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], width, height)


def polygon_mask(points: Sequence[Sequence[float]], width: int, height: int) -> Mask:
    """The pixels whose centre lies in a polygon (even-odd rule), as a mask of shape (height, width).

    Args:
        points: (x, y) corners in pixels; the last is joined to the first. Parts outside the picture are cut.
            Fewer than 3 points enclose nothing.

    Raises:
        InputError: the picture has no pixels or a coordinate is not finite.
    """
    _check_size(width, height)
    corners = [(float(x), float(y)) for x, y in points]
    if not all(math.isfinite(value) for corner in corners for value in corner):
        raise InputError("points", points, "finite (x, y) pairs", "check where the polygon comes from")
    mask = np.zeros((height, width), dtype=np.bool_)
    columns = np.arange(width) + 0.5
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        # Rows whose centre this edge crosses; every pixel centre to the right of the crossing changes side.
        first = max(0, math.ceil(min(ya, yb) - 0.5))
        last = min(height, math.ceil(max(ya, yb) - 0.5))
        if first >= last:
            continue
        rows = np.arange(first, last) + 0.5
        crossing = xa + (rows - ya) * ((xb - xa) / (yb - ya))
        mask[first:last] ^= columns[None, :] >= crossing[:, None]
    return mask


def mask_box(mask: Mask) -> Box | None:
    """The smallest box around the true pixels of a (height, width) mask; None when there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks of one shape, 0 to 1; 0 when both are empty.

    Raises:
        InputError: the masks differ in shape.
    """
    if a.shape != b.shape:
        raise InputError("b", b.shape, f"a mask of shape {a.shape}", "resize one of the masks first")
    either = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / either if either else 0.0


def _relative_pair(low: float, high: float, grid: int) -> tuple[int, int]:
    steps = RELATIVE // grid
    a, b = (min(max(round(value * steps), 0), steps) for value in (low, high))
    if b <= a:
        # Keep one step, centred where the box is rather than pushed to one side.
        a = min(max(math.floor((low + high) / 2 * steps), 0), steps - 1)
        b = a + 1
    return a * grid, b * grid


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputError("size", (width, height), "at least 1 x 1 pixels", "pass the picture's own size")


def place(box: Box, width: int, height: int) -> str:
    """Where in a picture a box lies, in words: in the middle, at the left, at the upper right, ..."""
    if (box[2] - box[0]) * (box[3] - box[1]) > 0.7 * width * height:
        return "nearly everywhere"
    across, down = (box[0] + box[2]) / (2 * width), (box[1] + box[3]) / (2 * height)
    rows, columns = ("upper", "", "lower"), ("left", "", "right")
    row, column = rows[min(2, int(down * 3))], columns[min(2, int(across * 3))]
    if not row and not column:
        return "in the middle"
    if not column:
        return "at the top" if row == "upper" else "at the bottom"
    return f"at the {row} {column}".replace("  ", " ")
