"""Measured facts about a picture: told to the model as evidence, kept in the verdict beside what it said.

Each fact is a number from 0 to 1 that grows with what its name says. Scales are logarithmic where the
measure's own values spread over orders of magnitude, with the ends stated at each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.float32]
"""Luma (H, W), 0 to 255."""


def sharpness(grey: Grey) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000), 1 to 10,000 on a logarithmic scale."""
    import cv2

    return _scaled(float(cv2.Laplacian(grey, cv2.CV_32F).var()), 1.0, 1e4)


def noise(grey: Grey) -> float:
    """Standard deviation of Gaussian noise (Immerkaer 1996), 0.5 to 50 on a logarithmic scale."""
    import cv2

    if min(grey.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)[1:-1, 1:-1])
    return _scaled(float(response.mean()) * math.sqrt(math.pi / 2) / 6, 0.5, 50.0)


def blockiness(grey: Grey) -> float:
    """How much larger steps are across the 8-pixel grid of JPEG than within it: a ratio of 1 to 8,
    logarithmic. After Wang, Sheikh & Bovik 2002."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        if len(steps) < 16:
            continue
        edge = np.arange(len(steps)) % 8 == 7
        ratios.append(float(steps[edge].mean() + 0.1) / float(steps[~edge].mean() + 0.1))
    return _scaled(float(np.mean(ratios)), 1.0, 8.0) if ratios else 0.0


def clipping(grey: Grey) -> float:
    """Share of the picture that is nearly black (at most 2) or nearly white (at least 253)."""
    return float(((grey <= 2) | (grey >= 253)).mean())


def banding(grey: Grey) -> float:
    """Share of the 256 grey levels missing between the darkest and the brightest that occur."""
    counts = np.bincount(np.clip(grey, 0, 255).astype(np.uint8).ravel(), minlength=256)
    used = np.flatnonzero(counts)
    span = int(used[-1] - used[0]) + 1
    return 1.0 - len(used) / span


FACTS: dict[str, Callable[[Grey], float]] = {
    "sharpness": sharpness,
    "noise": noise,
    "blockiness": blockiness,
    "clipping": clipping,
    "banding": banding,
}


def measure(image: Image.Image, names: Iterable[str]) -> dict[str, float]:
    """Measure an RGB picture of any size.

    Args:
        image: the original, not what a model sees of it.
        names: keys of `FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order asked.
    """
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    return {name: FACTS[name](grey) for name in names}


def _scaled(value: Any, low: float, high: float) -> float:
    """Where a value lies between two ends on a logarithmic scale, 0 to 1."""
    return min(1.0, max(0.0, math.log(max(value, low) / low) / math.log(high / low)))
