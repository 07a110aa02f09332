"""Images to try the page with. They are drawn when first needed, and none are stored as files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from judge.scenes import Scene, draw_scene
from judge.scenes.examples import find_examples

FIRST_SEED = 7_000_000_100
"""First drawing seed to try; training never draws seeds from here on."""
MAX_SEEDS = 400
"""Seeds that are searched for a pair."""
_INTACT, _BROKEN = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)
"""Shares of scenes with zero, one, two and three defects, as `judge.scenes.draw_scene` takes them."""


@dataclass(frozen=True)
class Example:
    """One example: one image to judge, or two to compare."""

    title: str
    prompt: str
    images: tuple[Image.Image, ...]


@cache
def single_examples() -> tuple[Example, ...]:
    """Return scenes to judge."""
    return tuple(_build_example(title, scene) for title, scene in find_examples(FIRST_SEED))


@cache
def pair_examples() -> tuple[Example, ...]:
    """Return pairs to compare: the same scene drawn intact and with two defects."""
    for seed in range(FIRST_SEED, FIRST_SEED + MAX_SEEDS):
        intact, broken = draw_scene(seed, defect_shares=_INTACT), draw_scene(seed, defect_shares=_BROKEN)
        if _is_pair(intact, broken):
            return (_build_example("intact or broken?", intact, broken.image),)
    return ()


def _build_example(title: str, scene: Scene, *more_images: Any) -> Example:
    images = tuple(Image.fromarray(image) for image in (scene.image, *more_images))
    return Example(title, scene.sample.prompt, images)


def _is_pair(intact: Scene, broken: Scene) -> bool:
    """Return whether both show the same objects, all elements are present, and only one has defects."""
    elements, facts = intact.sample.labels.elements, (intact.facts, broken.facts)
    return (
        len(elements) >= 3
        and all(element.present for element in elements)
        and [one.color_and_kind for one in intact.facts.objects]
        == [one.color_and_kind for one in broken.facts.objects]
        and all(fact.degradation == "none" for fact in facts)
        and len(broken.facts.defects) == 2
    )
