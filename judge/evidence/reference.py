"""Measured facts about a picture beside its reference: how like it is, 0 (not at all) to 1 (the same).

- `ref_ssim`: the mean structural similarity of the luminance (Wang, Bovik, Sheikh and Simoncelli 2004; window
  of 11 x 11, Gaussian with a deviation of 1.5), 0 where it is negative;
- `ref_gmsd`: 1 - d / 0.35, d the deviation of the gradient magnitude similarity (Xue, Zhang, Mou and Bovik
  2014; Prewitt, T = 170, at half the size), 0.35 being about as far apart as pictures get;
- `ref_psnr`: the peak signal-to-noise ratio of the colours, in decibels over 50; 1 from 50 dB on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FACTS = ("ref_ssim", "ref_gmsd", "ref_psnr")
FAR = 0.35
"""The deviation of gradient similarity that counts as nothing alike."""
CLEAN = 50.0
"""Decibels from which on nobody sees a difference."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
T = 170.0

Plane = NDArray[np.float32]


def measure(image: Image.Image, reference: Image.Image, names: Iterable[str] = FACTS) -> dict[str, float]:
    """Measure a picture of any size.

    Args:
        image: the original.
        reference: of any size; where it is another, it is resized to the picture's.
        names: of `FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order asked.
    """
    beside = reference.convert("RGB")
    if beside.size != image.size:
        beside = beside.resize(image.size, Image.Resampling.BICUBIC)
    a, b = (np.asarray(one.convert("RGB"), np.float32) for one in (image, beside))
    found = {}
    for name in names:
        value = {"ref_ssim": _ssim, "ref_gmsd": _gmsd, "ref_psnr": _psnr}[name](a, b)
        found[name] = min(1.0, max(0.0, value))
    return found


def _luminance(pixels: Plane) -> Plane:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    light: Plane = pixels @ weights
    return light


def _ssim(a: Plane, b: Plane) -> float:
    import cv2

    def near(plane: Plane) -> Any:
        return cv2.GaussianBlur(plane, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    x, y = _luminance(a), _luminance(b)
    mx, my = near(x), near(y)
    vx, vy, both = near(x * x) - mx * mx, near(y * y) - my * my, near(x * y) - mx * my
    alike = (2 * mx * my + C1) * (2 * both + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))
    return float(alike.mean())


def _gmsd(a: Plane, b: Plane) -> float:
    import cv2

    across = np.array([[1, 0, -1]] * 3, np.float32) / 3

    def edges(pixels: Plane) -> Any:
        light = _luminance(pixels)
        half = cv2.blur(light, (2, 2))[::2, ::2] if min(light.shape) > 1 else light
        found = (cv2.filter2D(half, -1, kernel) for kernel in (across, across.T))
        return np.sqrt(sum(one * one for one in found))

    x, y = edges(a), edges(b)
    return 1 - float(((2 * x * y + T) / (x * x + y * y + T)).std()) / FAR


def _psnr(a: Plane, b: Plane) -> float:
    error = float(((a - b) ** 2).mean())
    return 1.0 if error == 0 else 10 * float(np.log10(255**2 / error)) / CLEAN
