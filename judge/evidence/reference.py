"""Facts about an image compared with its reference: how similar they are, 0 (not at all) to 1 (the same).

- `ref_ssim`: the mean structural similarity of the luminance (Wang, Bovik, Sheikh and Simoncelli 2004;
  Gaussian window of 11 x 11 with a standard deviation of 1.5), 0 where it is negative;
- `ref_gmsd`: 1 - d / 0.35 with d the gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik 2014;
  Prewitt, T = 170, at half size); 0.35 is about the largest deviation between two images;
- `ref_psnr`: the peak signal-to-noise ratio of the colours in decibels, divided by 50; 1 from 50 dB on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

REFERENCE_FACTS = ("ref_ssim", "ref_gmsd", "ref_psnr")
"""Names of all facts that need a reference."""
MAX_GMSD = 0.35
"""Deviation of the gradient similarity at which `ref_gmsd` is 0."""
MAX_PSNR = 50.0
"""Decibels at which `ref_psnr` is 1: nobody sees a difference."""
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
GMSD_T = 170.0

Plane = NDArray[np.float32]
"""(H, W) or (H, W, 3)."""


def compare_with_reference(
    image: Image.Image, reference: Image.Image, names: Iterable[str] = REFERENCE_FACTS
) -> dict[str, float]:
    """Compare an image with its reference.

    Args:
        image: the original image, of any size.
        reference: an image of any size; it is resized to the size of `image`.
        names: names from `REFERENCE_FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order of `names`.
    """
    resized = reference.convert("RGB")
    if resized.size != image.size:
        resized = resized.resize(image.size, Image.Resampling.BICUBIC)
    a, b = (np.asarray(one.convert("RGB"), np.float32) for one in (image, resized))
    facts = {}
    for name in names:
        value = {"ref_ssim": _ssim, "ref_gmsd": _gmsd, "ref_psnr": _psnr}[name](a, b)
        facts[name] = min(1.0, max(0.0, value))
    return facts


def _luminance(pixels: Plane) -> Plane:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    luminance: Plane = pixels @ weights
    return luminance


def _ssim(a: Plane, b: Plane) -> float:
    import cv2

    def local_mean(plane: Plane) -> Any:
        return cv2.GaussianBlur(plane, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    x, y = _luminance(a), _luminance(b)
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x * mean_x, local_mean(y * y) - mean_y * mean_y
    covariance = local_mean(x * y) - mean_x * mean_y
    similarity = (
        (2 * mean_x * mean_y + SSIM_C1)
        * (2 * covariance + SSIM_C2)
        / ((mean_x * mean_x + mean_y * mean_y + SSIM_C1) * (var_x + var_y + SSIM_C2))
    )
    return float(similarity.mean())


def _gmsd(a: Plane, b: Plane) -> float:
    import cv2

    prewitt = np.array([[1, 0, -1]] * 3, np.float32) / 3

    def gradient_magnitude(pixels: Plane) -> Any:
        luminance = _luminance(pixels)
        half = cv2.blur(luminance, (2, 2))[::2, ::2] if min(luminance.shape) > 1 else luminance
        gradients = (cv2.filter2D(half, -1, kernel) for kernel in (prewitt, prewitt.T))
        return np.sqrt(sum(gradient * gradient for gradient in gradients))

    x, y = gradient_magnitude(a), gradient_magnitude(b)
    return 1 - float(((2 * x * y + GMSD_T) / (x * x + y * y + GMSD_T)).std()) / MAX_GMSD


def _psnr(a: Plane, b: Plane) -> float:
    error = float(((a - b) ** 2).mean())
    return 1.0 if error == 0 else 10 * float(np.log10(255**2 / error)) / MAX_PSNR
