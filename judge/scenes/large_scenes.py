"""Scenes far larger than the input of a model, with at most one small defect. Zoom-ins should find it.

A large scene is drawn at its own size and never enlarged. Its objects are one, two or four times as large as
those of a usual scene. The defect is a square window on the edge of one of the objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing import defects
from judge.scenes.drawing.objects import contrasting_colors, create_pose, paint_pose
from judge.scenes.drawing.painting import Canvas, paint_background, pick_style
from judge.scenes.scene_facts import SceneObject
from judge.scenes.vocabulary import BACKGROUNDS, OBJECT_KINDS
from judge.types import DefectLabel

UHD_SIZE = (3840, 2160)
"""Default width and height in pixels."""
WINDOW_DEFECTS = ("smeared", "warped", "cut", "erased", "noise", "tint")
"""Defect kinds that fit into a window of any size."""
OBJECT_SCALES = (1, 2, 4)
"""How much larger the objects are than in a usual scene."""
MIN_VISIBLE_SHARE = 0.66
"""Smallest visible extent of the damage in both directions, as a share of the side of its window."""


@dataclass
class LargeScene:
    """A large scene and its only defect."""

    image: NDArray[np.uint8]
    """(height, width, 3), RGB."""
    prompt: str
    defect: DefectLabel | None
    """None if nothing is damaged."""
    scale: int
    """One of `OBJECT_SCALES`."""


def draw_large_scene(seed: int, size: tuple[int, int] = UHD_SIZE, defect_side: int = 48) -> LargeScene:
    """Draw the large scene of a seed.

    Args:
        seed: any non-negative integer. The same seed gives the same objects for every `defect_side`.
        size: width and height in pixels.
        defect_side: side of the damaged window in pixels; 0 for no defect.
    """
    r = Random(seed)
    side, scale = max(size), r.choice(OBJECT_SCALES)
    background_kind = r.choice(BACKGROUNDS)
    background = paint_background(r, background_kind, side)[: size[1], : size[0]].copy()
    style = pick_style(r)
    style = replace(style, line=style.line * scale, grain=style.grain * scale, shake=style.shake * scale)
    objects = _scatter_objects(r, background, scale)
    canvas = background.copy()
    for thing in objects:
        pose = create_pose(r, thing)
        paint_pose(canvas, pose, pose.parts, style)
    kinds = sorted({thing.kind for thing in objects})
    label = None
    if defect_side:
        canvas, label = _add_defect(Random(f"{seed} flaw"), canvas, background, objects, defect_side)
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    prompt = f"a large {background_kind} picture with {', '.join(kinds[:4])}"
    return LargeScene(image, prompt, label, scale)


def _scatter_objects(r: Random, canvas: Canvas, scale: int) -> list[SceneObject]:
    """Choose objects that do not touch and cover about a third of the image."""
    height, width = canvas.shape[:2]
    objects: list[SceneObject] = []
    wanted = max(4, round(width * height / (scale * 224) ** 2 * r.uniform(0.6, 1.4)))
    for _ in range(20 * wanted):
        if len(objects) >= wanted:
            break
        radius = r.uniform(25, 60) * scale
        x, y = r.uniform(radius, width - radius), r.uniform(radius, height - radius)
        if all(math.hypot(x - t.x, y - t.y) > radius + t.radius + 6 * scale for t in objects):
            color = r.choice(contrasting_colors(canvas, x, y, radius))
            objects.append(SceneObject(color, r.choice(OBJECT_KINDS), x, y, radius))
    return objects


def _add_defect(
    r: Random, canvas: Canvas, background: Canvas, objects: list[SceneObject], side: int
) -> tuple[Canvas, DefectLabel]:
    """Damage one window visibly; return the new canvas and the label of the visible damage."""
    kind = r.choice(WINDOW_DEFECTS)
    height, width = canvas.shape[:2]
    for _ in range(2000):
        thing = r.choice(objects)
        angle, offset = r.uniform(0, 2 * math.pi), r.uniform(0.2, 0.95) * thing.radius
        x = min(max(int(thing.x + offset * math.cos(angle) - side / 2), 0), width - side)
        y = min(max(int(thing.y + offset * math.sin(angle) - side / 2), 0), height - side)
        window = np.s_[y : y + side, x : x + side]
        after = defects.damage_patch(r, kind, canvas[window], background[window])
        mask = defects.find_changed_pixels(canvas[window], after, 224)
        if mask is None:
            continue
        x1, y1, x2, y2 = defects.mask_bounds(mask)
        if min(x2 - x1, y2 - y1) < MIN_VISIBLE_SHARE * side:
            continue
        damaged = canvas.copy()
        damaged[window] = after
        box = (float(x + x1), float(y + y1), float(x + x2), float(y + y2))
        explanation = defects.describe_defect(kind, thing.name, "")
        return damaged, DefectLabel(kind=kind, box=box, explanation=explanation)
    raise AssertionError(f"no window where the defect {kind!r} of {side} pixels would be visible")
