"""Scenes far larger than a judge sees at once, with at most one small defect: what closer looks are for.

A large scene is drawn at its own size, never enlarged. Its objects are as large as those of a usual scene
(many of them), twice or four times as large; the defect is a square window on the edge of one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing import defects as broken
from judge.scenes.drawing.paint import Canvas, background, pick_style
from judge.scenes.facts import Thing
from judge.scenes.scene import colors_at, paint, pose_of, sentence
from judge.scenes.vocabulary import BACKGROUNDS, KINDS
from judge.types import DefectLabel

UHD = (3840, 2160)
KINDS_OF_FLAW = ("smeared", "warped", "cut", "erased", "noise", "tint")
"""Kinds of damage that fit into a window of any size."""
SCALES = (1, 2, 4)
"""How much larger than in a usual scene the objects are."""
SHOWN = 0.66
"""Least visible extent of the damage, both ways, as a share of its window."""


@dataclass
class Large:
    """A drawn picture: `image` (height, width, 3) uint8 and the one thing that is wrong with it, if any."""

    image: NDArray[np.uint8]
    prompt: str
    flaw: DefectLabel | None
    scale: int


def draw_large(seed: int, size: tuple[int, int] = UHD, flaw: int = 48) -> Large:
    """Draw the large scene of a seed.

    Args:
        seed: any non-negative integer; the same seed gives the same objects whatever `flaw` is.
        size: width and height in pixels.
        flaw: side of the one defect's window in pixels; 0: nothing is broken.
    """
    r = Random(seed)
    side, scale = max(size), r.choice(SCALES)
    ground = r.choice(BACKGROUNDS)
    bare = background(r, ground, side)[: size[1], : size[0]].copy()
    style = pick_style(r)
    style = replace(style, line=style.line * scale, grain=style.grain * scale, shake=style.shake * scale)
    things = _scattered(r, bare, scale)
    canvas = bare.copy()
    for thing in things:
        pose = pose_of(r, thing)
        paint(canvas, pose, pose.parts, style)
    kinds = sorted({thing.kind for thing in things})
    label = None
    if flaw:
        canvas, label = _broken(Random(f"{seed} flaw"), canvas, bare, things, flaw)
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    return Large(image, f"a large {ground} picture with {', '.join(kinds[:4])}", label, scale)


def _scattered(r: Random, canvas: Canvas, scale: int) -> list[Thing]:
    """Objects that do not touch, on about a third of the picture."""
    height, width = canvas.shape[:2]
    things: list[Thing] = []
    wanted = max(4, round(width * height / (scale * 224) ** 2 * r.uniform(0.6, 1.4)))
    for _ in range(20 * wanted):
        if len(things) >= wanted:
            break
        radius = r.uniform(25, 60) * scale
        x, y = r.uniform(radius, width - radius), r.uniform(radius, height - radius)
        if all(math.hypot(x - t.x, y - t.y) > radius + t.radius + 6 * scale for t in things):
            color = r.choice(colors_at(canvas, x, y, radius))
            things.append(Thing(color, r.choice(KINDS), x, y, radius))
    return things


def _broken(
    r: Random, canvas: Canvas, bare: Canvas, things: list[Thing], side: int
) -> tuple[Canvas, DefectLabel]:
    """The canvas with one window damaged so that it shows, and the label of what is visible of it."""
    kind = r.choice(KINDS_OF_FLAW)
    height, width = canvas.shape[:2]
    for _ in range(2000):
        thing = r.choice(things)
        angle, off = r.uniform(0, 2 * math.pi), r.uniform(0.2, 0.95) * thing.radius
        x = min(max(int(thing.x + off * math.cos(angle) - side / 2), 0), width - side)
        y = min(max(int(thing.y + off * math.sin(angle) - side / 2), 0), height - side)
        window = np.s_[y : y + side, x : x + side]
        after = broken.damaged(r, kind, canvas[window], bare[window])
        mask = broken.changed(canvas[window], after, 224)
        if mask is None:
            continue
        x1, y1, x2, y2 = broken.bounds(mask)
        if min(x2 - x1, y2 - y1) < SHOWN * side:
            continue
        whole = canvas.copy()
        whole[window] = after
        box = (float(x + x1), float(y + y1), float(x + x2), float(y + y2))
        return whole, DefectLabel(kind=kind, box=box, explanation=sentence(kind, thing.name, ""))
    raise AssertionError(f"no place where {kind} of {side} pixels would show")
