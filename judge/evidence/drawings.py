"""Whether an image is a plain drawing, like the scenes that the embedded judge was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

FLAT_COLOR_SHARE = 0.6
FLAT_STEP_SHARE = 0.6


def is_drawing(images: Sequence[Image.Image]) -> bool:
    """Return whether an image, or most frames of a video, are like drawn scenes.

    Args:
        images: RGB of any size.
    """
    return 2 * sum(map(_is_photographic, images)) < len(images)


def _is_photographic(image: Image.Image) -> bool:
    import cv2

    # OpenCV's median is equal to Pillow's bit for bit, and a hundred times faster; Pillow's takes longer than
    # the model itself.
    resized = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
    denoised = Image.fromarray(cv2.medianBlur(resized, 5))
    colors = np.asarray(denoised.resize((112, 112), Image.Resampling.BOX)).astype(np.uint16) >> 4
    codes = (colors[..., 0] << 8 | colors[..., 1] << 4 | colors[..., 2]).ravel()
    counts = np.bincount(codes, minlength=4096)
    if np.partition(counts, -10)[-10:].sum() >= FLAT_COLOR_SHARE * counts.sum():
        return False
    blocks = np.asarray(denoised.resize((56, 56), Image.Resampling.BOX)).astype(np.int16).transpose(2, 0, 1)
    steps = [np.abs(np.diff(blocks, axis=axis)).max(axis=0).ravel() for axis in (1, 2)]
    return bool((np.concatenate(steps) < 5).mean() < FLAT_STEP_SHARE)
