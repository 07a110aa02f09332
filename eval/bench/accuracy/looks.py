"""What closer looks are worth: small defects in pictures larger than the model sees, and doubtful elements.

- A picture of 3840 x 2160 has one defect of 48 pixels (`judge.scenes.large`), and each is judged again
  with nothing broken in it. A defect is found when a reported artifact overlaps its box by more than 0.1
  (intersection over union), the rule of the EvalMuse structure track; `found_50` asks for 0.5.
- Doubtful elements are those of fresh scenes whose probability at the first look calls for another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from eval.metrics.agreement import Interval, bootstrap
from judge.agent.closer_looks import UNDECIDED, USUAL
from judge.media.regions import iou
from judge.scenes.fresh import draw_scenes, scene_seeds
from judge.scenes.large import Large, draw_large
from judge.types import DefectLabel, Sample, Verdict

FOUND = 0.1
BATCH = 4
"""Large pictures judged together; each is held decoded."""


def run(
    judge: Any, count: int, scenes: int, seed: int, looks: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measure both.

    Args:
        judge: a `judge.Judge`.
        count: large pictures, each drawn broken and whole.
        scenes: usual scenes, for doubtful elements.
        seed: of everything that is drawn.
        looks: closer looks at a large picture at most.
        tick: called after every picture.
    """
    large = large_pictures(judge, count, seed, looks, tick)
    elements = doubtful_elements(judge, scenes, seed, tick)
    return {**large, **elements, "count": count, "scenes": scenes, "looks_allowed": looks}


def large_pictures(
    judge: Any, count: int, seed: int, looks: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """How many defects are found with and without looks, and how many whole pictures stay clean."""
    rows: dict[str, list[float]] = {
        name: [] for name in ("found", "found_without", "found_50", "clean", "clean_without", "looks")
    }
    seconds: list[float] = []
    for drawn in _grouped(scene_seeds(count, seed)):
        broken = [draw_large(one) for one in drawn]
        whole = [draw_large(one, flaw=0) for one in drawn]
        for pictures, flaws in ((broken, [one.flaw for one in broken]), (whole, [None] * len(whole))):
            samples = [_sample(picture) for picture in pictures]
            without = list(judge.many(samples, batch=BATCH, looks=0))
            closer = list(judge.many(samples, batch=BATCH, looks=looks))
            for before, after, flaw in zip(without, closer, flaws, strict=True):
                rows["looks"].append(len(after.trace))
                seconds.append(after.provenance.milliseconds / 1000)
                if flaw:
                    rows["found"].append(_overlap(after, flaw) > FOUND)
                    rows["found_without"].append(_overlap(before, flaw) > FOUND)
                    rows["found_50"].append(_overlap(after, flaw) > 0.5)
                else:
                    rows["clean"].append(not _artifacts(after))
                    rows["clean_without"].append(not _artifacts(before))
                tick()
    names = ("found", "found_without", "clean")
    intervals = {name: _interval(rows[name]) for name in names}
    return {
        "found": _mean(rows["found"]),
        "found_50": _mean(rows["found_50"]),
        "found_without_looks": _mean(rows["found_without"]),
        "clean_stays_clean": _mean(rows["clean"]),
        "clean_without_looks": _mean(rows["clean_without"]),
        "looks": _mean(rows["looks"]),
        "looks_most": max(rows["looks"], default=None),
        "seconds_per_picture": _mean(seconds),
        "interval_95": {name: [found.low, found.high] for name, found in intervals.items()},
    }


def doubtful_elements(
    judge: Any, count: int, seed: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Accuracy of elements that the first look leaves in doubt, before and after the usual closer looks."""
    low, high = UNDECIDED
    right: list[tuple[bool, bool]] = []
    asked = costly = 0
    scenes = draw_scenes(count, seed)
    samples = [scene.asked() for scene in scenes]
    first, last = judge.many(samples, looks=0), judge.many(samples, looks=USUAL)
    for scene, before, after in zip(scenes, first, last, strict=True):
        truth = {label.name: label.present for label in scene.sample.labels.elements}
        asked += len(before.elements)
        costly += bool(after.trace)
        for old, new in zip(before.elements, after.elements, strict=True):
            if low < old.probability < high:
                right.append((old.present == truth[old.name], new.present == truth[new.name]))
        tick()
    before_accuracy, after_accuracy = (_mean([pair[n] for pair in right]) for n in (0, 1))
    return {
        "doubtful_elements": len(right),
        "doubtful_share": len(right) / asked if asked else None,
        "doubtful_accuracy": after_accuracy,
        "doubtful_accuracy_without_looks": before_accuracy,
        "scenes_looked_at_again": costly / count,
    }


def _sample(picture: Large) -> Sample:
    return Sample(image=picture.image, prompt=picture.prompt, elements=[])


def _artifacts(verdict: Verdict) -> list[tuple[float, float, float, float]]:
    return [defect.box for defect in verdict.defects if defect.family == "artifact"]


def _overlap(verdict: Verdict, flaw: DefectLabel) -> float:
    return max((iou(box, flaw.box) for box in _artifacts(verdict)), default=0.0)


def _grouped(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(seeds), BATCH):
        yield seeds[start : start + BATCH]


def _interval(values: Sequence[float]) -> Interval:
    return bootstrap(lambda draw: _mean([values[at] for at in draw]), len(values))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
