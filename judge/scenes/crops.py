"""Crops of large scenes, as zoom-ins cut them out.

Some show one small defect, whole; the others show none. An object that an edge cuts off is neither missing
nor damaged, but a model that has only seen whole scenes takes it for both. Training on crops corrects this.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.media.regions import clip_box, intersection, scale_box, shift_box
from judge.rubrics.templates import CROP_PROMPT
from judge.scenes.large_scenes import LargeScene, draw_large_scene
from judge.scenes.scene_facts import SCENE_SIZE, defect_loss, defect_severity
from judge.types import Box, DefectLabel, LabelledSample, Labels

LARGE_SIZE = (1344, 1008)
"""Width and height in pixels of the large scenes."""
DEFECT_SIDES = (30, 72)
"""Smallest and largest side of a damaged window in pixels."""
MIN_CROP_SIDE, MAX_CROP_SIDE = 150, 460
"""Smallest and largest side of a crop in pixels. Every crop is resized to `SCENE_SIZE`."""
CROPS_PER_KIND = 2
"""Crops with the defect, and as many without it, of each large scene."""
MARGIN = 3
"""Smallest distance between the defect and the edge of a crop that shows it, in pixels."""
MIN_DEVIATION = 10.0
"""Smallest standard deviation of the pixels of a crop without the defect; a crop below it shows nothing."""
MAX_TRIES = 60


@dataclass
class SceneCrop:
    """A crop with its labels."""

    image: NDArray[np.uint8]
    """(SCENE_SIZE, SCENE_SIZE, 3), RGB."""
    sample: LabelledSample


def draw_crops(seed: int) -> list[SceneCrop]:
    """Draw the large scene of a seed and crop it.

    Returns:
        `CROPS_PER_KIND` crops that show the defect of the scene, then up to as many that do not.
    """
    r = Random(f"{seed} parts")
    large = draw_large_scene(seed, LARGE_SIZE, r.randint(*DEFECT_SIDES))
    defect = large.defect
    assert defect is not None
    with_defect = [_box_around(r, defect.box) for _ in range(CROPS_PER_KIND)]
    without_defect = [
        box for _ in range(CROPS_PER_KIND) if (box := _box_elsewhere(r, large.image, defect.box))
    ]
    return [
        *(_crop(large, box, defect) for box in with_defect),
        *(_crop(large, box, None) for box in without_defect),
    ]


def _box_around(r: Random, box: Box) -> Box:
    """Return a random square that contains a box."""
    side = r.randint(MIN_CROP_SIDE, MAX_CROP_SIDE)
    x, y = (
        r.uniform(max(0, box[n + 2] + MARGIN - side), min(LARGE_SIZE[n] - side, box[n] - MARGIN))
        for n in (0, 1)
    )
    return _square(x, y, side)


def _box_elsewhere(r: Random, image: NDArray[np.uint8], defect_box: Box) -> Box | None:
    """Return a random square that shows something, but nothing of the defect; None if none was found."""
    for _ in range(MAX_TRIES):
        side = r.randint(MIN_CROP_SIDE, MAX_CROP_SIDE)
        box = _square(r.uniform(0, LARGE_SIZE[0] - side), r.uniform(0, LARGE_SIZE[1] - side), side)
        x1, y1, x2, y2 = map(int, box)
        if not intersection(box, defect_box) and image[y1:y2, x1:x2].std() > MIN_DEVIATION:
            return box
    return None


def _square(x: float, y: float, side: int) -> Box:
    """Return the square at (x, y) in whole pixels, inside the large scene."""
    left = min(max(round(x), 0), LARGE_SIZE[0] - side)
    top = min(max(round(y), 0), LARGE_SIZE[1] - side)
    return float(left), float(top), float(left + side), float(top + side)


def _crop(large: LargeScene, box: Box, defect: DefectLabel | None) -> SceneCrop:
    x1, y1, x2, y2 = map(int, box)
    part = Image.fromarray(large.image[y1:y2, x1:x2])
    image = np.asarray(part.resize((SCENE_SIZE, SCENE_SIZE), Image.Resampling.BICUBIC))
    labels = Labels(attributes={"degradation": "none"}, dimensions={"structure": 5.0})
    if defect is not None:
        shifted = shift_box(defect.box, -x1, -y1)
        defect_box = scale_box(shifted, SCENE_SIZE / (x2 - x1), SCENE_SIZE / (y2 - y1))
        # Rounding sometimes gives 224.00000000000003.
        defect_box = clip_box(defect_box, SCENE_SIZE, SCENE_SIZE)
        severity = defect_severity(defect_box, SCENE_SIZE)
        labels.defects = [defect.model_copy(update={"box": defect_box, "severity": severity})]
        labels.dimensions = {"structure": 1 + 4 * max(0.0, 1 - defect_loss(defect_box, SCENE_SIZE))}
    return SceneCrop(image, LabelledSample(prompt=CROP_PROMPT, elements=[], labels=labels))
