"""Randomly distorted photographs with ground truth.

A photograph is distorted as a whole, in one or two areas, both, or not at all. The same seed gives the same
result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.distortions import DISTORTION_KINDS, DISTORTIONS, Pixels, kind_of_distortion

Box = tuple[float, float, float, float]
AREA_KINDS = ("blur", "motion blur", "noise", "compression", "upscaled", "color cast")
"""Distortion kinds of areas. In an area, the other kinds look like a part of the photograph."""
DEFAULT_SHARES = (0.14, 0.5, 0.28, 0.08)
"""Shares of images that are not distorted, distorted as a whole, in one or two areas, and both."""


@dataclass(frozen=True)
class DistortedArea:
    """A distorted area."""

    kind: str
    """One of `AREA_KINDS`."""
    strength: float
    """0 (just visible) to 1 (ruins the image)."""
    box: Box
    """x1, y1, x2, y2 as shares (0 to 1) of width and height."""


@dataclass(frozen=True)
class DistortionTruth:
    """What was done to a photograph."""

    kind: str = "none"
    """Distortion kind of the whole image, or "none"."""
    distortion: str = ""
    """Name of the function in `judge.scenes.distortions`; empty for "none"."""
    strength: float = 0.0
    """0 (just visible) to 1 (ruins the image)."""
    areas: tuple[DistortedArea, ...] = field(default=())
    """The strongest first."""

    @property
    def quality(self) -> float:
        """The quality, 1 (worst) to 5 (undistorted).

        Each distortion multiplies the quality by 1 - loss. The loss is 0.1 + 0.9 strength; for an area it is
        multiplied by 0.3 + 0.7 times the square root of its share of the image.
        """
        losses = [_loss(self.strength)] if self.kind != "none" else [0.0]
        for area in self.areas:
            x1, y1, x2, y2 = area.box
            losses.append(_loss(area.strength) * (0.3 + 0.7 * math.sqrt((x2 - x1) * (y2 - y1))))
        remaining = np.prod([1 - loss for loss in losses])
        return float(1 + 4 * remaining)


def _loss(strength: float) -> float:
    return 0.1 + 0.9 * strength


def distort_randomly(
    image: Pixels, seed: int, shares: Sequence[float] = DEFAULT_SHARES
) -> tuple[Pixels, DistortionTruth]:
    """Distort an undistorted photograph at random.

    Args:
        image: (H, W, 3) uint8 RGB.
        seed: the same seed gives the same image.
        shares: weights of no distortion, the whole image, areas, and both.

    Returns:
        The distorted image and its ground truth.
    """
    r = np.random.default_rng(seed)
    choice = r.choice(4, p=np.array(shares) / sum(shares))
    kind, distortion, strength = "none", "", 0.0
    if choice in (1, 3):
        kind = str(r.choice(list(DISTORTION_KINDS)))
        distortion = str(r.choice([function.__name__ for function in DISTORTION_KINDS[kind]]))
        strength = float(r.random())
        image = DISTORTIONS[distortion](image, strength, r)
    areas: list[DistortedArea] = []
    if choice in (2, 3):
        for _ in range(1 if r.random() < 0.75 else 2):
            image, area = _distort_area(image, r)
            if all(_are_separate(area.box, other.box) for other in areas):
                areas.append(area)
            else:
                areas = [*areas[:-1], _merge(areas[-1], area)]
    strongest_first = tuple(sorted(areas, key=lambda area: -area.strength))
    return image, DistortionTruth(kind, distortion, strength, strongest_first)


def distort_whole_image(
    image: Pixels, distortion: str, strength: float, seed: int
) -> tuple[Pixels, DistortionTruth]:
    """Apply one distortion to a whole photograph.

    Args:
        image: (H, W, 3) uint8 RGB.
        distortion: a key of `distortions.DISTORTIONS`.
        strength: 0 to 1.
        seed: the same seed gives the same image.

    Returns:
        The distorted image and its ground truth.
    """
    distorted = DISTORTIONS[distortion](image, strength, np.random.default_rng(seed))
    return distorted, DistortionTruth(kind_of_distortion(distortion), distortion, strength)


def _distort_area(image: Pixels, r: np.random.Generator) -> tuple[Pixels, DistortedArea]:
    """Distort a rectangle or an ellipse with a soft edge."""
    height, width = image.shape[:2]
    w, h = (r.uniform(0.2, 0.6) for _ in range(2))
    x, y = r.uniform(0, 1 - w), r.uniform(0, 1 - h)
    kind = str(r.choice(AREA_KINDS))
    distortion = str(r.choice([function.__name__ for function in DISTORTION_KINDS[kind]]))
    strength = float(r.uniform(0.2, 1))
    mask = np.zeros((height, width), np.float32)
    left, top, right, bottom = x * width, y * height, (x + w) * width, (y + h) * height
    if r.random() < 0.5:
        mask[int(top) : int(bottom), int(left) : int(right)] = 1
    else:
        center = (round((left + right) / 2), round((top + bottom) / 2))
        cv2.ellipse(mask, center, (round(w * width / 2), round(h * height / 2)), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), r.uniform(0.8, 4))[..., None]
    mixed = soft * DISTORTIONS[distortion](image, strength, r) + (1 - soft) * image
    return np.rint(mixed).astype(np.uint8), DistortedArea(kind, strength, (x, y, x + w, y + h))


def _are_separate(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def _merge(a: DistortedArea, b: DistortedArea) -> DistortedArea:
    """Merge two overlapping areas: the box around both, with kind and strength of the stronger one."""
    stronger = a if a.strength >= b.strength else b
    lows, highs = zip(a.box[:2], b.box[:2], strict=True), zip(a.box[2:], b.box[2:], strict=True)
    (x1, y1), (x2, y2) = map(min, lows), map(max, highs)
    return DistortedArea(stronger.kind, stronger.strength, (x1, y1, x2, y2))


def read_rgb_image(path: str) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the file cannot be read as an image.
    """
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path}: no image can be read from it")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8)
