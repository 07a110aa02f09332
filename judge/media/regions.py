"""Boxes, polygons and masks, in pixels of an image and in the relative coordinates 0 to 1000 of models.

A box is (x1, y1, x2, y2): x points right, y points down, and x2 and y2 are exclusive. A box from 0 to the
width of the image covers it completely. A mask is a bool array of shape (height, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from judge.errors import InputError
from judge.types import Box

Mask = NDArray[np.bool_]
"""(height, width)."""

RELATIVE_RANGE = 1000
"""Models write coordinates as whole numbers from 0 to this, for every size of image."""


def box_area(box: Box) -> float:
    """Return the area of a box in square pixels; 0 if its corners are in the wrong order."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def intersection(a: Box, b: Box) -> float:
    """Return the area in square pixels that two boxes share."""
    return box_area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1; 0 if both are empty."""
    shared = intersection(a, b)
    union = box_area(a) + box_area(b) - shared
    return shared / union if union > 0 else 0.0


def clip_box(box: Box, width: int, height: int) -> Box:
    """Return the part of a box that lies inside an image.

    Args:
        box: in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
    """
    x1, x2 = (min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
    y1, y2 = (min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
    return x1, y1, x2, y2


def shift_box(box: Box, dx: float, dy: float) -> Box:
    """Move a box to the right by `dx` pixels and down by `dy` pixels."""
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def scale_box(box: Box, sx: float, sy: float) -> Box:
    """Multiply x by `sx` and y by `sy`.

    With the factors of `judge.media.image.resize_to_fit`, this converts pixels of the model to original
    pixels.
    """
    return box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy


def to_relative(box: Box, width: int, height: int, grid: int = 10) -> tuple[int, int, int, int]:
    """Convert pixels to relative coordinates, 0 to 1000.

    Args:
        box: in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
        grid: coordinates are rounded to multiples of this; it must divide 1000.

    Returns:
        Whole numbers with x1 < x2 and y1 < y2. A box that is thinner than the grid is widened to one step.

    Raises:
        InputError: the image has no pixels, the grid does not divide 1000, or a coordinate is not finite.
    """
    _check_size(width, height)
    if not 0 < grid <= RELATIVE_RANGE or RELATIVE_RANGE % grid:
        raise InputError("grid", grid, f"divisors of {RELATIVE_RANGE}", "10 is the usual one")
    if not all(math.isfinite(value) for value in box):
        raise InputError("box", box, "four finite numbers", "check where the box comes from")
    x1, x2 = _to_relative_pair(box[0] / width, box[2] / width, grid)
    y1, y2 = _to_relative_pair(box[1] / height, box[3] / height, grid)
    return x1, y1, x2, y2


def _to_relative_pair(low: float, high: float, grid: int) -> tuple[int, int]:
    steps = RELATIVE_RANGE // grid
    a, b = (min(max(round(value * steps), 0), steps) for value in (low, high))
    if b <= a:
        # Keep one step at the middle of the box, rather than at one of its sides.
        a = min(max(math.floor((low + high) / 2 * steps), 0), steps - 1)
        b = a + 1
    return a * grid, b * grid


def from_relative(box: Sequence[float], width: int, height: int) -> Box:
    """Convert relative coordinates, 0 to 1000, to pixels, clipped to the image.

    Args:
        box: four relative coordinates.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Raises:
        InputError: the image has no pixels.
    """
    _check_size(width, height)
    x1, y1, x2, y2 = box
    scaled = scale_box((x1, y1, x2, y2), width / RELATIVE_RANGE, height / RELATIVE_RANGE)
    return clip_box(scaled, width, height)


def box_to_mask(box: Box, width: int, height: int) -> Mask:
    """Return the pixels whose centre lies in a box.

    Args:
        box: in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Returns:
        A mask (height, width).
    """
    x1, y1, x2, y2 = box
    return polygon_to_mask([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], width, height)


def polygon_to_mask(points: Sequence[Sequence[float]], width: int, height: int) -> Mask:
    """Return the pixels whose centre lies in a polygon (even-odd rule).

    Args:
        points: (x, y) corners in pixels; the last one is connected to the first. Parts outside the image are
            cut off. Fewer than 3 points enclose nothing.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Returns:
        A mask (height, width).

    Raises:
        InputError: the image has no pixels, or a coordinate is not finite.
    """
    _check_size(width, height)
    corners = [(float(x), float(y)) for x, y in points]
    if not all(math.isfinite(value) for corner in corners for value in corner):
        raise InputError("points", points, "finite (x, y) pairs", "check where the polygon comes from")
    mask = np.zeros((height, width), dtype=np.bool_)
    columns = np.arange(width) + 0.5
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        # Rows whose centre this edge crosses. Every pixel centre to the right of the crossing changes side.
        first = max(0, math.ceil(min(ya, yb) - 0.5))
        last = min(height, math.ceil(max(ya, yb) - 0.5))
        if first >= last:
            continue
        rows = np.arange(first, last) + 0.5
        crossing = xa + (rows - ya) * ((xb - xa) / (yb - ya))
        mask[first:last] ^= columns[None, :] >= crossing[:, None]
    return mask


def mask_to_box(mask: Mask) -> Box | None:
    """Return the smallest box around the true pixels of a mask; None if there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_iou(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks of one shape, 0 to 1; 0 if both are empty.

    Raises:
        InputError: the masks differ in shape.
    """
    if a.shape != b.shape:
        raise InputError("b", b.shape, f"a mask of shape {a.shape}", "resize one of the masks first")
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 0.0


def describe_position(box: Box, width: int, height: int) -> str:
    """Describe in words where a box lies: "in the middle", "at the left", "at the upper right", ...

    Args:
        box: in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
    """
    if (box[2] - box[0]) * (box[3] - box[1]) > 0.7 * width * height:
        return "nearly everywhere"
    x, y = (box[0] + box[2]) / (2 * width), (box[1] + box[3]) / (2 * height)
    rows, columns = ("upper", "", "lower"), ("left", "", "right")
    row, column = rows[min(2, int(y * 3))], columns[min(2, int(x * 3))]
    if not row and not column:
        return "in the middle"
    if not column:
        return "at the top" if row == "upper" else "at the bottom"
    return f"at the {row} {column}".replace("  ", " ")


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputError("size", (width, height), "at least 1 x 1 pixels", "pass the size of the image")
