"""Example scenes of different kinds, for the demo and the web page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from judge.scenes.scene import Scene, draw_scene
from judge.types import Labels

FIRST_SEED = 7_000_000_000
"""First drawing seed of the examples; training never draws seeds from here on."""
EXAMPLE_KINDS: tuple[tuple[str, Callable[[Labels], bool]], ...] = (
    (
        "everything present, no defect",
        lambda labels: _count_absent(labels) == 0 and not labels.defects and not _is_degraded(labels),
    ),
    (
        "one element absent",
        lambda labels: _count_absent(labels) == 1 and not labels.defects and not _is_degraded(labels),
    ),
    ("two defects", lambda labels: len(labels.defects) == 2 and not _is_degraded(labels)),
    ("a degraded image", lambda labels: len(labels.defects) == 1 and _is_degraded(labels)),
)
"""Title and condition of each kind of example."""


def _count_absent(labels: Labels) -> int:
    return sum(not element.present for element in labels.elements)


def _is_degraded(labels: Labels) -> bool:
    return labels.attributes["severity"] in ("moderate", "strong")


def find_examples(first_seed: int = FIRST_SEED) -> Iterator[tuple[str, Scene]]:
    """Find one example of each kind.

    Args:
        first_seed: drawing seed from which scenes are tried.

    Yields:
        The title and the scene of each kind, in the order of `EXAMPLE_KINDS`.
    """
    seed = first_seed
    for title, fits in EXAMPLE_KINDS:
        while True:
            scene = draw_scene(seed)
            seed += 1
            if len(scene.sample.labels.elements) >= 3 and fits(scene.sample.labels):
                yield title, scene
                break
