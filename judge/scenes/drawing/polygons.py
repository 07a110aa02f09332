"""Polygons, and the parts that figures consist of.

A figure uses unit coordinates: x and y are about -1 to 1, y points down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""Polygon vertices, shape (n, 2), x and y."""

TONES = {"skin": (232, 190, 152), "dark": (45, 45, 52), "light": (238, 238, 230), "wood": (121, 85, 58),
         "leaf": (70, 140, 70), "gold": (240, 200, 70), "beak": (235, 150, 40)}  # fmt: skip
"""Colours of parts that do not take the colour of their object: name -> RGB, 0 to 255."""


@dataclass(frozen=True)
class Part:
    """One part of a figure."""

    name: str
    contours: tuple[Points, ...]
    """Filled by the even-odd rule, so a second contour is a hole."""
    tone: float | str = 1.0
    """A number scales the colour of the object; a name is a key of `TONES`."""
    loose: bool = False
    """Whether a structure defect may remove, double or move the part."""
    optional: bool = False
    """Whether the figure looks complete without the part. Nobody could say that a house lacks its chimney."""
    seed: int = 0
    """Seed of the hatching and of the shaky outline. With its own seed, a part looks the same when another
    part is damaged."""


def ellipse(
    x: float, y: float, rx: float, ry: float, turn: float = 0.0, start: float = 0.0, end: float = 360.0
) -> Points:
    """Return an ellipse or a slice of it.

    Args:
        x: column of the centre.
        y: row of the centre.
        rx: horizontal radius before the rotation.
        ry: vertical radius before the rotation.
        turn: rotation in radians, clockwise.
        start: first angle of the slice in degrees, clockwise from the right.
        end: last angle of the slice in degrees.
    """
    t = np.radians(np.linspace(start, end, max(8, int(28 * (end - start) / 360)), endpoint=end - start < 360))
    px, py = rx * np.cos(t), ry * np.sin(t)
    c, s = math.cos(turn), math.sin(turn)
    return np.stack([x + c * px - s * py, y + s * px + c * py], 1).astype(np.float32)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return a rectangle from its upper left and lower right corner."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)


def polygon(*points: tuple[float, float]) -> Points:
    """Return a polygon from its corners (x, y)."""
    return np.array(points, np.float32)


def limb(x0: float, y0: float, x1: float, y1: float, width: float, tip: float = 1.0) -> Points:
    """Return a bar with round ends.

    Args:
        x0: column of the near end.
        y0: row of the near end.
        x1: column of the far end.
        y1: row of the far end.
        width: width at the near end.
        tip: scale of the width at the far end.
    """
    a = math.atan2(y1 - y0, x1 - x0)
    near = [
        (x0 + width / 2 * math.cos(a + t), y0 + width / 2 * math.sin(a + t))
        for t in np.linspace(math.pi / 2, 3 * math.pi / 2, 5)
    ]
    far = [
        (x1 + tip * width / 2 * math.cos(a + t), y1 + tip * width / 2 * math.sin(a + t))
        for t in np.linspace(-math.pi / 2, math.pi / 2, 5)
    ]
    return np.array(near + far, np.float32)


def radial_polygon(radii: list[float], turn: float = -math.pi / 2) -> Points:
    """Return a polygon whose corners lie at equal angles around the origin.

    Args:
        radii: distance of each corner from the origin, clockwise.
        turn: angle of the first corner in radians; by default it points up.
    """
    n = len(radii)
    return np.array(
        [
            (r * math.cos(turn + i * 2 * math.pi / n), r * math.sin(turn + i * 2 * math.pi / n))
            for i, r in enumerate(radii)
        ],
        np.float32,
    )
