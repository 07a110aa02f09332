"""The salient area of an image: the rectangle whose detail or colour differs most from what surrounds it.

All rectangles of a coarse grid are compared with the cells around them, by sums over an integral image.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.evidence.planes import Plane

CELLS = 14
"""Cells on each side of the grid."""
_USUAL_DETAIL, _USUAL_COLOR = 7.6, 13.0
"""How clearly the most conspicuous rectangle of an undistorted photograph differs in detail and in colour, as
the t statistic of `_compare_rectangles`. About the mean over BSDS500."""

Corners = tuple[NDArray[np.intp], ...]
"""The four corners of every rectangle as indices into a flat integral image."""


def find_salient_area(detail: Plane, colors: list[Plane]) -> tuple[float, float, float, float, float, float]:
    """Find the rectangle that differs most from the two cells around it.

    Args:
        detail: (CELLS, CELLS), logarithm of fine detail.
        colors: two planes (CELLS, CELLS), the channels a and b of CIELAB.

    Returns:
        x1, y1, x2, y2 as shares of width and height (0 to 1), the difference in detail (negative for less),
        and the distance in colour.
    """
    detail_t, detail_gap = _compare_rectangles(detail, 0.05)
    (a_t, a_gap), (b_t, b_gap) = (_compare_rectangles(plane, 2.0) for plane in colors)
    best = int(np.maximum(np.abs(detail_t) / _USUAL_DETAIL, np.hypot(a_t, b_t) / _USUAL_COLOR).argmax())
    corners = _rectangles()[0]
    y1, x1 = divmod(int(corners[0][best]), CELLS + 1)
    y2, x2 = divmod(int(corners[3][best]), CELLS + 1)
    color_gap = math.hypot(a_gap[best], b_gap[best])
    return x1 / CELLS, y1 / CELLS, x2 / CELLS, y2 / CELLS, float(detail_gap[best]), color_gap


def _compare_rectangles(plane: Plane, min_variance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare the mean of every rectangle with that of the cells around it.

    Args:
        plane: (CELLS, CELLS).
        min_variance: added to the variance, so that very small variances do not matter.

    Returns:
        A t statistic and the difference of the means, both (rectangles,).
    """
    inner, outer, n, around = _rectangles()
    sums, squares = _integral(plane), _integral(plane * plane)
    s, q = _sum_over(sums, inner), _sum_over(squares, inner)
    ring, ring_q = _sum_over(sums, outer) - s, _sum_over(squares, outer) - q
    gap = s / n - ring / around
    variance = (q - s * s / n + ring_q - ring * ring / around) / (n + around)
    t: NDArray[np.float64] = gap / np.sqrt(variance + min_variance) * np.sqrt(n * around / (n + around))
    return t, gap


@cache
def _rectangles() -> tuple[Corners, Corners, NDArray[np.intp], NDArray[np.intp]]:
    """List all rectangles of at least 3 x 3 cells and at most 55 % of the image.

    Returns:
        The corners of each rectangle; the corners of the same rectangle two cells larger on each side; the
        number of cells of each; and how many more cells the larger one has.
    """
    spans = np.array([(a, b) for a in range(CELLS) for b in range(a + 3, CELLS + 1)])
    x1, x2 = np.repeat(spans, len(spans), axis=0).T
    y1, y2 = np.tile(spans, (len(spans), 1)).T
    is_allowed = (x2 - x1) * (y2 - y1) <= 0.55 * CELLS * CELLS
    x1, y1, x2, y2 = x1[is_allowed], y1[is_allowed], x2[is_allowed], y2[is_allowed]
    larger = [
        np.maximum(x1 - 2, 0),
        np.maximum(y1 - 2, 0),
        np.minimum(x2 + 2, CELLS),
        np.minimum(y2 + 2, CELLS),
    ]
    n = (x2 - x1) * (y2 - y1)
    around = (larger[2] - larger[0]) * (larger[3] - larger[1]) - n
    return _corners(x1, y1, x2, y2), _corners(*larger), n, around


def _corners(x1: Any, y1: Any, x2: Any, y2: Any) -> Corners:
    row = CELLS + 1
    return y1 * row + x1, y1 * row + x2, y2 * row + x1, y2 * row + x2


def _integral(plane: Plane) -> NDArray[np.float64]:
    """Return the flat integral image of a plane."""
    return np.pad(plane.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1).ravel()


def _sum_over(integral: NDArray[np.float64], corners: Corners) -> NDArray[np.float64]:
    """Return the sum over each rectangle."""
    a, b, c, d = corners
    return integral[d] - integral[b] - integral[c] + integral[a]
