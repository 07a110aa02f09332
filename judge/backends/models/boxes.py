"""How model families write a box, and conversions to and from pixels of the original image.

A box in pixels is (x1, y1, x2, y2) of the original image, see `judge.media.regions`. A model writes four
whole numbers in the convention that it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from judge.errors import InputError
from judge.media.regions import RELATIVE_RANGE
from judge.types import Box

Size = tuple[int, int]
"""Width and height in pixels."""
WrittenBox = tuple[int, int, int, int]
"""The four numbers of a box in the order in which the model writes them."""


class BoxConvention(Enum):
    """What the four numbers of a box mean. The values are the names that options take."""

    RELATIVE_1000_XYXY = "relative"
    """[x1, y1, x2, y2], each 0 to 1000 of the image's width or height."""
    RESIZED_PIXELS_XYXY = "pixels"
    """[x1, y1, x2, y2] in pixels of the image as the model's processor resized it."""
    RELATIVE_1000_YXYX = "relative-yxyx"
    """[ymin, xmin, ymax, xmax], each 0 to 1000 of the image's height or width."""
    JUDGE_GRID = "grid"
    """As `RELATIVE_1000_XYXY`, in multiples of 10: what models that were trained here write."""

    @property
    def step(self) -> int:
        """Distance between two neighboring coordinates."""
        return 10 if self is BoxConvention.JUDGE_GRID else 1

    @property
    def is_y_first(self) -> bool:
        """Whether the vertical coordinate of a corner stands before the horizontal one."""
        return self is BoxConvention.RELATIVE_1000_YXYX

    def limits(self, resized: Size) -> Size:
        """Return the greatest horizontal and vertical coordinate.

        Args:
            resized: size of the image as the model sees it.
        """
        return resized if self is BoxConvention.RESIZED_PIXELS_XYXY else (RELATIVE_RANGE, RELATIVE_RANGE)


def write_box(box: Box, convention: BoxConvention, original: Size, resized: Size) -> WrittenBox:
    """Convert a box in pixels of the original image to the numbers that a model writes.

    Args:
        box: in pixels of the original image.
        convention: the model's convention.
        original: size of the original image.
        resized: size of the image as the model sees it.

    Returns:
        Four numbers within the limits and in order. A box thinner than one step is widened to one step.

    Raises:
        InputError: a size is not positive, or a coordinate is not finite.
    """
    _check_sizes(original, resized)
    if not all(math.isfinite(value) for value in box):
        raise InputError("box", box, "four finite numbers", "check where the box comes from")
    width, height = convention.limits(resized)
    x1, x2 = _round_pair(box[0] / original[0], box[2] / original[0], width, convention.step)
    y1, y2 = _round_pair(box[1] / original[1], box[3] / original[1], height, convention.step)
    return (y1, x1, y2, x2) if convention.is_y_first else (x1, y1, x2, y2)


def read_box(written: Sequence[float], convention: BoxConvention, original: Size, resized: Size) -> Box:
    """Convert the numbers that a model wrote to a box in pixels of the original image.

    Args:
        written: four numbers in the model's convention; they may be fractions.
        convention: the model's convention.
        original: size of the original image.
        resized: size of the image as the model sees it.

    Returns:
        The box, clipped to the image.

    Raises:
        InputError: a size is not positive, or there are not four finite numbers.
    """
    _check_sizes(original, resized)
    if len(written) != 4 or not all(math.isfinite(value) for value in written):
        raise InputError("box", list(written), "four finite numbers", "check the reply of the model")
    width, height = convention.limits(resized)
    a, b, c, d = written
    x1, y1, x2, y2 = (b, a, d, c) if convention.is_y_first else (a, b, c, d)
    horizontal = (_clip(x / width) * original[0] for x in (x1, x2))
    vertical = (_clip(y / height) * original[1] for y in (y1, y2))
    (left, right), (top, bottom) = horizontal, vertical
    return left, top, right, bottom


def _round_pair(low: float, high: float, limit: int, step: int) -> tuple[int, int]:
    """Round two shares of a side to coordinates, the first below the second.

    The last coordinate of a side whose length is no multiple of `step` is the last multiple below it.
    """
    steps = limit // step
    first, last = (min(max(round(share * limit / step), 0), steps) for share in (low, high))
    if last <= first:
        # Keep one step at the middle of the box, rather than at one of its sides.
        first = min(max(math.floor((low + high) / 2 * limit / step), 0), steps - 1)
        last = first + 1
    return first * step, last * step


def _clip(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _check_sizes(original: Size, resized: Size) -> None:
    for field, size in (("original", original), ("resized", resized)):
        if len(size) != 2 or min(size) < 1:
            raise InputError(field, size, "a width and a height of 1 or more", "pass the size in pixels")
