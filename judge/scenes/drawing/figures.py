"""The parts of figures, in unit coordinates, and the builders of all object kinds.

Every builder takes a source of random numbers and varies the proportions, so no two cats are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np

from judge.scenes.drawing import shapes
from judge.scenes.drawing.polygons import Part, ellipse, limb, polygon, rectangle


def build_person(r: Random) -> list[Part]:
    """Return the parts of a person."""
    head, lift, step = r.uniform(0.2, 0.27), r.uniform(-0.35, 0.25), r.uniform(0.18, 0.36)
    skin = r.choice(("skin", 1.0))
    return [
        Part("left leg", (limb(-0.13, 0.25, -step, 0.92, 0.2),), 0.7, loose=True),
        Part("right leg", (limb(0.13, 0.25, step, 0.92, 0.2),), 0.7, loose=True),
        Part("left arm", (limb(-0.24, -0.38, -0.66, lift, 0.16),), 0.85, loose=True),
        Part("right arm", (limb(0.24, -0.38, 0.66, r.uniform(-0.35, 0.25), 0.16),), 0.85, loose=True),
        Part("body", (polygon((-0.3, -0.48), (0.3, -0.48), (0.24, 0.32), (-0.24, 0.32)),)),
        Part("head", (ellipse(0, -0.48 - head, head, head * 1.1),), skin, loose=True),
    ]


def build_hand(r: Random) -> list[Part]:
    """Return the parts of a hand."""
    spread, length = r.uniform(0.16, 0.24), r.uniform(0.72, 0.88)
    fingers = []
    for i, name in enumerate(["index finger", "middle finger", "ring finger", "little finger"]):
        a = -math.pi / 2 + (i - 1.5) * spread
        reach = length * (1.0, 1.08, 1.0, 0.82)[i]
        x = -0.36 + 0.24 * i
        fingers.append(
            Part(
                name,
                (limb(x, 0.1, x + reach * math.cos(a), 0.08 + reach * math.sin(a), 0.21),),
                0.92,
                loose=True,
            )
        )
    thumb = Part("thumb", (limb(-0.35, 0.45, -0.88, -0.02 + r.uniform(-0.1, 0.15), 0.23),), 0.92, loose=True)
    return [
        *fingers,
        thumb,
        Part(
            "palm",
            (polygon((-0.5, 0.02), (0.5, 0.02), (0.46, 0.7), (0.3, 0.95), (-0.3, 0.95), (-0.48, 0.7)),),
        ),
    ]


def build_cat(r: Random) -> list[Part]:
    """Return the parts of a cat."""
    x, y, s = -0.52, -0.32 + r.uniform(-0.06, 0.06), r.uniform(0.3, 0.36)
    tail = r.uniform(-0.75, -0.35)
    legs = [
        Part(f"{n} leg", (limb(lx, 0.35, lx + r.uniform(-0.06, 0.06), 0.88, 0.15),), 0.8, loose=True)
        for n, lx in (("front", -0.4), ("middle", -0.1), ("back", 0.42))
    ]
    return [
        Part("tail", (limb(0.55, 0.15, 0.92, tail, 0.14, 0.8),), 0.85, loose=True),
        *legs,
        Part("body", (ellipse(0.05, 0.2, 0.62, 0.34),)),
        Part(
            "left ear",
            (polygon((x - s, y - s * 0.35), (x - s * 0.8, y - s * 1.6), (x - s * 0.05, y - s * 0.8)),),
            0.85,
            loose=True,
        ),
        Part(
            "right ear",
            (polygon((x + s, y - s * 0.35), (x + s * 0.8, y - s * 1.6), (x + s * 0.05, y - s * 0.8)),),
            0.85,
            loose=True,
        ),
        Part("head", (ellipse(x, y, s, s * 0.92),)),
        Part("left eye", (ellipse(x - s * 0.4, y - s * 0.1, s * 0.16, s * 0.2),), "light"),
        Part("right eye", (ellipse(x + s * 0.4, y - s * 0.1, s * 0.16, s * 0.2),), "light"),
    ]


def build_bird(r: Random) -> list[Part]:
    """Return the parts of a bird."""
    y = r.uniform(-0.5, -0.38)
    return [
        Part("legs", (limb(-0.05, 0.4, -0.1, 0.85, 0.07), limb(0.2, 0.4, 0.2, 0.85, 0.07)), "dark"),
        Part("tail", (polygon((0.4, 0.05), (1.0, -0.25), (0.95, 0.2), (0.5, 0.35)),), 0.75, loose=True),
        Part("body", (ellipse(0.05, 0.1, 0.58, 0.4, 0.15),)),
        Part("beak", (polygon((-0.78, y - 0.1), (-1.05, y + 0.06), (-0.74, y + 0.14)),), "beak", loose=True),
        Part("head", (ellipse(-0.5, y, 0.3, 0.28),), 1.0, loose=True),
        Part("wing", (ellipse(0.2, 0.02, 0.4, r.uniform(0.2, 0.27), 0.35),), 0.65, loose=True, optional=True),
        Part("eye", (ellipse(-0.58, y - 0.06, 0.06, 0.06),), "dark"),
    ]


def build_fish(r: Random) -> list[Part]:
    """Return the parts of a fish."""
    h = r.uniform(0.4, 0.52)
    return [
        Part("tail", (polygon((0.5, 0), (1.0, -0.48), (0.88, 0), (1.0, 0.48)),), 0.8, loose=True),
        Part(
            "fin",
            (polygon((-0.15, -h * 0.8), (0.1, -h - 0.36), (0.4, -h * 0.6)),),
            0.7,
            loose=True,
            optional=True,
        ),
        Part("body", (ellipse(-0.12, 0, 0.76, h),)),
        Part(
            "belly fin",
            (polygon((-0.1, h * 0.85), (0.22, h + 0.28), (0.28, h * 0.7)),),
            0.7,
            loose=True,
            optional=True,
        ),
        Part("eye", (ellipse(-0.52, -0.1, 0.1, 0.1),), "light"),
        Part("pupil", (ellipse(-0.52, -0.1, 0.05, 0.05),), "dark"),
    ]


def build_car(r: Random) -> list[Part]:
    """Return the parts of a car."""
    top, w = r.uniform(-0.58, -0.42), r.uniform(0.22, 0.27)
    return [
        Part("cabin", (polygon((-0.55, -0.05), (-0.32, top), (0.35, top), (0.62, -0.05)),), 0.9, loose=True),
        Part(
            "rear window",
            (polygon((-0.4, -0.06), (-0.25, top + 0.1), (-0.02, top + 0.1), (-0.02, -0.06)),),
            "light",
        ),
        Part(
            "front window",
            (polygon((0.06, -0.06), (0.06, top + 0.1), (0.28, top + 0.1), (0.46, -0.06)),),
            "light",
        ),
        Part("body", (polygon((-1, -0.05), (0.95, -0.05), (1.02, 0.42), (-1.02, 0.42)),)),
        Part("rear wheel", (ellipse(-0.58, 0.42, w, w),), "dark", loose=True),
        Part("front wheel", (ellipse(0.58, 0.42, w, w),), "dark", loose=True),
        Part("lamp", (ellipse(0.92, 0.12, 0.07, 0.09),), "gold"),
    ]


def build_bicycle(r: Random) -> list[Part]:
    """Return the parts of a bicycle."""
    w, t = r.uniform(0.4, 0.46), r.uniform(0.09, 0.13)
    wheel = [(ellipse(x, 0.35, w, w), ellipse(x, 0.35, w - t, w - t)) for x in (-0.56, 0.56)]
    return [
        Part("rear wheel", wheel[0], 0.8, loose=True),
        Part("front wheel", wheel[1], 0.8, loose=True),
        Part("frame", (limb(-0.56, 0.35, -0.2, -0.25, t),)),
        Part("frame", (limb(-0.2, -0.25, 0.36, -0.25, t),)),
        Part("frame", (limb(-0.2, -0.25, 0.0, 0.35, t),)),
        Part("frame", (limb(0.0, 0.35, 0.36, -0.25, t),)),
        Part("frame", (limb(-0.56, 0.35, 0.0, 0.35, t),)),
        Part("fork", (limb(0.56, 0.35, 0.3, -0.55, t),)),
        Part("saddle", (limb(-0.42, -0.42, -0.06, -0.42, 0.15),), "dark", loose=True),
        Part("handlebar", (limb(0.16, -0.62, 0.5, -0.56, 0.12),), "dark", loose=True),
    ]


def build_house(r: Random) -> list[Part]:
    """Return the parts of a house."""
    y, d = r.uniform(-0.25, -0.1), r.uniform(-0.4, 0.25)
    return [
        Part("chimney", (rectangle(0.35, -0.95, 0.58, -0.3),), 0.55, loose=True, optional=True),
        Part("wall", (rectangle(-0.72, y, 0.72, 0.9),)),
        Part("roof", (polygon((-0.95, y), (0, -1.0), (0.95, y)),), 0.6, loose=True),
        Part("door", (rectangle(d, 0.38, d + 0.3, 0.9),), "dark", loose=True, optional=True),
        Part(
            "left window", (rectangle(-0.6, y + 0.12, -0.28, y + 0.42),), "light", loose=True, optional=True
        ),
        Part("right window", (rectangle(0.28, y + 0.12, 0.6, y + 0.42),), "light", loose=True, optional=True),
    ]


def build_tree(r: Random) -> list[Part]:
    """Return the parts of a tree."""
    if r.random() < 0.5:
        crown = [
            Part("left crown", (ellipse(-0.36, -0.2, 0.42, 0.42),), 0.85, loose=True, optional=True),
            Part("right crown", (ellipse(0.36, -0.2, 0.42, 0.42),), 0.85, loose=True, optional=True),
            Part("top", (ellipse(0, -0.55, 0.46, 0.45),), 1.0, loose=True, optional=True),
        ]
    else:
        crown = [
            Part(
                "lower crown",
                (polygon((-0.72, 0.35), (0, -0.35), (0.72, 0.35)),),
                0.8,
                loose=True,
                optional=True,
            ),
            Part("middle crown", (polygon((-0.58, -0.05), (0, -0.7), (0.58, -0.05)),), 0.9),
            Part(
                "top", (polygon((-0.42, -0.42), (0, -1.05), (0.42, -0.42)),), 1.0, loose=True, optional=True
            ),
        ]
    return [Part("trunk", (rectangle(-0.14, 0.1, 0.14, 1.0),), "wood", loose=True), *crown]


def build_flower(r: Random) -> list[Part]:
    """Return the parts of a flower."""
    n, turn = r.choice([5, 6]), r.uniform(0, 1)
    petals = []
    for i in range(n):
        a = turn + i * 2 * math.pi / n
        petals.append(
            Part(
                "petal",
                (ellipse(0.4 * math.cos(a), -0.38 + 0.4 * math.sin(a), 0.3, 0.22, a),),
                1.0 if i % 2 else 0.88,
                loose=True,
            )
        )
    return [
        Part("stem", (limb(0, -0.3, r.uniform(-0.1, 0.1), 0.95, 0.1),), "leaf", loose=True),
        Part("leaf", (ellipse(0.24, 0.5, 0.26, 0.12, -0.5),), "leaf", loose=True, optional=True),
        *petals,
        Part("centre", (ellipse(0, -0.38, 0.2, 0.2),), "gold"),
    ]


def build_cup(r: Random) -> list[Part]:
    """Return the parts of a cup."""
    w = r.uniform(0.5, 0.62)
    return [
        Part(
            "handle",
            (ellipse(w, 0.05, 0.4, 0.42), ellipse(w, 0.05, 0.23, 0.25)),
            0.85,
            loose=True,
            optional=True,
        ),
        Part("body", (polygon((-w - 0.06, -0.6), (w + 0.06, -0.6), (w - 0.1, 0.85), (-w + 0.1, 0.85)),)),
        Part("rim", (ellipse(0, -0.6, w + 0.06, 0.17),), "light", loose=True, optional=True),
    ]


def build_chair(r: Random) -> list[Part]:
    """Return the parts of a chair."""
    y = r.uniform(0.0, 0.15)
    legs = [
        Part(n, (rectangle(x, y + 0.1, x + 0.15, 0.98),), t, loose=True)
        for n, x, t in (
            ("back leg", -0.3, 0.6),
            ("front leg", 0.12, 0.6),
            ("left leg", -0.6, 0.8),
            ("right leg", 0.48, 0.8),
        )
    ]
    return [
        Part("back", (rectangle(-0.6, -1.0, -0.42, y), rectangle(0.42, -1.0, 0.6, y)), 0.8),
        Part("backrest", (rectangle(-0.6, -0.95, 0.6, -0.52),), 1.0, loose=True),
        *legs,
        Part("seat", (polygon((-0.66, y - 0.08), (0.66, y - 0.08), (0.72, y + 0.16), (-0.72, y + 0.16)),)),
    ]


def build_boat(r: Random) -> list[Part]:
    """Return the parts of a boat."""
    m = r.uniform(-0.15, 0.1)
    return [
        Part("mast", (rectangle(m - 0.05, -1.0, m + 0.05, 0.35),), "wood"),
        Part(
            "sail",
            (polygon((m + 0.08, -0.95), (m + 0.72, 0.2), (m + 0.08, 0.2)),),
            r.choice(("light", 0.8)),
            loose=True,
        ),
        Part(
            "small sail",
            (polygon((m - 0.08, -0.7), (m - 0.6, 0.2), (m - 0.08, 0.2)),),
            r.choice(("light", 0.8)),
            loose=True,
        ),
        Part("hull", (polygon((-1.0, 0.32), (1.0, 0.32), (0.65, 0.85), (-0.65, 0.85)),)),
    ]


def build_umbrella(r: Random) -> list[Part]:
    """Return the parts of an umbrella."""
    top = ellipse(0, 0.0, 1.0, 0.9, start=180, end=360)
    scallops = [(1.0 - i / 12 * 2, -0.12 * abs(math.sin(i / 12 * 4 * math.pi))) for i in range(13)]
    canopy = np.concatenate([top, np.array(scallops, np.float32)])
    return [
        Part("shaft", (limb(0, -0.1, 0, 0.85, 0.09),), "dark", loose=True),
        Part("handle", (ellipse(-0.16, 0.8, 0.2, 0.2, start=0, end=180),), "wood", loose=True, optional=True),
        Part("canopy", (canopy,)),
        Part("panel", (polygon((-0.34, -0.02), (0, -0.9), (0.34, -0.02)),), 0.75, loose=True, optional=True),
        Part("tip", (limb(0, -0.88, 0, -1.05, 0.08),), "dark"),
    ]


def build_mushroom(r: Random) -> list[Part]:
    """Return the parts of a mushroom."""
    w = r.uniform(0.2, 0.3)
    cap = ellipse(0, 0.05, 0.98, r.uniform(0.85, 1.0), start=180, end=360)
    spots = [
        Part("spot", (ellipse(x, y, s, s * 0.9),), "light", loose=True, optional=True)
        for x, y, s in ((-0.48, -0.28, 0.17), (0.08, -0.5, 0.2), (0.55, -0.22, 0.16))
    ]
    return [
        Part("stem", (polygon((-w, 0.0), (w, 0.0), (w + 0.1, 0.95), (-w - 0.1, 0.95)),), "light", loose=True),
        Part("cap", (cap,)),
        *spots,
    ]


def build_butterfly(r: Random) -> list[Part]:
    """Return the parts of a butterfly."""
    a = r.uniform(0.4, 0.6)
    return [
        Part("left wing", (ellipse(-0.52, -0.35, 0.5, 0.38, a),), 1.0, loose=True),
        Part("right wing", (ellipse(0.52, -0.35, 0.5, 0.38, -a),), 1.0, loose=True),
        Part("lower left wing", (ellipse(-0.4, 0.38, 0.38, 0.3, -a),), 0.78, loose=True),
        Part("lower right wing", (ellipse(0.4, 0.38, 0.38, 0.3, a),), 0.78, loose=True),
        Part("body", (ellipse(0, 0.02, 0.11, 0.62),), "dark"),
        Part("feelers", (limb(0, -0.5, -0.25, -0.92, 0.05), limb(0, -0.5, 0.25, -0.92, 0.05)), "dark"),
    ]


FIGURE_BUILDERS: dict[str, Callable[[Random], list[Part]]] = {
    "circle": shapes.build_circle,
    "square": shapes.build_square,
    "triangle": shapes.build_triangle,
    "star": shapes.build_star,
    "diamond": shapes.build_diamond,
    "heart": shapes.build_heart,
    "ring": shapes.build_ring,
    "cross": shapes.build_cross,
    "person": build_person,
    "hand": build_hand,
    "cat": build_cat,
    "bird": build_bird,
    "fish": build_fish,
    "car": build_car,
    "bicycle": build_bicycle,
    "house": build_house,
    "tree": build_tree,
    "flower": build_flower,
    "cup": build_cup,
    "chair": build_chair,
    "boat": build_boat,
    "umbrella": build_umbrella,
    "mushroom": build_mushroom,
    "butterfly": build_butterfly,
}
"""Object kind -> the builder of its parts."""
