"""Pictures to try the page on, drawn when they are first asked for; none are kept as files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from judge.scenes import Scene, draw
from judge.scenes.examples import examples

_FIRST = 7_000_000_100
"""Drawing seeds from here on; training never draws them."""
_TRIES = 400
_SOUND, _BROKEN = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)
"""Shares of scenes with no, one, two and three defects, as `judge.scenes.draw` takes them."""


@dataclass(frozen=True)
class Example:
    """One thing to try: a picture for the judge, two for a comparison."""

    title: str
    prompt: str
    pictures: tuple[Image.Image, ...]


@cache
def singles() -> tuple[Example, ...]:
    """Scenes to judge."""
    return tuple(_example(title, scene) for title, scene in examples(_FIRST))


@cache
def pairs() -> tuple[Example, ...]:
    """Pairs to compare: the same scene drawn soundly and with two defects."""
    for seed in range(_FIRST, _FIRST + _TRIES):
        sound, broken = draw(seed, flaws=_SOUND), draw(seed, flaws=_BROKEN)
        if _is_pair(sound, broken):
            first = _example("sound or broken?", sound, broken.image)
            return (first,)
    return ()


def _example(title: str, scene: Scene, *more: Any) -> Example:
    pictures = tuple(Image.fromarray(image) for image in (scene.image, *more))
    return Example(title, scene.sample.prompt, pictures)


def _is_pair(sound: Scene, broken: Scene) -> bool:
    """The same objects, everything asked for is there, and only one of the two is damaged."""
    asked, facts = sound.sample.labels.elements, (sound.facts, broken.facts)
    return (
        len(asked) >= 3
        and all(element.present for element in asked)
        and [thing.key for thing in sound.facts.things] == [thing.key for thing in broken.facts.things]
        and all(fact.degradation == "none" for fact in facts)
        and len(broken.facts.flaws) == 2
    )
