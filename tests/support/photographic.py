"""Pictures that measure like photographs, built where a test asks."""

from __future__ import annotations

import numpy as np
from PIL import Image


def textured(height: int = 256, width: int = 256, seed: int = 1) -> Image.Image:
    """A picture with the spectrum of a photograph (amplitude falls with frequency)."""
    spread = np.fft.rfft2(np.random.default_rng(seed).normal(size=(height, width, 3)), axes=(0, 1))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])[..., None]
    field = np.fft.irfft2(spread / np.maximum(radius, 0.01) ** 1.2, axes=(0, 1))
    return Image.fromarray(np.clip(128 + 45 * field / field.std(), 0, 255).astype(np.uint8))
