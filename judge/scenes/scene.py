"""Drawing one scene: what is in it, how it stands, and how it is broken."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing import defects as broken
from judge.scenes.drawing.degrade import degrade
from judge.scenes.drawing.figures import BUILDERS, Part
from judge.scenes.drawing.paint import RGB, Canvas, Style, background, paint_part, pick_style
from judge.scenes.facts import SIZE, Facts, Flaw, Thing
from judge.scenes.statements import ask, sample_of
from judge.scenes.vocabulary import BACKGROUNDS, COLORS, COUNTS, DEFECTS, DEGRADATIONS, FIGURES, KINDS, SHAPES
from judge.types import LabelledSample

MOST_HIDDEN = (0.85, 0.55)
"""Largest share of an object that one defect may cover, and that it may erase."""


@dataclass
class Scene:
    """A drawn scene: `image` (size, size, 3) uint8, its labelled sample, a mask (size, size) per defect."""

    image: NDArray[np.uint8]
    sample: LabelledSample
    masks: list[broken.Mask]
    facts: Facts
    things: NDArray[np.uint8]
    """(size, size): index + 1 of the object at each pixel, 0 for background."""


def _places(r: Random, n: int, size: int) -> list[tuple[float, float, float]]:
    low, high = {1: (30, 72), 2: (25, 56), 3: (21, 44)}.get(n, (17, 33))
    scale, out = size / SIZE, list[tuple[float, float, float]]()
    for _ in range(400):
        if len(out) == n:
            break
        s = r.uniform(low, high) * scale
        x, y = r.uniform(s + 2, size - s - 2), r.uniform(s + 2, size - s - 2)
        if all(math.hypot(x - a, y - b) > s + c + 3 * scale for a, b, c in out):
            out.append((x, y, s))
    return out


def colors_at(canvas: Canvas, x: float, y: float, reach: float) -> list[str]:
    """Colours that stand out from the background about one place."""
    patch = canvas[int(max(0, y - reach)) : int(y + reach) + 1, int(max(0, x - reach)) : int(x + reach) + 1]
    ground = patch.reshape(-1, 3).mean(0)
    return [c for c, v in COLORS.items() if math.dist(v, ground) > (95 if c != "white" else 75)] or ["black"]


def _choose_things(r: Random, canvas: Canvas) -> list[Thing]:
    kinds = SHAPES if r.random() < 0.4 else FIGURES if r.random() < 0.5 else KINDS
    things: list[Thing] = []
    again = r.choice([0.15, 0.3, 0.7])
    for x, y, s in _places(r, r.choice([1, 2, 2, 3, 3, 4, 4, 5]), canvas.shape[0]):
        usable = colors_at(canvas, x, y, s)
        color, kind = r.choice(usable), r.choice(kinds)
        twin = r.choice(things) if things and r.random() < again else None
        if twin and twin.color in usable and sum(t.key == twin.key for t in things) < max(COUNTS):
            color, kind = twin.key
        elif things and r.random() < 0.2:  # same kind in another colour, or the other way round
            other = things[0]
            color, kind = (
                (color, other.kind) if r.random() < 0.5 or other.color not in usable else (other.color, kind)
            )
        things.append(Thing(color, kind, x, y, s))
    # a twin by chance may make a group larger than the words for counts
    return [t for n, t in enumerate(things) if sum(u.key == t.key for u in things[:n]) < max(COUNTS)]


@dataclass
class Pose:
    """How one object stands: parts in unit coordinates and the map to pixels."""

    parts: list[Part]
    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]
    color: RGB

    def contours(self, part: Part) -> list[NDArray[np.float32]]:
        return [(c @ self.matrix.T + self.offset).astype(np.float32) for c in part.contours]


def pose_of(r: Random, thing: Thing) -> Pose:
    """A figure of the thing's kind, colour and place, in proportions of its own."""
    parts = BUILDERS[thing.kind](r)
    lean = 0.08 if thing.kind == "diamond" else 0.35 if thing.kind in SHAPES else 0.18
    turn, flip = r.uniform(-lean, lean), -1.0 if r.random() < 0.5 and thing.kind not in SHAPES else 1.0
    squeeze = r.uniform(0.9, 1.1)
    spin = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], np.float32)
    grow = thing.radius * 0.95
    matrix = spin @ np.diag(np.array([flip * grow * squeeze, grow / squeeze], np.float32))
    base = COLORS[thing.color]
    color = tuple(float(min(255, max(0, v + r.randint(-16, 16)))) for v in base)
    seed = r.getrandbits(31)
    return Pose(
        [replace(part, seed=seed + n) for n, part in enumerate(parts)],
        matrix.astype(np.float32),
        np.array([thing.x, thing.y], np.float32),
        (color[0], color[1], color[2]),
    )


