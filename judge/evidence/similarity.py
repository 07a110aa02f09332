"""How similar an image is to the images of a calibration: ten statistics and a Mahalanobis distance.

The statistics are computed from the image alone, reduced to 256 x 256 pixels. They need no model, so every
backend abstains on the same images: mean and spread of luminance, mean saturation, colourfulness (Hasler and
Suesstrunk 2003), noise (Immerkaer 1996), fine and coarse detail (mean absolute Laplacian at full and quarter
size), share of the ten most frequent colours (4 bits per channel), share of nearly equal neighbouring 4 x 4
blocks, and entropy of luminance. Statistics that spread over decades are taken as logarithms. Drawn scenes,
photographs, scanned text and noise are many units apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

SIDE = 256
STATISTICS = (
    "luminance", "contrast", "saturation", "colourfulness", "noise",
    "fine detail", "coarse detail", "common colours", "flatness", "entropy",
)  # fmt: skip
"""Names of the statistics."""


def compute_statistics(image: Image.Image) -> list[float]:
    """Compute the statistics of an RGB image, in the order of `STATISTICS`."""
    import cv2
    import numpy as np
    from PIL import Image as Pillow

    small = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BOX))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    saturation = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1].astype(np.float32) / 255
    quarter = cv2.resize(grey, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    blocks = cv2.resize(small, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA).astype(np.float32)
    steps = np.concatenate([np.abs(np.diff(blocks, axis=axis)).max(-1).ravel() for axis in (0, 1)])
    bits = small.astype(np.int64) >> 4
    colors = np.bincount((bits[..., 0] << 8 | bits[..., 1] << 4 | bits[..., 2]).ravel(), minlength=4096)
    histogram = np.histogram(grey, bins=64, range=(0, 256))[0] / grey.size
    filled = histogram[histogram > 0]
    statistics = (
        grey.mean() / 255,
        grey.std() / 255,
        saturation.mean(),
        np.log1p(_colourfulness(small)),
        np.log1p(_noise(grey)),
        np.log1p(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()),
        np.log1p(np.abs(cv2.Laplacian(quarter, cv2.CV_32F)).mean()),
        np.sort(colors)[-10:].sum() / colors.sum(),
        (steps < 5).mean(),
        -(filled * np.log2(filled)).sum(),
    )
    return [float(value) for value in statistics]


def mahalanobis_distance(
    statistics: Sequence[float], mean: Sequence[float], precision: Sequence[Sequence[float]]
) -> float:
    """Return the Mahalanobis distance, sqrt((x - mean)^T precision (x - mean)).

    Args:
        statistics: x, as `compute_statistics` returns it.
        mean: mean of the calibration.
        precision: inverse of the covariance of the calibration.
    """
    offsets = [value - middle for value, middle in zip(statistics, mean, strict=True)]
    products = [sum(p * b for p, b in zip(row, offsets, strict=True)) for row in precision]
    return math.sqrt(max(0.0, sum(a * b for a, b in zip(offsets, products, strict=True))))


def _colourfulness(pixels: Any) -> float:
    import numpy as np

    red, green, blue = (pixels[..., n].astype(np.float32) for n in range(3))
    a, b = red - green, (red + green) / 2 - blue
    return float(np.hypot(a.std(), b.std()) + 0.3 * np.hypot(a.mean(), b.mean()))


def _noise(grey: Any) -> float:
    """Return the standard deviation of noise, 0 to 255.

    A difference of Laplacians removes lines and planes; what remains is noise.
    """
    import cv2
    import numpy as np

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    remainder = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)[1:-1, 1:-1])
    return float(remainder.mean() * math.sqrt(math.pi / 2) / 6)
