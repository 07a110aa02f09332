"""Example scenes of different kinds: for the demo and the web page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from judge.scenes.scene import Scene, draw
from judge.types import Labels

FIRST = 7_000_000_000
"""Drawing seeds from here on; training never draws them."""
WANTED: tuple[tuple[str, Callable[[Labels], bool]], ...] = (
    ("all there and sound", lambda truth: _absent(truth) == 0 and not truth.defects and not _degraded(truth)),
    ("something is absent", lambda truth: _absent(truth) == 1 and not truth.defects and not _degraded(truth)),
    ("two defects", lambda truth: len(truth.defects) == 2 and not _degraded(truth)),
    ("a degraded picture", lambda truth: len(truth.defects) == 1 and _degraded(truth)),
)


def _absent(truth: Labels) -> int:
    return sum(not element.present for element in truth.elements)


def _degraded(truth: Labels) -> bool:
    return truth.attributes["severity"] in ("moderate", "strong")


def examples(first: int = FIRST) -> Iterator[tuple[str, Scene]]:
    """The first scene of each wanted sort, from a drawing seed on."""
    seed = first
    for title, fits in WANTED:
        while True:
            scene = draw(seed)
            seed += 1
            if len(scene.sample.labels.elements) >= 3 and fits(scene.sample.labels):
                yield title, scene
                break
