"""Parts of large scenes as closer looks cut them out: some with one small defect, whole and inside, others
sound. What an edge cuts off is neither missing nor broken; a model that has only seen whole scenes takes it
for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.media.regions import clip, common, scale, shifted
from judge.rubrics.templates import PART_PROMPT
from judge.scenes.facts import SIZE, loss_of, severity_of
from judge.scenes.large import Large, draw_large
from judge.types import Box, DefectLabel, LabelledSample, Labels

FROM = (1344, 1008)
"""Width and height in pixels of the scenes that parts are cut out of."""
FLAWS = (30, 72)
"""Sides of defects in pixels."""
CLOSEST, WIDEST = 150, 460
"""Sides of parts in pixels; all are shown at `SIZE`."""
EACH = 2
"""Parts with the defect, and as many without, of each scene."""
MARGIN = 3
"""Pixels around the defect that its parts show at least."""
FLAT = 10.0
"""Least standard deviation of the pixels of a part that shows something."""
TRIES = 60


@dataclass
class Tile:
    """`image` (SIZE, SIZE, 3) uint8, and what is true of it."""

    image: NDArray[np.uint8]
    sample: LabelledSample


def draw_tiles(seed: int) -> list[Tile]:
    """Parts of the large scene of a seed: `EACH` that show its one defect, and as many that do not."""
    r = Random(f"{seed} parts")
    large = draw_large(seed, FROM, r.randint(*FLAWS))
    assert large.flaw is not None
    broken = [_around(r, large.flaw.box) for _ in range(EACH)]
    sound = [found for _ in range(EACH) if (found := _elsewhere(r, large))]
    return [
        *(_tile(large, part, large.flaw) for part in broken),
        *(_tile(large, part, None) for part in sound),
    ]


def _around(r: Random, box: Box) -> Box:
    """A square that holds a box, anywhere in it."""
    side = r.randint(CLOSEST, WIDEST)
    x, y = (
        r.uniform(max(0, box[n + 2] + MARGIN - side), min(FROM[n] - side, box[n] - MARGIN)) for n in (0, 1)
    )
    return _whole(x, y, side)


def _elsewhere(r: Random, large: Large) -> Box | None:
    """A square that shows something and nothing of the defect; None where none was found."""
    assert large.flaw is not None
    for _ in range(TRIES):
        side = r.randint(CLOSEST, WIDEST)
        part = _whole(r.uniform(0, FROM[0] - side), r.uniform(0, FROM[1] - side), side)
        x1, y1, x2, y2 = map(int, part)
        if not common(part, large.flaw.box) and large.image[y1:y2, x1:x2].std() > FLAT:
            return part
    return None


def _whole(x: float, y: float, side: int) -> Box:
    left = min(max(round(x), 0), FROM[0] - side)
    top = min(max(round(y), 0), FROM[1] - side)
    return float(left), float(top), float(left + side), float(top + side)


def _tile(large: Large, part: Box, flaw: DefectLabel | None) -> Tile:
    x1, y1, x2, y2 = map(int, part)
    cut = Image.fromarray(large.image[y1:y2, x1:x2])
    image = np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    labels = Labels(attributes={"degradation": "none"}, dimensions={"structure": 5.0})
    if flaw is not None:
        box = scale(shifted(flaw.box, -x1, -y1), SIZE / (x2 - x1), SIZE / (y2 - y1))
        box = clip(box, SIZE, SIZE)  # floating point leaves 224.00000000000003 now and then
        labels.defects = [flaw.model_copy(update={"box": box, "severity": severity_of(box, SIZE)})]
        labels.dimensions = {"structure": 1 + 4 * max(0.0, 1 - loss_of(box, SIZE))}
    return Tile(image, LabelledSample(prompt=PART_PROMPT, elements=[], labels=labels))
