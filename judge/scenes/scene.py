"""Drawing one scene: background, objects, local defects, and degradation of the whole image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing import defects
from judge.scenes.drawing.degradations import degrade
from judge.scenes.drawing.objects import choose_objects, create_pose, paint_pose
from judge.scenes.drawing.painting import USUAL_FINISH, Canvas, Finish, paint_background, pick_style
from judge.scenes.labels import label_scene, make_elements
from judge.scenes.scene_facts import SCENE_SIZE, SceneDefect, SceneFacts
from judge.scenes.vocabulary import BACKGROUNDS, DEFECT_KINDS, DEGRADATIONS, FIGURES
from judge.types import LabelledSample

DEFECT_SHARES = (0.45, 0.28, 0.18, 0.09)
"""Shares of scenes that are drawn with no, one, two and three defects."""
MAX_COVERED, MAX_ERASED = 0.85, 0.55
"""Largest share of an object that one defect may cover, and that it may erase."""
_PART_DEFECTS = DEFECT_KINDS[:3]


@dataclass
class Scene:
    """A drawn scene with its ground truth."""

    image: NDArray[np.uint8]
    """(size, size, 3), RGB."""
    sample: LabelledSample
    masks: list[defects.Mask]
    """A mask (size, size) for each defect, in the order of the labels."""
    facts: SceneFacts
    object_map: NDArray[np.uint8]
    """(size, size): index + 1 of the object at each pixel, 0 for the background."""


def draw_scene(
    seed: int,
    size: int = SCENE_SIZE,
    defect_shares: tuple[float, ...] = DEFECT_SHARES,
    finish: Finish = USUAL_FINISH,
) -> Scene:
    """Draw the scene of a seed. The same arguments give the same pixels and labels.

    Args:
        seed: any non-negative integer.
        size: side of the square image in pixels, at least 64.
        defect_shares: how often no, one, two and three defects are tried. Other shares give other scenes.
        finish: grain, edges and colours. Another finish may give other objects.

    Returns:
        The image with its labels. `sample.image` is None; `write_scenes` sets it to a path.
    """
    r = Random(seed)
    drawing = _finish_drawing(r, size, defect_shares, finish)
    elements = make_elements(r, drawing.facts, r.choice([2, 3, 3, 4, 5]))
    return Scene(
        _degrade(drawing, drawing.canvas, seed),
        label_scene(r, drawing.facts, elements),
        drawing.masks,
        drawing.facts,
        drawing.object_map,
    )


def draw_undamaged_scene(
    seed: int,
    size: int = SCENE_SIZE,
    defect_shares: tuple[float, ...] = DEFECT_SHARES,
    finish: Finish = USUAL_FINISH,
) -> NDArray[np.uint8]:
    """Draw the image of `draw_scene` with the same arguments, but without its defects.

    A degradation of the whole image is kept. Outside of the masks, only a degradation that spreads (blur,
    jpeg) makes a difference to the damaged scene.

    Returns:
        The image (size, size, 3).
    """
    drawing = _finish_drawing(Random(seed), size, defect_shares, finish)
    return _degrade(drawing, drawing.draw_undamaged(), seed)


def _finish_drawing(r: Random, size: int, defect_shares: tuple[float, ...], finish: Finish) -> _Drawing:
    """Draw objects and defects, sort the defects in reading order, and choose a degradation."""
    drawing = _Drawing(r, size, finish)
    wanted = r.choices([0, 1, 2, 3], defect_shares)[0]
    kinds = [r.choice(DEFECT_KINDS) for _ in range(wanted)]
    figures = [n for n, thing in enumerate(drawing.facts.objects) if thing.kind in FIGURES]
    r.shuffle(figures)
    part_defects = dict(zip(figures, [k for k in kinds if k in _PART_DEFECTS], strict=False))
    drawing.paint_objects(part_defects)
    for _ in range(10):
        if len(drawing.facts.defects) >= wanted:
            break
        pixel_kinds = [k for k in kinds if k not in _PART_DEFECTS] or DEFECT_KINDS[3:]
        drawing.add_pixel_defect(r.choice(pixel_kinds))
    drawing.sort_defects()
    if r.random() < 0.3:
        drawing.facts.degradation, drawing.facts.level = r.choice(DEGRADATIONS[1:]), r.randint(1, 3)
    return drawing


def _degrade(drawing: _Drawing, canvas: Canvas, seed: int) -> NDArray[np.uint8]:
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    return degrade(pixels, drawing.facts.degradation, drawing.facts.level, seed)


class _Drawing:
    """A scene while it is being drawn, with the facts that are true of it so far."""

    def __init__(self, r: Random, size: int, finish: Finish) -> None:
        self.r, self.size = r, size
        kind = r.choice(BACKGROUNDS)
        self.canvas = paint_background(r, kind, size, finish)
        self.background = self.canvas.copy()
        self.style = pick_style(r, smooth=finish.smooth)
        self.facts = SceneFacts(size, kind, self.style.name, choose_objects(r, self.canvas))
        self.poses = [create_pose(r, thing, exact=finish.exact) for thing in self.facts.objects]
        self.object_map = np.zeros((size, size), np.uint8)
        self.masks: list[defects.Mask] = []

    def paint_objects(self, part_defects: dict[int, str]) -> None:
        """Paint every object.

        Args:
            part_defects: index of an object -> the defect kind to try on one of its parts.
        """
        for n, (thing, pose) in enumerate(zip(self.facts.objects, self.poses, strict=True)):
            before = self.canvas.copy()
            paint_pose(self.canvas, pose, pose.parts, self.style)
            painted = defects.max_channel_difference(before, self.canvas) > 2
            self.object_map[painted] = n + 1
            x0, y0, x1, y1 = defects.mask_bounds(painted)
            thing.box = (x0, y0, x1, y1)
            if n not in part_defects:
                continue
            for _ in range(4):
                kind = part_defects[n]
                result = defects.break_parts(self.r, kind, pose.parts)
                if result is None:
                    break
                parts, part = result
                after = before.copy()
                paint_pose(after, pose, parts, self.style)
                explanation = defects.describe_defect(kind, thing.name, part)
                if self._accept(self.canvas, after, kind, explanation, n):
                    break

    def add_pixel_defect(self, kind: str) -> bool:
        """Damage the finished canvas at one object; return False when nothing visible came of it."""
        r, n = self.r, self.r.randrange(len(self.facts.objects))
        thing = self.facts.objects[n]
        if kind == "fused":
            return self._fuse_with_nearest(n)
        after = defects.break_pixels(r, kind, self.canvas, self.background, (thing.x, thing.y), thing.radius)
        return self._accept(self.canvas, after, kind, defects.describe_defect(kind, thing.name, ""), n)

    def _fuse_with_nearest(self, n: int) -> bool:
        objects = self.facts.objects
        others = [m for m in range(len(self.poses)) if m != n]
        if not others:
            return False
        thing = objects[n]
        m = min(others, key=lambda j: math.hypot(objects[j].x - thing.x, objects[j].y - thing.y))
        other = objects[m]
        colors = (np.array(self.poses[n].color, np.float32), np.array(self.poses[m].color, np.float32))
        after = defects.fuse_objects(
            self.r, self.canvas, (thing.x, thing.y, thing.radius), (other.x, other.y, other.radius), colors
        )
        explanation = f"the {thing.name} and the {other.name} are fused"
        return self._accept(self.canvas, after, "fused", explanation, n, m)

    def _accept(
        self, before: Canvas, after: Canvas, kind: str, explanation: str, *object_indices: int
    ) -> bool:
        """Take over a damaged canvas and its label if the damage meets all conditions.

        The damage must be visible, must leave enough of every object to see it, and must not overlap another
        defect.
        """
        mask = defects.find_changed_pixels(before, after, self.size)
        if mask is None:
            return False
        x0, y0, x1, y1 = defects.mask_bounds(mask)
        limit = MAX_ERASED if kind == "erased" else MAX_COVERED
        for n in range(len(self.facts.objects)):
            pixels = self.object_map == n + 1
            if (mask & pixels).sum() > limit * pixels.sum():
                return False
        for defect in self.facts.defects:
            a0, b0, a1, b1 = defect.box
            if min(x1, a1) > max(x0, a0) and min(y1, b1) > max(y0, b0):
                return False
        self.canvas = after
        self.facts.defects.append(SceneDefect(kind, (x0, y0, x1, y1), explanation, object_indices))
        self.masks.append(mask)
        return True

    def sort_defects(self) -> None:
        """Sort defects and masks in reading order of their boxes."""
        found = self.facts.defects
        order = sorted(range(len(found)), key=lambda i: (found[i].box[1], found[i].box[0]))
        self.facts.defects, self.masks = [found[i] for i in order], [self.masks[i] for i in order]

    def draw_undamaged(self) -> Canvas:
        """Return the same drawing without any defect."""
        canvas = self.background.copy()
        for pose in self.poses:
            paint_pose(canvas, pose, pose.parts, self.style)
        return canvas
