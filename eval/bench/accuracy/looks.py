"""Measure the gain from closer looks (zoom-ins): small defects in large images, and undecided elements.

- An image of 3840 x 2160 pixels has one defect of 48 pixels (`judge.scenes.large_scenes`). The same image
  without the defect is judged too. A defect is found if the IoU of a reported artifact with its box is over
  0.1, the rule of the EvalMuse structure track; `found_50` requires over 0.5.
- Undecided elements are elements of drawn scenes whose probability without closer looks is so uncertain
  that the judge takes a closer look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.metric_value import Interval
from judge.agent.budget import RECOMMENDED_LOOKS
from judge.agent.closer_looks import UNCERTAIN_PROBABILITIES
from judge.media.regions import iou
from judge.scenes.held_out import draw_held_out_scenes, held_out_seeds
from judge.scenes.large_scenes import LargeScene, draw_large_scene
from judge.types import DefectLabel, Sample, Verdict

MIN_IOU = 0.1
"""A defect is found if its IoU with a reported artifact is greater."""
BATCH = 4
"""Number of large images that are judged together; all of them are in memory, decoded."""


def measure_looks(
    judge: Any, count: int, scenes: int, seed: int, max_looks: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measure large images and undecided elements.

    Args:
        judge: a `judge.Judge`.
        count: number of large images, each drawn with and without its defect.
        scenes: number of usual scenes, for undecided elements.
        seed: seed of the drawing.
        max_looks: largest number of closer looks for a large image.
        tick: called after each image.
    """
    large = _measure_large_images(judge, count, seed, max_looks, tick)
    elements = _measure_undecided_elements(judge, scenes, seed, tick)
    return {**large, **elements, "count": count, "scenes": scenes, "looks_allowed": max_looks}


def _measure_large_images(
    judge: Any, count: int, seed: int, max_looks: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Measure how many defects are found, and how many images without a defect stay clean.

    An image that is unscored counts as a failure in all of them; `unscored` is the number of them.
    """
    rows: dict[str, list[float]] = {
        name: [] for name in ("found", "found_without", "found_50", "clean", "clean_without", "looks")
    }
    seconds: list[float] = []
    unscored = 0
    for scene_seeds in _batches(held_out_seeds(count, seed)):
        damaged = [draw_large_scene(scene_seed) for scene_seed in scene_seeds]
        undamaged = [draw_large_scene(scene_seed, defect_side=0) for scene_seed in scene_seeds]
        defects = [scene.defect for scene in damaged]
        for scenes, labels in ((damaged, defects), (undamaged, [None] * len(undamaged))):
            samples = [_make_sample(scene) for scene in scenes]
            without_looks = list(judge.many(samples, batch=BATCH, looks=0))
            with_looks = list(judge.many(samples, batch=BATCH, looks=max_looks))
            for before, after, label in zip(without_looks, with_looks, labels, strict=True):
                rows["looks"].append(len(after.trace))
                unscored += after.status == "unscored"
                seconds.append(after.provenance.milliseconds / 1000)
                if label:
                    rows["found"].append(_best_iou(after, label) > MIN_IOU)
                    rows["found_without"].append(_best_iou(before, label) > MIN_IOU)
                    rows["found_50"].append(_best_iou(after, label) > 0.5)
                else:
                    rows["clean"].append(_is_clean(after))
                    rows["clean_without"].append(_is_clean(before))
                tick()
    intervals = {name: _mean_interval(rows[name]) for name in ("found", "found_without", "clean")}
    return {
        "found": _mean(rows["found"]),
        "found_50": _mean(rows["found_50"]),
        "found_without_looks": _mean(rows["found_without"]),
        "clean_stays_clean": _mean(rows["clean"]),
        "clean_without_looks": _mean(rows["clean_without"]),
        "looks": _mean(rows["looks"]),
        "looks_most": max(rows["looks"], default=None),
        "seconds_per_picture": _mean(seconds),
        "unscored": unscored,
        "interval_95": {name: [interval.low, interval.high] for name, interval in intervals.items()},
    }


def _measure_undecided_elements(
    judge: Any, count: int, seed: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Measure the accuracy of undecided elements before and after the recommended closer looks."""
    low, high = UNCERTAIN_PROBABILITIES
    correct: list[tuple[bool, bool]] = []
    element_count = scenes_with_looks = 0
    scenes = draw_held_out_scenes(count, seed)
    samples = [scene.unlabelled_sample() for scene in scenes]
    without_looks, with_looks = judge.many(samples, looks=0), judge.many(samples, looks=RECOMMENDED_LOOKS)
    for scene, before, after in zip(scenes, without_looks, with_looks, strict=True):
        truth = {label.name: label.present for label in scene.sample.labels.elements}
        element_count += len(before.elements)
        scenes_with_looks += bool(after.trace)
        for old, new in zip(before.elements, after.elements, strict=True):
            if low < old.probability < high:
                correct.append((old.present == truth[old.name], new.present == truth[new.name]))
        tick()
    before_accuracy, after_accuracy = (_mean([pair[n] for pair in correct]) for n in (0, 1))
    return {
        "doubtful_elements": len(correct),
        "doubtful_share": len(correct) / element_count if element_count else None,
        "doubtful_accuracy": after_accuracy,
        "doubtful_accuracy_without_looks": before_accuracy,
        "scenes_looked_at_again": scenes_with_looks / count,
    }


def _make_sample(scene: LargeScene) -> Sample:
    return Sample(image=scene.image, prompt=scene.prompt, elements=[])


def _artifact_boxes(verdict: Verdict) -> list[tuple[float, float, float, float]]:
    return [defect.box for defect in verdict.defects if defect.family == "artifact"]


def _is_clean(verdict: Verdict) -> bool:
    return verdict.status != "unscored" and not _artifact_boxes(verdict)


def _best_iou(verdict: Verdict, label: DefectLabel) -> float:
    """Return the largest IoU of a reported artifact with the labelled defect."""
    return max((iou(box, label.box) for box in _artifact_boxes(verdict)), default=0.0)


def _batches(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(seeds), BATCH):
        yield seeds[start : start + BATCH]


def _mean_interval(values: Sequence[float]) -> Interval:
    return bootstrap_interval(lambda draw: _mean([values[index] for index in draw]), len(values))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
