"""Synthetic images that have the statistics of photographs."""

from __future__ import annotations

import numpy as np
from PIL import Image


def make_synthetic_photo(height: int = 256, width: int = 256, seed: int = 1) -> Image.Image:
    """Make an image with the spectrum of a photograph: the amplitude falls with the frequency."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=(height, width, 3)), axes=(0, 1))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])[..., None]
    field = np.fft.irfft2(spectrum / np.maximum(radius, 0.01) ** 1.2, axes=(0, 1))
    return Image.fromarray(np.clip(128 + 45 * field / field.std(), 0, 255).astype(np.uint8))
