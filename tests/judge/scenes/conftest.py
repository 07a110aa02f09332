"""Scenes that several tests share."""

from __future__ import annotations

import pytest

from judge.scenes import Scene, draw_scene

FIRST_SEED = 1_000_000


@pytest.fixture(scope="session")
def scene_seeds() -> range:
    return range(FIRST_SEED, FIRST_SEED + 60)


@pytest.fixture(scope="session")
def scenes(scene_seeds: range) -> list[Scene]:
    """Sixty scenes. Tests must not change them."""
    return [draw_scene(seed) for seed in scene_seeds]
