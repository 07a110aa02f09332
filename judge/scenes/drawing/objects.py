"""The objects of a scene: which ones, where they are, and how each one is posed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing.figures import FIGURE_BUILDERS
from judge.scenes.drawing.painting import RGB, Canvas, Style, paint_part
from judge.scenes.drawing.polygons import Part
from judge.scenes.scene_facts import SCENE_SIZE, SceneObject
from judge.scenes.vocabulary import COLORS, COUNTS, EXACT_COLORS, FIGURES, OBJECT_KINDS, SHAPES


def choose_objects(r: Random, canvas: Canvas) -> list[SceneObject]:
    """Choose one to five objects that do not touch and that stand out from the background.

    Args:
        r: source of random numbers.
        canvas: the background (size, size, 3); it is not changed.
    """
    kinds = SHAPES if r.random() < 0.4 else FIGURES if r.random() < 0.5 else OBJECT_KINDS
    objects: list[SceneObject] = []
    repeat = r.choice([0.15, 0.3, 0.7])
    for x, y, radius in _place_circles(r, r.choice([1, 2, 2, 3, 3, 4, 4, 5]), canvas.shape[0]):
        usable = contrasting_colors(canvas, x, y, radius)
        color, kind = r.choice(usable), r.choice(kinds)
        twin = r.choice(objects) if objects and r.random() < repeat else None
        if (
            twin
            and twin.color in usable
            and sum(t.color_and_kind == twin.color_and_kind for t in objects) < max(COUNTS)
        ):
            color, kind = twin.color_and_kind
        elif objects and r.random() < 0.2:  # the same kind in another colour, or the other way round
            other = objects[0]
            color, kind = (
                (color, other.kind) if r.random() < 0.5 or other.color not in usable else (other.color, kind)
            )
        objects.append(SceneObject(color, kind, x, y, radius))
    # A twin by chance may make a group larger than the words for counts.
    return [
        thing
        for n, thing in enumerate(objects)
        if sum(other.color_and_kind == thing.color_and_kind for other in objects[:n]) < max(COUNTS)
    ]


def _place_circles(r: Random, count: int, size: int) -> list[tuple[float, float, float]]:
    """Place up to `count` circles (x, y, radius), in pixels, that neither touch nor leave the image."""
    low, high = {1: (30, 72), 2: (25, 56), 3: (21, 44)}.get(count, (17, 33))
    scale, circles = size / SCENE_SIZE, list[tuple[float, float, float]]()
    for _ in range(400):
        if len(circles) == count:
            break
        radius = r.uniform(low, high) * scale
        x, y = r.uniform(radius + 2, size - radius - 2), r.uniform(radius + 2, size - radius - 2)
        if all(math.hypot(x - a, y - b) > radius + c + 3 * scale for a, b, c in circles):
            circles.append((x, y, radius))
    return circles


def contrasting_colors(canvas: Canvas, x: float, y: float, radius: float) -> list[str]:
    """Return the colours that stand out from the background around a point.

    Args:
        canvas: (H, W, 3), 0 to 255.
        x: column of the point.
        y: row of the point.
        radius: pixels around the point that are averaged.

    Returns:
        Keys of `vocabulary.COLORS`; ["black"] when none stands out.
    """
    patch = canvas[
        int(max(0, y - radius)) : int(y + radius) + 1, int(max(0, x - radius)) : int(x + radius) + 1
    ]
    ground = patch.reshape(-1, 3).mean(0)
    return [c for c, v in COLORS.items() if math.dist(v, ground) > (95 if c != "white" else 75)] or ["black"]


@dataclass
class Pose:
    """How one object stands: its parts in unit coordinates, and the map from them to pixels."""

    parts: list[Part]
    matrix: NDArray[np.float32]
    """(2, 2): scale, rotation and mirroring."""
    offset: NDArray[np.float32]
    """(2,): centre in pixels."""
    color: RGB

    def contours(self, part: Part) -> list[NDArray[np.float32]]:
        """Return the contours of a part in pixels, each (n, 2)."""
        return [(c @ self.matrix.T + self.offset).astype(np.float32) for c in part.contours]


def create_pose(r: Random, thing: SceneObject, *, exact: bool = False) -> Pose:
    """Create a figure for an object, with random proportions, rotation and shade of its colour.

    Args:
        r: source of random numbers.
        thing: the object.
        exact: one of `EXACT_COLORS` instead of a random shade.
    """
    parts = FIGURE_BUILDERS[thing.kind](r)
    lean = 0.08 if thing.kind == "diamond" else 0.35 if thing.kind in SHAPES else 0.18
    turn, flip = r.uniform(-lean, lean), -1.0 if r.random() < 0.5 and thing.kind not in SHAPES else 1.0
    squeeze = r.uniform(0.9, 1.1)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], np.float32)
    scale = thing.radius * 0.95
    matrix = rotation @ np.diag(np.array([flip * scale * squeeze, scale / squeeze], np.float32))
    if exact:
        color = tuple(map(float, r.choice((COLORS[thing.color], *EXACT_COLORS[thing.color]))))
    else:
        color = tuple(float(min(255, max(0, v + r.randint(-16, 16)))) for v in COLORS[thing.color])
    seed = r.getrandbits(31)
    return Pose(
        [replace(part, seed=seed + n) for n, part in enumerate(parts)],
        matrix.astype(np.float32),
        np.array([thing.x, thing.y], np.float32),
        (color[0], color[1], color[2]),
    )


def paint_pose(canvas: Canvas, pose: Pose, parts: list[Part], style: Style) -> None:
    """Paint parts of a posed figure onto a canvas, in place."""
    for part in parts:
        paint_part(canvas, part, pose.contours(part), pose.color, style)
