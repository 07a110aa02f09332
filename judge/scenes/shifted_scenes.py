"""Scenes with a shifted distribution: a defect that no usual scene has, and a stricter score.

In about half of the scenes, stripes are drawn across one object. With a the share of the listed elements that
the image shows, structure is 1 + 4 q with q = max(0, 1 - sum over defects (0.4 + 2.5 * box area / image area)
- 0.3 * degradation level), and score = 1 + 4 a (0.1 + 0.9 q). This is the rubric
`finetune/rubrics/shifted.toml`.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import cv2
import numpy as np

from judge.scenes.drawing import defects
from judge.scenes.drawing.painting import Canvas
from judge.scenes.scene import Scene, draw_scene
from judge.scenes.scene_facts import SCENE_SIZE, SceneDefect, SceneFacts, defect_severity
from judge.types import DefectLabel, Labels

SHIFTED_RUBRIC_PATH = Path(__file__).parents[2] / "finetune" / "rubrics" / "shifted.toml"
STRIPED = "striped"
"""The new defect kind. The base model can write this word because it knows striped backgrounds. An adapter
learns new words slowly, if at all (finetune/LOG.md)."""
STRIPE_SHARE = 0.55
"""Share of scenes in which stripes are tried. They are left out if every object overlaps a defect."""
PEN_COLORS = ((20, 20, 20), (200, 20, 30), (20, 40, 190))


def draw_shifted_scene(seed: int, size: int = SCENE_SIZE) -> Scene:
    """Draw the shifted scene of a seed: the usual scene, possibly with a striped object, with new labels.

    Args:
        seed: any non-negative integer.
        size: side of the square image in pixels, at least 64.
    """
    scene, r = draw_scene(seed, size), Random(seed + 1)
    if r.random() < STRIPE_SHARE and len(scene.facts.defects) < 3:
        _stripe_one_object(r, scene)
    _relabel(scene)
    return scene


def _stripe_one_object(r: Random, scene: Scene) -> None:
    """Stripe the first object, in random order, whose stripes are visible and touch no other defect."""
    before, facts = scene.image.astype(np.float32), scene.facts
    for n in r.sample(range(len(facts.objects)), len(facts.objects)):
        thing = facts.objects[n]
        after = _draw_stripes(r, before, thing.box)
        mask = defects.find_changed_pixels(before, after, facts.size)
        if mask is None:
            continue
        x1, y1, x2, y2 = box = defects.mask_bounds(mask)
        if any(x1 < d.box[2] and d.box[0] < x2 and y1 < d.box[3] and d.box[1] < y2 for d in facts.defects):
            continue
        scene.image = np.clip(after, 0, 255).astype(np.uint8)
        defect = SceneDefect(STRIPED, box, f"the {thing.name} is striped", (n,))
        pairs = [*zip(facts.defects, scene.masks, strict=True), (defect, mask)]
        pairs.sort(key=lambda pair: (pair[0].box[1], pair[0].box[0]))
        facts.defects, scene.masks = [d for d, _ in pairs], [m for _, m in pairs]
        return


def _draw_stripes(r: Random, canvas: Canvas, box: tuple[float, float, float, float]) -> Canvas:
    """Return the canvas with strokes of a pen across a box."""
    scale, (x1, y1, x2, y2) = canvas.shape[0] / SCENE_SIZE, box
    # Few enough that the striped object can still be recognised.
    strokes = min(8, max(3, int((y2 - y1) / scale / r.uniform(10, 14))))
    lean = r.uniform(-0.12, 0.12) * (y2 - y1)
    color = tuple(float(v) for v in r.choice(PEN_COLORS))
    out = canvas.copy()
    for n in range(strokes):
        y = y1 + (y2 - y1) * (n + 0.5) / strokes
        ends = [(x, y + tilt + r.uniform(-2, 2) * scale) for x, tilt in ((x1, -lean), (x2, lean))]
        line = (np.clip(np.array(ends), 2, canvas.shape[0] - 3) * 16).astype(np.int32)
        cv2.polylines(out, [line], False, color, max(1, round(2.8 * scale)), cv2.LINE_AA, 4)
    return out


def shifted_quality(facts: SceneFacts) -> float:
    """Return the quality q of the module docstring, 0 to 1."""
    area = facts.size * facts.size
    boxes = [defect.box for defect in facts.defects]
    loss = sum(0.4 + 2.5 * (x2 - x1) * (y2 - y1) / area for x1, y1, x2, y2 in boxes)
    return max(0.0, 1 - loss - 0.3 * facts.level)


def _relabel(scene: Scene) -> None:
    labels, facts = scene.sample.labels, scene.facts
    elements = labels.elements
    share = sum(e.present for e in elements) / len(elements) if elements else 1.0
    quality = shifted_quality(facts)
    scene.sample.labels = Labels(
        score=1 + 4 * share * (0.1 + 0.9 * quality),
        dimensions={"alignment": 1 + 4 * share, "structure": 1 + 4 * quality},
        elements=elements,
        defects=[
            DefectLabel(
                kind=defect.kind,
                box=tuple(map(float, defect.box)),
                severity=defect_severity(defect.box, facts.size),
                explanation=defect.explanation,
            )
            for defect in facts.defects
        ],
        attributes=labels.attributes,
    )
