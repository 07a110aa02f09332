"""Damage to a whole image at three levels: 1 slight, 2 moderate, 3 strong."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def degrade(image: Image, kind: str, level: int, seed: int) -> Image:
    """Return an image with one degradation.

    Args:
        image: (H, W, 3).
        kind: one of `vocabulary.DEGRADATIONS`.
        level: 0 (unchanged) to 3 (strong).
        seed: seed of the noise.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "none" or level == 0:
        return image
    scale = image.shape[0] / 224
    if kind == "blur":
        return cv2.GaussianBlur(image, (0, 0), (1.2, 2.2, 3.5)[level - 1] * scale).astype(np.uint8)
    if kind == "noise":
        sigma = (15, 29, 48)[level - 1]
        noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)
    if kind == "jpeg":
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, (14, 7, 3)[level - 1]])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
    if kind == "banding":
        step = (36, 52, 80)[level - 1]
        return np.clip(np.floor(image / np.float32(step)) * step + step / 2, 0, 255).astype(np.uint8)
    if kind == "low contrast":
        contrast = (0.55, 0.38, 0.24)[level - 1]
        return np.asarray(image * np.float32(contrast) + image.mean() * (1 - contrast), np.uint8)
    raise ValueError(f"unknown degradation {kind!r}")
