"""The parts of plain shapes, in unit coordinates.

Every builder takes a source of random numbers and varies the proportions.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np

from judge.scenes.drawing.polygons import Part, ellipse, polygon, radial_polygon, rectangle


def build_circle(r: Random) -> list[Part]:
    """Return the parts of a circle."""
    return [Part("disc", (ellipse(0, 0, 1, 1),))]


def build_square(r: Random) -> list[Part]:
    """Return the parts of a square."""
    return [Part("square", (rectangle(-0.85, -0.85, 0.85, 0.85),))]


def build_triangle(r: Random) -> list[Part]:
    """Return the parts of a triangle."""
    return [Part("triangle", (radial_polygon([1.12] * 3) * np.array([1, r.uniform(0.9, 1.1)], np.float32),))]


def build_star(r: Random) -> list[Part]:
    """Return the parts of a star."""
    inner = r.uniform(0.4, 0.55)
    return [Part("star", (radial_polygon([1.1, inner] * 5),))]


def build_diamond(r: Random) -> list[Part]:
    """Return the parts of a diamond."""
    w = r.uniform(0.58, 0.75)
    return [Part("diamond", (polygon((0, -1.1), (w, 0), (0, 1.1), (-w, 0)),))]


def build_heart(r: Random) -> list[Part]:
    """Return the parts of a heart."""
    t = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return [Part("heart", (np.stack([np.sin(t) ** 3, y], 1).astype(np.float32),))]


def build_ring(r: Random) -> list[Part]:
    """Return the parts of a ring."""
    hole = r.uniform(0.5, 0.68)
    return [Part("ring", (ellipse(0, 0, 1, 1), ellipse(0, 0, hole, hole)))]


def build_cross(r: Random) -> list[Part]:
    """Return the parts of a cross."""
    w = r.uniform(0.28, 0.4)
    return [
        Part(
            "cross",
            (
                polygon(
                    (-w, -1),
                    (w, -1),
                    (w, -w),
                    (1, -w),
                    (1, w),
                    (w, w),
                    (w, 1),
                    (-w, 1),
                    (-w, w),
                    (-1, w),
                    (-1, -w),
                    (-w, -w),
                ),
            ),
        )
    ]