def paint(canvas: Canvas, pose: Pose, parts: list[Part], style: Style) -> None:
    """Paint parts of a posed figure into a canvas, in place."""
    for part in parts:
        paint_part(canvas, part, pose.contours(part), pose.color, style)


class _Drawing:
    """A scene while it is being drawn: the intact truth grows beside the broken picture."""

    def __init__(self, r: Random, size: int) -> None:
        self.r, self.size = r, size
        kind = r.choice(BACKGROUNDS)
        self.canvas = background(r, kind, size)
        self.bare = self.canvas.copy()
        self.style = pick_style(r)
        self.facts = Facts(size, kind, self.style.name, _choose_things(r, self.canvas))
        self.poses = [pose_of(r, t) for t in self.facts.things]
        self.map = np.zeros((size, size), np.uint8)
        self.masks: list[broken.Mask] = []

    def _keep(self, before: Canvas, after: Canvas, kind: str, explanation: str, *things: int) -> bool:
        mask = broken.changed(before, after, self.size)
        if mask is None:
            return False
        x0, y0, x1, y1 = broken.bounds(mask)
        for n in range(len(self.facts.things)):  # what is asked for must still be there to be seen
            if (mask & (self.map == n + 1)).sum() > MOST_HIDDEN[kind == "erased"] * (self.map == n + 1).sum():
                return False
        for f in self.facts.flaws:  # one region, one defect
            if min(x1, f.box[2]) > max(x0, f.box[0]) and min(y1, f.box[3]) > max(y0, f.box[1]):
                return False
        self.canvas = after
        self.facts.flaws.append(Flaw(kind, (x0, y0, x1, y1), explanation, things))
        self.masks.append(mask)
        return True

    def place(self, plan: dict[int, str]) -> None:
        """Paint every object; `plan` says which one loses, gains or shifts a part."""
        for n, (thing, pose) in enumerate(zip(self.facts.things, self.poses, strict=True)):
            before = self.canvas.copy()
            paint(self.canvas, pose, pose.parts, self.style)
            shown = broken.difference(before, self.canvas) > 2
            self.map[shown] = n + 1
            x0, y0, x1, y1 = broken.bounds(shown)
            thing.box = (x0, y0, x1, y1)
            if n not in plan:
                continue
            for _ in range(4):
                result = broken.break_parts(self.r, plan[n], pose.parts)
                if result is None:
                    break
                parts, part = result
                after = before.copy()
                paint(after, pose, parts, self.style)
                if self._keep(self.canvas, after, plan[n], sentence(plan[n], thing.name, part), n):
                    break

    def whole(self) -> Canvas:
        """The same drawing with nothing broken."""
        canvas = self.bare.copy()
        for pose in self.poses:
            paint(canvas, pose, pose.parts, self.style)
        return canvas

    def damage(self, kind: str) -> bool:
        """Break the finished canvas at one place; False when nothing visible came of it."""
        r, n = self.r, self.r.randrange(len(self.facts.things))
        thing = self.facts.things[n]
        if kind == "fused":
            others = [m for m in range(len(self.poses)) if m != n]
            if not others:
                return False
            m = min(
                others,
                key=lambda j: math.hypot(self.facts.things[j].x - thing.x, self.facts.things[j].y - thing.y),
            )
            other = self.facts.things[m]
            colors = (np.array(self.poses[n].color, np.float32), np.array(self.poses[m].color, np.float32))
            after = broken.fuse(
                r, self.canvas, (thing.x, thing.y, thing.radius), (other.x, other.y, other.radius), colors
            )
            said = f"the {thing.name} and the {other.name} are fused"
            return self._keep(self.canvas, after, kind, said, n, m)
        after = broken.break_pixels(r, kind, self.canvas, self.bare, (thing.x, thing.y), thing.radius)
        return self._keep(self.canvas, after, kind, sentence(kind, thing.name, ""), n)


