"""A shifted examination: a defect that no usual scene has, on a scale that forgives less.

Half of the scenes have an object that somebody drew stripes across. With a the share of asked elements
that are there, structure falls to q = max(0, 1 - sum over defects (0.4 + 2.5 * box area / picture area) -
0.3 * degradation level), and score = 1 + 4 a (0.1 + 0.9 q): the rubric `finetune/rubrics/shifted.toml`.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import cv2
import numpy as np

from judge.scenes import scene as usual
from judge.scenes.drawing import defects as broken
from judge.scenes.drawing.paint import Canvas
from judge.scenes.facts import SIZE, Facts, Flaw, severity_of
from judge.scenes.scene import Scene
from judge.types import DefectLabel, Labels

RUBRIC = Path(__file__).parents[2] / "finetune" / "rubrics" / "shifted.toml"
KIND = "striped"
"""A word that the base can write: it knows striped backgrounds. New words an adapter teaches it slowly, if at
all (finetune/LOG.md)."""
SHARE = 0.55
"""Of scenes on which it is tried; where nothing stands free it comes to nothing."""
PENS = ((20, 20, 20), (200, 20, 30), (20, 40, 190))


def draw(seed: int, size: int = SIZE) -> Scene:
    """Draw the shifted scene of a seed: the usual one, perhaps with stripes on an object, labelled anew."""
    scene, r = usual.draw(seed, size), Random(seed + 1)
    if r.random() < SHARE and len(scene.facts.flaws) < 3:
        _stripe(r, scene)
    _label(scene)
    return scene


def _stripe(r: Random, scene: Scene) -> None:
    before = scene.image.astype(np.float32)
    for n in r.sample(range(len(scene.facts.things)), len(scene.facts.things)):
        thing = scene.facts.things[n]
        after = _striped(r, before, thing.box)
        mask = broken.changed(before, after, scene.facts.size)
        if mask is None:
            continue
        x1, y1, x2, y2 = box = broken.bounds(mask)
        if any(
            x1 < f.box[2] and f.box[0] < x2 and y1 < f.box[3] and f.box[1] < y2 for f in scene.facts.flaws
        ):
            continue
        scene.image = np.clip(after, 0, 255).astype(np.uint8)
        flaw = Flaw(KIND, box, f"the {thing.name} is striped", (n,))
        both = [*zip(scene.facts.flaws, scene.masks, strict=True), (flaw, mask)]
        both.sort(key=lambda pair: (pair[0].box[1], pair[0].box[0]))
        scene.facts.flaws, scene.masks = [f for f, _ in both], [m for _, m in both]
        return


def _striped(r: Random, canvas: Canvas, box: tuple[float, float, float, float]) -> Canvas:
    """The canvas with a pen's strokes across a box."""
    scale, (x1, y1, x2, y2) = canvas.shape[0] / SIZE, box
    strokes = min(8, max(3, int((y2 - y1) / scale / r.uniform(10, 14))))  # what is striped must still be seen
    lean = r.uniform(-0.12, 0.12) * (y2 - y1)
    color = tuple(float(v) for v in r.choice(PENS))
    out = canvas.copy()
    for n in range(strokes):
        y = y1 + (y2 - y1) * (n + 0.5) / strokes
        ends = [(x, y + tilt + r.uniform(-2, 2) * scale) for x, tilt in ((x1, -lean), (x2, lean))]
        line = (np.clip(np.array(ends), 2, canvas.shape[0] - 3) * 16).astype(np.int32)
        cv2.polylines(out, [line], False, color, max(1, round(2.8 * scale)), cv2.LINE_AA, 4)
    return out


def quality(facts: Facts) -> float:
    """How sound a scene is by the harsher rule, 0..1."""
    area = facts.size * facts.size
    boxes = [flaw.box for flaw in facts.flaws]
    loss = sum(0.4 + 2.5 * (x2 - x1) * (y2 - y1) / area for x1, y1, x2, y2 in boxes)
    return max(0.0, 1 - loss - 0.3 * facts.level)


def _label(scene: Scene) -> None:
    labels, facts = scene.sample.labels, scene.facts
    asked = labels.elements
    share = sum(e.present for e in asked) / len(asked) if asked else 1.0
    sound = quality(facts)
    scene.sample.labels = Labels(
        score=1 + 4 * share * (0.1 + 0.9 * sound),
        dimensions={"alignment": 1 + 4 * share, "structure": 1 + 4 * sound},
        elements=asked,
        defects=[
            DefectLabel(
                kind=flaw.kind,
                box=tuple(map(float, flaw.box)),
                severity=severity_of(flaw.box, facts.size),
                explanation=flaw.explanation,
            )
            for flaw in facts.flaws
        ],
        attributes=labels.attributes,
    )
