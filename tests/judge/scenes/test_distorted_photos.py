"""Distorted photographs: exact, repeatable, and of the size of the original."""

from __future__ import annotations

import numpy as np
import pytest

from judge.evidence.facts import AREA_KINDS, ESTIMATED_KINDS
from judge.scenes.distorted_photos import distort_randomly, distort_whole_image
from judge.scenes.distortions import DISTORTION_KINDS, DISTORTIONS, kind_of_distortion


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A smooth image of 128 x 96 pixels."""
    y, x = np.mgrid[0:96, 0:128]
    waves = np.stack([np.sin(x / (3 + c)) * np.cos(y / (5 - c)) for c in range(3)], -1)
    return np.clip(128 + 70 * waves, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_a_stronger_distortion_changes_the_image_more(distortion: str, photo: np.ndarray) -> None:
    errors = []
    for strength in (0.0, 0.5, 1.0):
        image, truth = distort_whole_image(photo, distortion, strength, seed=3)
        assert image.shape == photo.shape and image.dtype == np.uint8
        assert (truth.kind, truth.strength) == (kind_of_distortion(distortion), strength)
        errors.append(float(np.abs(image.astype(int) - photo).mean()))
    assert 0 < errors[0] < errors[1] < errors[2]


def test_the_same_seed_gives_the_same_image_and_truth(photo: np.ndarray) -> None:
    for seed in range(6):
        (image, truth), (same_image, same_truth) = (distort_randomly(photo, seed) for _ in range(2))
        assert (image == same_image).all() and truth == same_truth


def test_a_distorted_area_changes_nothing_outside(photo: np.ndarray) -> None:
    image, truth = distort_randomly(photo, 11, shares=(0, 0, 1, 0))
    changed = np.abs(image.astype(int) - photo).max(-1) > 24
    for area in truth.areas:
        x1, y1, x2, y2 = (v * side for v, side in zip(area.box, (128, 96, 128, 96), strict=True))
        changed[max(0, int(y1) - 9) : int(y2) + 10, max(0, int(x1) - 9) : int(x2) + 10] = False
        assert area.kind in AREA_KINDS
    assert truth.kind == "none" and not changed.any() and 1 <= truth.quality < 5


def test_the_distortion_kinds_are_those_that_are_estimated() -> None:
    assert tuple(DISTORTION_KINDS) == ESTIMATED_KINDS
