"""The repair test: repairing the reported region must raise the score, repairing another region must not.

In each damaged scene, the reported region with the highest confidence is replaced by the same region of the
undamaged image. The region is widened by `MARGIN` as in the repair passes of `judge.reward.spatial`,
because a seam through a damaged object is damage itself. Separately, a region of the same size elsewhere is
replaced.

Scenes whose true score cannot rise are left out: an image that shows no element of the prompt scores 1,
whatever its condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from eval.trust.scenes import Pixels, TrustScene, with_image
from eval.trust.scores import Measurement, Tick, mean, score_samples
from judge.media.regions import clip_box, intersection
from judge.types import Box, Sample, Verdict

MIN_RISE = 1e-3
"""Points of the score: a smaller change is no rise. It is the target of the changes that must not matter."""
MAX_TRIES = 200
"""Number of random positions that are tried for the other region."""
MARGIN = 0.1
"""Share of its sides by which a region is widened, half on each side."""


@dataclass(frozen=True)
class RepairCase:
    """A damaged scene with a reported region, and its two repairs."""

    score: float
    """The score before the repair."""
    repaired: Sample
    """The sample with the reported region repaired."""
    control: Sample | None
    """The sample with another region replaced; None if the image has no room for one."""


def measure_repair(
    judge: Any,
    scenes: Sequence[TrustScene],
    verdicts: Sequence[Verdict],
    seed: int,
    batch: int,
    tick: Tick,
) -> Measurement:
    """Measure how often the score rises after a repair.

    Args:
        judge: the judge.
        scenes: the scenes.
        verdicts: the judge's verdicts on the scenes.
        seed: seed of the positions of the other regions.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        `repair_raises` and `random_repair_raises`, shares of the cases whose score rises by more than
        `MIN_RISE`.
    """
    random = Random(seed)
    pairs = zip(scenes, verdicts, strict=True)
    cases = [case for scene, verdict in pairs if (case := _make_case(scene, verdict, random))]
    repaired = score_samples(judge, [case.repaired for case in cases], batch, tick)
    controlled = [case for case in cases if case.control]
    control = score_samples(judge, [case.control for case in controlled if case.control], batch, tick)
    return Measurement(
        {
            "repair_raises": _share_of_rises(cases, repaired),
            "random_repair_raises": _share_of_rises(controlled, control),
        },
        {
            "repair_raises": f"of {len(cases)} images with a reported region",
            "random_repair_raises": "a region of the same size elsewhere",
        },
    )


def _make_case(scene: TrustScene, verdict: Verdict, random: Random) -> RepairCase | None:
    """Return the repairs of a scene; None if it is not damaged, not reported or its score cannot rise."""
    reported = [defect for defect in verdict.defects if defect.family == "artifact"]
    can_rise = any(label.present for label in scene.truth.labels.elements)
    if not scene.truth.labels.defects or not reported or not can_rise or verdict.score is None:
        return None
    height, width = scene.undamaged.shape[:2]
    best = max(reported, key=lambda defect: defect.confidence)
    box = _round_to_pixels(_widen(best.box), width, height)
    other = _other_box(box, width, height, random)
    image = scene.sample.image
    return RepairCase(
        verdict.score,
        with_image(scene.sample, replace_region(image, scene.undamaged, box)),
        with_image(scene.sample, replace_region(image, scene.undamaged, other)) if other else None,
    )


def replace_region(image: Pixels, source: Pixels, box: Box) -> Pixels:
    """Return a copy of the image with one region taken from another image of the same size.

    Args:
        image: array of shape (height, width, 3).
        source: the other image.
        box: the region; its corners are whole pixels.
    """
    x1, y1, x2, y2 = map(int, box)
    copy = image.copy()
    copy[y1:y2, x1:x2] = source[y1:y2, x1:x2]
    return copy


def _widen(box: Box) -> Box:
    dx, dy = ((box[n + 2] - box[n]) * MARGIN / 2 for n in (0, 1))
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


def _round_to_pixels(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = map(round, clip_box(box, width, height))
    return float(x1), float(y1), float(max(x2, x1 + 1)), float(max(y2, y1 + 1))


def _other_box(box: Box, width: int, height: int, random: Random) -> Box | None:
    """Return a random box of the same size that does not overlap this one; None if none is found."""
    box_width, box_height = int(box[2] - box[0]), int(box[3] - box[1])
    for _ in range(MAX_TRIES):
        x, y = random.randint(0, width - box_width), random.randint(0, height - box_height)
        other = (float(x), float(y), float(x + box_width), float(y + box_height))
        if not intersection(box, other):
            return other
    return None


def _share_of_rises(cases: Sequence[RepairCase], scores: Sequence[float | None]) -> float | None:
    pairs = zip(cases, scores, strict=True)
    return mean([float(new is not None and new - case.score > MIN_RISE) for case, new in pairs])