def sentence(kind: str, name: str, part: str) -> str:
    """What is said of a damaged thing; `part` is the one concerned where the kind of damage is of parts."""
    return {
        "missing part": f"the {part} of the {name} is missing",
        "extra part": f"the {name} has an extra {part}",
        "displaced part": f"the {part} of the {name} is out of place",
        "smeared": f"the {name} is smeared",
        "warped": f"the {name} is warped",
        "cut": f"the {name} is cut and shifted",
        "erased": f"the {name} is partly erased",
        "noise": f"there is noise on the {name}",
        "tint": f"there is a tint on the {name}",
    }[kind]


_OF_PARTS = DEFECTS[:3]


USUAL = (0.45, 0.28, 0.18, 0.09)
"""Shares of scenes that are meant to have no, one, two and three defects."""


def draw(seed: int, size: int = SIZE, flaws: tuple[float, ...] = USUAL) -> Scene:
    """Draw the scene of a seed. The same seed and size give the same pixels and labels.

    Args:
        seed: any non-negative integer.
        size: side of the square picture in pixels, at least 64.
        flaws: how often no, one, two and three defects are tried; other shares give other scenes.

    Returns:
        The picture with its labels. `sample.image` is None: `write` sets it to a path.
    """
    r = Random(seed)
    d = _drawn(r, size, flaws)
    elements = ask(r, d.facts, r.choice([2, 3, 3, 4, 5]))
    return Scene(_degraded(d, d.canvas, seed), sample_of(r, d.facts, elements), d.masks, d.facts, d.map)


def undamaged(seed: int, size: int = SIZE, flaws: tuple[float, ...] = USUAL) -> NDArray[np.uint8]:
    """The picture (size, size, 3) of `draw` with the same arguments, had nothing in it been broken.

    What degrades the picture as a whole stays, so outside of the masks only a degradation that spreads
    (blur, jpeg) makes a difference.
    """
    d = _drawn(Random(seed), size, flaws)
    return _degraded(d, d.whole(), seed)


def _drawn(r: Random, size: int, flaws: tuple[float, ...]) -> _Drawing:
    """A finished drawing: objects, defects in reading order, and how the whole is degraded."""
    d = _Drawing(r, size)
    wanted = r.choices([0, 1, 2, 3], flaws)[0]
    kinds = [r.choice(DEFECTS) for _ in range(wanted)]
    figures = [n for n, t in enumerate(d.facts.things) if t.kind in FIGURES]
    r.shuffle(figures)
    plan = dict(zip(figures, [k for k in kinds if k in _OF_PARTS], strict=False))
    d.place(plan)
    for _ in range(10):
        if len(d.facts.flaws) >= wanted:
            break
        later = [k for k in kinds if k not in _OF_PARTS] or DEFECTS[3:]
        d.damage(r.choice(later))
    order = sorted(range(len(d.masks)), key=lambda i: (d.facts.flaws[i].box[1], d.facts.flaws[i].box[0]))
    d.facts.flaws, d.masks = [d.facts.flaws[i] for i in order], [d.masks[i] for i in order]
    if r.random() < 0.3:
        d.facts.degradation, d.facts.level = r.choice(DEGRADATIONS[1:]), r.randint(1, 3)
    return d


def _degraded(d: _Drawing, canvas: Canvas, seed: int) -> NDArray[np.uint8]:
    return degrade(np.clip(canvas, 0, 255).astype(np.uint8), d.facts.degradation, d.facts.level, seed)
