"""The repair test: a score must rise when what is called broken is mended, and not when something else is.

The surest reported region of each broken scene is replaced by the same region of the undamaged picture,
widened by `EDGE` as repair passes do (`judge.reward.spatial`), since a seam through what is broken is damage
of its own; and, apart from that, a region of the same size elsewhere. Scenes are left out whose score could
not rise by the rule of their own truth: where nothing of the prompt is there, a picture scores 1 whatever its
state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from eval.trust.material import Part, Pixels, Scene, Tick, mean, repainted, scores
from judge.media.regions import clip, common
from judge.types import Box, Sample, Verdict

RISE = 1e-3
"""Points of the score: what counts as a rise at all, the bound of what must not matter."""
TRIES = 200
EDGE = 0.1
"""Share of its sides by which a region is widened, half on either side."""


@dataclass(frozen=True)
class Case:
    before: float
    mended: Sample
    elsewhere: Sample | None
    """None where the reported region leaves no room for another."""


def measure(
    judge: Any,
    scenes: Sequence[Scene],
    verdicts: Sequence[Verdict],
    seed: int,
    batch: int,
    tick: Tick,
) -> Part:
    random = Random(seed)
    pairs = zip(scenes, verdicts, strict=True)
    cases = [case for scene, verdict in pairs if (case := _case(scene, verdict, random))]
    mended = scores(judge, [case.mended for case in cases], batch, tick)
    other = [case for case in cases if case.elsewhere]
    elsewhere = scores(judge, [case.elsewhere for case in other if case.elsewhere], batch, tick)
    note = f"of {len(cases)} pictures with a reported region"
    return Part(
        {"repair_raises": _raised(cases, mended), "random_repair_raises": _raised(other, elsewhere)},
        {"repair_raises": note, "random_repair_raises": "a region of the same size, elsewhere"},
    )


def _case(scene: Scene, verdict: Verdict, random: Random) -> Case | None:
    reported = [defect for defect in verdict.defects if defect.family == "artifact"]
    could_rise = any(label.present for label in scene.truth.labels.elements)
    if not scene.truth.labels.defects or not reported or not could_rise or verdict.score is None:
        return None
    height, width = scene.whole.shape[:2]
    box = _whole_pixels(_widened(max(reported, key=lambda defect: defect.confidence).box), width, height)
    away = _elsewhere(box, width, height, random)
    image = scene.sample.image
    return Case(
        verdict.score,
        repainted(scene.sample, replaced(image, scene.whole, box)),
        repainted(scene.sample, replaced(image, scene.whole, away)) if away else None,
    )


def replaced(image: Pixels, by: Pixels, box: Box) -> Pixels:
    """A copy of the picture with one box of whole pixels taken from another picture of its size."""
    x1, y1, x2, y2 = map(int, box)
    out = image.copy()
    out[y1:y2, x1:x2] = by[y1:y2, x1:x2]
    return out


def _widened(box: Box) -> Box:
    across, down = ((box[n + 2] - box[n]) * EDGE / 2 for n in (0, 1))
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down


def _whole_pixels(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = map(round, clip(box, width, height))
    return float(x1), float(y1), float(max(x2, x1 + 1)), float(max(y2, y1 + 1))


def _elsewhere(box: Box, width: int, height: int, random: Random) -> Box | None:
    """A box of the same size that does not touch this one."""
    across, down = int(box[2] - box[0]), int(box[3] - box[1])
    for _ in range(TRIES):
        x, y = random.randint(0, width - across), random.randint(0, height - down)
        found = (float(x), float(y), float(x + across), float(y + down))
        if not common(box, found):
            return found
    return None


def _raised(cases: Sequence[Case], after: Sequence[float | None]) -> float | None:
    pairs = zip(cases, after, strict=True)
    return mean([float(new is not None and new - case.before > RISE) for case, new in pairs])
