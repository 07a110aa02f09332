"""What each kind of object looks like: named parts as polygons in unit coordinates.

A figure lives in x, y of about -1..1 with y downwards. Every builder takes a random generator and
varies its proportions, so that no two cats are the same cat. A part's `tone` says how it takes the
object's colour: a number scales the colour, a name is a colour of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""Polygon vertices, shape (n, 2), x and y."""

TONES = {"skin": (232, 190, 152), "dark": (45, 45, 52), "light": (238, 238, 230), "wood": (121, 85, 58),
         "leaf": (70, 140, 70), "gold": (240, 200, 70), "beak": (235, 150, 40)}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One part of a figure: contours filled by the even-odd rule (a second contour is a hole)."""

    name: str
    contours: tuple[Points, ...]
    tone: float | str = 1.0
    loose: bool = False
    """Whether structure defects may take it away, double it or move it."""
    spare: bool = False
    """Whether the figure looks whole without it: nobody could say that a house lacks its chimney."""
    seed: int = 0
    """Of its hatching and its shaky outline: a part looks the same whatever becomes of the others."""


def ellipse(
    x: float, y: float, rx: float, ry: float, turn: float = 0.0, start: float = 0.0, end: float = 360.0
) -> Points:
    """An ellipse or, with `start` and `end` in degrees, a slice of it (clockwise from the right)."""
    t = np.radians(np.linspace(start, end, max(8, int(28 * (end - start) / 360)), endpoint=end - start < 360))
    px, py = rx * np.cos(t), ry * np.sin(t)
    c, s = math.cos(turn), math.sin(turn)
    return np.stack([x + c * px - s * py, y + s * px + c * py], 1).astype(np.float32)


def rect(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)


def poly(*points: tuple[float, float]) -> Points:
    return np.array(points, np.float32)


def limb(x0: float, y0: float, x1: float, y1: float, width: float, tip: float = 1.0) -> Points:
    """A bar with round ends from one point to another; `tip` scales the width at the far end."""
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


def _radial(radii: list[float], turn: float = -math.pi / 2) -> Points:
    n = len(radii)
    return np.array(
        [
            (r * math.cos(turn + i * 2 * math.pi / n), r * math.sin(turn + i * 2 * math.pi / n))
            for i, r in enumerate(radii)
        ],
        np.float32,
    )


def _either(r: Random, *tones: float | str) -> float | str:
    return r.choice(tones)


def circle(r: Random) -> list[Part]:
    return [Part("disc", (ellipse(0, 0, 1, 1),))]


def square(r: Random) -> list[Part]:
    return [Part("square", (rect(-0.85, -0.85, 0.85, 0.85),))]


def triangle(r: Random) -> list[Part]:
    return [Part("triangle", (_radial([1.12] * 3) * np.array([1, r.uniform(0.9, 1.1)], np.float32),))]


def star(r: Random) -> list[Part]:
    inner = r.uniform(0.4, 0.55)
    return [Part("star", (_radial([1.1, inner] * 5),))]


def diamond(r: Random) -> list[Part]:
    w = r.uniform(0.58, 0.75)
    return [Part("diamond", (poly((0, -1.1), (w, 0), (0, 1.1), (-w, 0)),))]


def heart(r: Random) -> list[Part]:
    t = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return [Part("heart", (np.stack([np.sin(t) ** 3, y], 1).astype(np.float32),))]


def ring(r: Random) -> list[Part]:
    hole = r.uniform(0.5, 0.68)
    return [Part("ring", (ellipse(0, 0, 1, 1), ellipse(0, 0, hole, hole)))]


def cross(r: Random) -> list[Part]:
    w = r.uniform(0.28, 0.4)
    return [
        Part(
            "cross",
            (
                poly(
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


def person(r: Random) -> list[Part]:
    head, lift, step = r.uniform(0.2, 0.27), r.uniform(-0.35, 0.25), r.uniform(0.18, 0.36)
    skin = _either(r, "skin", 1.0)
    return [
        Part("left leg", (limb(-0.13, 0.25, -step, 0.92, 0.2),), 0.7, True),
        Part("right leg", (limb(0.13, 0.25, step, 0.92, 0.2),), 0.7, True),
        Part("left arm", (limb(-0.24, -0.38, -0.66, lift, 0.16),), 0.85, True),
        Part("right arm", (limb(0.24, -0.38, 0.66, r.uniform(-0.35, 0.25), 0.16),), 0.85, True),
        Part("body", (poly((-0.3, -0.48), (0.3, -0.48), (0.24, 0.32), (-0.24, 0.32)),)),
        Part("head", (ellipse(0, -0.48 - head, head, head * 1.1),), skin, True),
    ]


def hand(r: Random) -> list[Part]:
    spread, length = r.uniform(0.16, 0.24), r.uniform(0.72, 0.88)
    fingers = []
    for i, name in enumerate(["index finger", "middle finger", "ring finger", "little finger"]):
        a = -math.pi / 2 + (i - 1.5) * spread
        reach = length * (1.0, 1.08, 1.0, 0.82)[i]
        x = -0.36 + 0.24 * i
        fingers.append(
            Part(name, (limb(x, 0.1, x + reach * math.cos(a), 0.08 + reach * math.sin(a), 0.21),), 0.92, True)
        )
    thumb = Part("thumb", (limb(-0.35, 0.45, -0.88, -0.02 + r.uniform(-0.1, 0.15), 0.23),), 0.92, True)
    return [
        *fingers,
        thumb,
        Part(
            "palm", (poly((-0.5, 0.02), (0.5, 0.02), (0.46, 0.7), (0.3, 0.95), (-0.3, 0.95), (-0.48, 0.7)),)
        ),
    ]


def cat(r: Random) -> list[Part]:
    x, y, s = -0.52, -0.32 + r.uniform(-0.06, 0.06), r.uniform(0.3, 0.36)
    tail = r.uniform(-0.75, -0.35)
    legs = [
        Part(f"{n} leg", (limb(lx, 0.35, lx + r.uniform(-0.06, 0.06), 0.88, 0.15),), 0.8, True)
        for n, lx in (("front", -0.4), ("middle", -0.1), ("back", 0.42))
    ]
    return [
        Part("tail", (limb(0.55, 0.15, 0.92, tail, 0.14, 0.8),), 0.85, True),
        *legs,
        Part("body", (ellipse(0.05, 0.2, 0.62, 0.34),)),
        Part(
            "left ear",
            (poly((x - s, y - s * 0.35), (x - s * 0.8, y - s * 1.6), (x - s * 0.05, y - s * 0.8)),),
            0.85,
            True,
        ),
        Part(
            "right ear",
            (poly((x + s, y - s * 0.35), (x + s * 0.8, y - s * 1.6), (x + s * 0.05, y - s * 0.8)),),
            0.85,
            True,
        ),
        Part("head", (ellipse(x, y, s, s * 0.92),)),
        Part("left eye", (ellipse(x - s * 0.4, y - s * 0.1, s * 0.16, s * 0.2),), "light"),
        Part("right eye", (ellipse(x + s * 0.4, y - s * 0.1, s * 0.16, s * 0.2),), "light"),
    ]


def bird(r: Random) -> list[Part]:
    y = r.uniform(-0.5, -0.38)
    return [
        Part("legs", (limb(-0.05, 0.4, -0.1, 0.85, 0.07), limb(0.2, 0.4, 0.2, 0.85, 0.07)), "dark"),
        Part("tail", (poly((0.4, 0.05), (1.0, -0.25), (0.95, 0.2), (0.5, 0.35)),), 0.75, True),
        Part("body", (ellipse(0.05, 0.1, 0.58, 0.4, 0.15),)),
        Part("beak", (poly((-0.78, y - 0.1), (-1.05, y + 0.06), (-0.74, y + 0.14)),), "beak", True),
        Part("head", (ellipse(-0.5, y, 0.3, 0.28),), 1.0, True),
        Part("wing", (ellipse(0.2, 0.02, 0.4, r.uniform(0.2, 0.27), 0.35),), 0.65, True, True),
        Part("eye", (ellipse(-0.58, y - 0.06, 0.06, 0.06),), "dark"),
    ]


def fish(r: Random) -> list[Part]:
    h = r.uniform(0.4, 0.52)
    return [
        Part("tail", (poly((0.5, 0), (1.0, -0.48), (0.88, 0), (1.0, 0.48)),), 0.8, True),
        Part("fin", (poly((-0.15, -h * 0.8), (0.1, -h - 0.36), (0.4, -h * 0.6)),), 0.7, True, True),
        Part("body", (ellipse(-0.12, 0, 0.76, h),)),
        Part("belly fin", (poly((-0.1, h * 0.85), (0.22, h + 0.28), (0.28, h * 0.7)),), 0.7, True, True),
        Part("eye", (ellipse(-0.52, -0.1, 0.1, 0.1),), "light"),
        Part("pupil", (ellipse(-0.52, -0.1, 0.05, 0.05),), "dark"),
    ]


def car(r: Random) -> list[Part]:
    top, w = r.uniform(-0.58, -0.42), r.uniform(0.22, 0.27)
    return [
        Part("cabin", (poly((-0.55, -0.05), (-0.32, top), (0.35, top), (0.62, -0.05)),), 0.9, True),
        Part(
            "rear window",
            (poly((-0.4, -0.06), (-0.25, top + 0.1), (-0.02, top + 0.1), (-0.02, -0.06)),),
            "light",
        ),
        Part(
            "front window",
            (poly((0.06, -0.06), (0.06, top + 0.1), (0.28, top + 0.1), (0.46, -0.06)),),
            "light",
        ),
        Part("body", (poly((-1, -0.05), (0.95, -0.05), (1.02, 0.42), (-1.02, 0.42)),)),
        Part("rear wheel", (ellipse(-0.58, 0.42, w, w),), "dark", True),
        Part("front wheel", (ellipse(0.58, 0.42, w, w),), "dark", True),
        Part("lamp", (ellipse(0.92, 0.12, 0.07, 0.09),), "gold"),
    ]


def bicycle(r: Random) -> list[Part]:
    w, t = r.uniform(0.4, 0.46), r.uniform(0.09, 0.13)
    wheel = [(ellipse(x, 0.35, w, w), ellipse(x, 0.35, w - t, w - t)) for x in (-0.56, 0.56)]
    return [
        Part("rear wheel", wheel[0], 0.8, True),
        Part("front wheel", wheel[1], 0.8, True),
        Part("frame", (limb(-0.56, 0.35, -0.2, -0.25, t),)),
        Part("frame", (limb(-0.2, -0.25, 0.36, -0.25, t),)),
        Part("frame", (limb(-0.2, -0.25, 0.0, 0.35, t),)),
        Part("frame", (limb(0.0, 0.35, 0.36, -0.25, t),)),
        Part("frame", (limb(-0.56, 0.35, 0.0, 0.35, t),)),
        Part("fork", (limb(0.56, 0.35, 0.3, -0.55, t),)),
        Part("saddle", (limb(-0.42, -0.42, -0.06, -0.42, 0.15),), "dark", True),
        Part("handlebar", (limb(0.16, -0.62, 0.5, -0.56, 0.12),), "dark", True),
    ]


def house(r: Random) -> list[Part]:
    y, d = r.uniform(-0.25, -0.1), r.uniform(-0.4, 0.25)
    return [
        Part("chimney", (rect(0.35, -0.95, 0.58, -0.3),), 0.55, True, True),
        Part("wall", (rect(-0.72, y, 0.72, 0.9),)),
        Part("roof", (poly((-0.95, y), (0, -1.0), (0.95, y)),), 0.6, True),
        Part("door", (rect(d, 0.38, d + 0.3, 0.9),), "dark", True, True),
        Part("left window", (rect(-0.6, y + 0.12, -0.28, y + 0.42),), "light", True, True),
        Part("right window", (rect(0.28, y + 0.12, 0.6, y + 0.42),), "light", True, True),
    ]


def tree(r: Random) -> list[Part]:
    if r.random() < 0.5:
        crown = [
            Part("left crown", (ellipse(-0.36, -0.2, 0.42, 0.42),), 0.85, True, True),
            Part("right crown", (ellipse(0.36, -0.2, 0.42, 0.42),), 0.85, True, True),
            Part("top", (ellipse(0, -0.55, 0.46, 0.45),), 1.0, True, True),
        ]
    else:
        crown = [
            Part("lower crown", (poly((-0.72, 0.35), (0, -0.35), (0.72, 0.35)),), 0.8, True, True),
            Part("middle crown", (poly((-0.58, -0.05), (0, -0.7), (0.58, -0.05)),), 0.9),
            Part("top", (poly((-0.42, -0.42), (0, -1.05), (0.42, -0.42)),), 1.0, True, True),
        ]
    return [Part("trunk", (rect(-0.14, 0.1, 0.14, 1.0),), "wood", True), *crown]


def flower(r: Random) -> list[Part]:
    n, turn = r.choice([5, 6]), r.uniform(0, 1)
    petals = []
    for i in range(n):
        a = turn + i * 2 * math.pi / n
        petals.append(
            Part(
                "petal",
                (ellipse(0.4 * math.cos(a), -0.38 + 0.4 * math.sin(a), 0.3, 0.22, a),),
                1.0 if i % 2 else 0.88,
                True,
            )
        )
    return [
        Part("stem", (limb(0, -0.3, r.uniform(-0.1, 0.1), 0.95, 0.1),), "leaf", True),
        Part("leaf", (ellipse(0.24, 0.5, 0.26, 0.12, -0.5),), "leaf", True, True),
        *petals,
        Part("centre", (ellipse(0, -0.38, 0.2, 0.2),), "gold"),
    ]


def cup(r: Random) -> list[Part]:
    w = r.uniform(0.5, 0.62)
    return [
        Part("handle", (ellipse(w, 0.05, 0.4, 0.42), ellipse(w, 0.05, 0.23, 0.25)), 0.85, True, True),
        Part("body", (poly((-w - 0.06, -0.6), (w + 0.06, -0.6), (w - 0.1, 0.85), (-w + 0.1, 0.85)),)),
        Part("rim", (ellipse(0, -0.6, w + 0.06, 0.17),), "light", True, True),
    ]


def chair(r: Random) -> list[Part]:
    y = r.uniform(0.0, 0.15)
    legs = [
        Part(n, (rect(x, y + 0.1, x + 0.15, 0.98),), t, True)
        for n, x, t in (
            ("back leg", -0.3, 0.6),
            ("front leg", 0.12, 0.6),
            ("left leg", -0.6, 0.8),
            ("right leg", 0.48, 0.8),
        )
    ]
    return [
        Part("back", (rect(-0.6, -1.0, -0.42, y), rect(0.42, -1.0, 0.6, y)), 0.8),
        Part("backrest", (rect(-0.6, -0.95, 0.6, -0.52),), 1.0, True),
        *legs,
        Part("seat", (poly((-0.66, y - 0.08), (0.66, y - 0.08), (0.72, y + 0.16), (-0.72, y + 0.16)),)),
    ]


def boat(r: Random) -> list[Part]:
    m = r.uniform(-0.15, 0.1)
    return [
        Part("mast", (rect(m - 0.05, -1.0, m + 0.05, 0.35),), "wood"),
        Part(
            "sail",
            (poly((m + 0.08, -0.95), (m + 0.72, 0.2), (m + 0.08, 0.2)),),
            _either(r, "light", 0.8),
            True,
        ),
        Part(
            "small sail",
            (poly((m - 0.08, -0.7), (m - 0.6, 0.2), (m - 0.08, 0.2)),),
            _either(r, "light", 0.8),
            True,
        ),
        Part("hull", (poly((-1.0, 0.32), (1.0, 0.32), (0.65, 0.85), (-0.65, 0.85)),)),
    ]


def umbrella(r: Random) -> list[Part]:
    top = ellipse(0, 0.0, 1.0, 0.9, start=180, end=360)
    scallops = [(1.0 - i / 12 * 2, -0.12 * abs(math.sin(i / 12 * 4 * math.pi))) for i in range(13)]
    canopy = np.concatenate([top, np.array(scallops, np.float32)])
    return [
        Part("shaft", (limb(0, -0.1, 0, 0.85, 0.09),), "dark", True),
        Part("handle", (ellipse(-0.16, 0.8, 0.2, 0.2, start=0, end=180),), "wood", True, True),
        Part("canopy", (canopy,)),
        Part("panel", (poly((-0.34, -0.02), (0, -0.9), (0.34, -0.02)),), 0.75, True, True),
        Part("tip", (limb(0, -0.88, 0, -1.05, 0.08),), "dark"),
    ]


def mushroom(r: Random) -> list[Part]:
    w = r.uniform(0.2, 0.3)
    cap = ellipse(0, 0.05, 0.98, r.uniform(0.85, 1.0), start=180, end=360)
    spots = [
        Part("spot", (ellipse(x, y, s, s * 0.9),), "light", True, True)
        for x, y, s in ((-0.48, -0.28, 0.17), (0.08, -0.5, 0.2), (0.55, -0.22, 0.16))
    ]
    return [
        Part("stem", (poly((-w, 0.0), (w, 0.0), (w + 0.1, 0.95), (-w - 0.1, 0.95)),), "light", True),
        Part("cap", (cap,)),
        *spots,
    ]


def butterfly(r: Random) -> list[Part]:
    a = r.uniform(0.4, 0.6)
    return [
        Part("left wing", (ellipse(-0.52, -0.35, 0.5, 0.38, a),), 1.0, True),
        Part("right wing", (ellipse(0.52, -0.35, 0.5, 0.38, -a),), 1.0, True),
        Part("lower left wing", (ellipse(-0.4, 0.38, 0.38, 0.3, -a),), 0.78, True),
        Part("lower right wing", (ellipse(0.4, 0.38, 0.38, 0.3, a),), 0.78, True),
        Part("body", (ellipse(0, 0.02, 0.11, 0.62),), "dark"),
        Part("feelers", (limb(0, -0.5, -0.25, -0.92, 0.05), limb(0, -0.5, 0.25, -0.92, 0.05)), "dark"),
    ]


BUILDERS: dict[str, Callable[[Random], list[Part]]] = {
    f.__name__: f
    for f in (circle, square, triangle, star, diamond, heart, ring, cross, person, hand, cat, bird, fish, car,
              bicycle, house, tree, flower, cup, chair, boat, umbrella, mushroom, butterfly)
}  # fmt: skip
