"""How like the pictures of a calibration another picture is: ten measured facts and a Mahalanobis distance.

The facts are of the picture alone, reduced to 256 pixels a side, and need no model, so every backend abstains
alike: mean and spread of luminance, mean saturation, colourfulness (Hasler and Suesstrunk 2003), noise
(Immerkaer 1996), fine and coarse detail (mean absolute Laplacian at full and quarter size), share of the ten
commonest colours (4 bits a channel), share of nearly equal neighbouring 4 x 4 blocks, entropy of luminance.
Facts that spread over decades are taken as logarithms. Drawn scenes, photographs, scanned text and noise lie
many units apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

SIDE = 256
FACTS = (
    "luminance", "contrast", "saturation", "colourfulness", "noise",
    "fine detail", "coarse detail", "common colours", "flatness", "entropy",
)  # fmt: skip


def measured(image: Image.Image) -> list[float]:
    """The facts of an RGB picture, in the order of `FACTS`."""
    import cv2
    import numpy as np
    from PIL import Image as Pillow

    small = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BOX))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    saturation = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1].astype(np.float32) / 255
    quarter = cv2.resize(grey, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA).astype(np.float32)
    steps = np.concatenate([np.abs(np.diff(coarse, axis=axis)).max(-1).ravel() for axis in (0, 1)])
    bits = small.astype(np.int64) >> 4
    colors = np.bincount((bits[..., 0] << 8 | bits[..., 1] << 4 | bits[..., 2]).ravel(), minlength=4096)
    histogram = np.histogram(grey, bins=64, range=(0, 256))[0] / grey.size
    filled = histogram[histogram > 0]
    facts = (
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
    return [float(fact) for fact in facts]


def distance(facts: Sequence[float], mean: Sequence[float], precision: Sequence[Sequence[float]]) -> float:
    """Mahalanobis distance: sqrt((x - mean)^T precision (x - mean))."""
    off = [fact - middle for fact, middle in zip(facts, mean, strict=True)]
    turned = [sum(p * b for p, b in zip(row, off, strict=True)) for row in precision]
    return math.sqrt(max(0.0, sum(a * b for a, b in zip(off, turned, strict=True))))


def _colourfulness(picture: Any) -> float:
    import numpy as np

    red, green, blue = (picture[..., n].astype(np.float32) for n in range(3))
    a, b = red - green, (red + green) / 2 - blue
    return float(np.hypot(a.std(), b.std()) + 0.3 * np.hypot(a.mean(), b.mean()))


def _noise(grey: Any) -> float:
    """Standard deviation of noise, 0..255: what is left of lines and planes by a difference of Laplacians."""
    import cv2
    import numpy as np

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    left = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)[1:-1, 1:-1])
    return float(left.mean() * math.sqrt(math.pi / 2) / 6)
