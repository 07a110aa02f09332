"""What an examination shows a model: drawn scenes with exact truth, in the few forms that its measures need.

The same count and seed always give the same cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from judge.errors import InputError
from judge.scenes.drawing.degradations import degrade
from judge.scenes.held_out import LabelledScene, held_out_seeds
from judge.scenes.scene import Scene, draw_scene, draw_undamaged_scene
from judge.scenes.scene_facts import SceneObject
from judge.scenes.vocabulary import DEGRADATIONS
from judge.types import Box, Sample

MIN_COUNT = 4
"""Fewer scenes have too few elements and defects to say anything."""
GENERAL_SIDE = 448
"""Side in pixels of the scenes for models without a fixed input size: a whole number of image tokens of all
Qwen-VL families (28 and 32 pixels), so that no processor resizes it, and far below 1000, so that pixels and
relative coordinates differ."""
LEVELS = (0, 1, 2, 3)
"""Levels of damage in a ladder: none, slight, moderate, strong."""
MIN_OBJECT_SHARE = 0.004
"""Smallest share of the image that an object covers which the model is asked to locate."""


@dataclass(frozen=True)
class Ladder:
    """One scene without damage, and the same scene with more and more of one damage."""

    kind: str
    """One of `judge.scenes.vocabulary.DEGRADATIONS`."""
    samples: list[Sample]
    """One for each of `LEVELS`."""


@dataclass(frozen=True)
class PairCase:
    """An undamaged and a damaged image of one prompt."""

    better: Sample
    worse: Sample


@dataclass(frozen=True)
class ObjectCase:
    """An object to locate: its name is unique in the scene."""

    sample: Sample
    name: str
    box: Box
    """True box, in pixels."""


@dataclass(frozen=True)
class Cases:
    """All cases of an examination."""

    seed: int
    side: int
    """Side of the square images in pixels."""
    scenes: list[LabelledScene]
    ladders: list[Ladder] = field(default_factory=list)
    pairs: list[PairCase] = field(default_factory=list)
    objects: list[ObjectCase] = field(default_factory=list)

    @property
    def samples(self) -> list[Sample]:
        """The scenes without their labels."""
        return [scene.unlabelled_sample() for scene in self.scenes]

    def reversed_samples(self, limit: int) -> list[Sample]:
        """The first scenes with at least two elements, their elements in the opposite order."""
        return [
            sample.model_copy(update={"elements": list(reversed(sample.elements or []))})
            for sample in self.samples
            if len(sample.elements or []) > 1
        ][:limit]


@lru_cache(maxsize=2)
def draw_cases(count: int, seed: int, side: int = GENERAL_SIDE) -> Cases:
    """Draw the cases.

    Args:
        count: number of scenes; ladders, pairs and objects are a share of it.
        seed: the same seed gives the same cases.
        side: side of the images in pixels.

    Raises:
        InputError: the count is too small.
    """
    check_count(count)
    drawing_seeds = held_out_seeds(count, seed)
    drawn = [draw_scene(drawing_seed, side) for drawing_seed in drawing_seeds]
    scenes = [_label(scene, f"scene-{seed}-{n}") for n, scene in enumerate(drawn)]
    # Scenes of their own for ladders and pairs: undamaged ones, so that only the added damage counts.
    clean = _draw_clean_scenes(seed + 1, side)
    few = max(MIN_COUNT, count // 6)
    ladders = [_draw_ladder(*next(clean), number, seed) for number in range(few)]
    pairs = [_draw_pair(*next(clean), number, seed) for number in range(few)]
    pairs_of_scenes = zip(drawn, scenes, strict=True)
    objects = [case for pair in pairs_of_scenes for case in _objects(*pair)]
    return Cases(seed, side, scenes, ladders, pairs, objects[: max(8, count // 3)])


def check_count(count: int) -> None:
    """Raise `InputError` for too small a number of scenes."""
    if count < MIN_COUNT:
        raise InputError("count", count, f"{MIN_COUNT} or more", "60 is the usual number")


def _label(scene: Scene, name: str) -> LabelledScene:
    mask = np.zeros(scene.image.shape[:2], dtype=bool)
    for region in scene.masks:
        mask |= np.asarray(region, dtype=bool)
    return LabelledScene(scene.sample.model_copy(update={"image": scene.image, "id": name}), mask)


def _draw_clean_scenes(seed: int, side: int) -> Iterator[tuple[NDArray[np.uint8], Sample, int]]:
    """Yield images without damage, with a prompt of which they show everything, and their drawing seeds."""
    number = 0
    while True:
        number += 64
        for drawing_seed in held_out_seeds(number, seed)[number - 64 :]:
            scene = draw_scene(drawing_seed, side)
            present = [label.name for label in scene.sample.labels.elements if label.present]
            if scene.facts.degradation != "none" or not present:
                continue
            image = draw_undamaged_scene(drawing_seed, side)
            prompt = "a drawing of " + " and ".join(present)
            yield image, Sample(image=image, prompt=prompt, elements=present), drawing_seed


def _draw_ladder(
    image: NDArray[np.uint8], sample: Sample, drawing_seed: int, number: int, seed: int
) -> Ladder:
    kind = DEGRADATIONS[1 + number % (len(DEGRADATIONS) - 1)]
    samples = [
        sample.model_copy(
            update={
                "image": degrade(image, kind, level, drawing_seed),
                "id": f"ladder-{seed}-{number}-{level}",
            }
        )
        for level in LEVELS
    ]
    return Ladder(kind, samples)


def _draw_pair(
    image: NDArray[np.uint8], sample: Sample, drawing_seed: int, number: int, seed: int
) -> PairCase:
    kind = DEGRADATIONS[1 + number % (len(DEGRADATIONS) - 1)]
    worse = degrade(image, kind, LEVELS[-1], drawing_seed)
    return PairCase(
        sample.model_copy(update={"id": f"pair-{seed}-{number}-better"}),
        sample.model_copy(update={"image": worse, "id": f"pair-{seed}-{number}-worse"}),
    )


def _objects(scene: Scene, labelled: LabelledScene) -> Iterator[ObjectCase]:
    """Yield the largest object of a scene whose name no other object has."""
    area = scene.image.shape[0] * scene.image.shape[1]
    unique = [o for o in scene.facts.objects if scene.facts.count(*o.color_and_kind) == 1]
    largest = max(unique, key=_box_area, default=None)
    if largest is not None and _box_area(largest) >= MIN_OBJECT_SHARE * area:
        yield ObjectCase(labelled.unlabelled_sample(), largest.name, largest.box)


def _box_area(thing: SceneObject) -> float:
    x1, y1, x2, y2 = thing.box
    return (x2 - x1) * (y2 - y1)
