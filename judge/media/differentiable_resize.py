"""The preprocessing of a Qwen-VL image processor as torch operations with a gradient.

Pillow resizes 8-bit images in two passes, across and then down. Each pass is a weighted sum with
fixed-point weights that is rounded to 8 bits (libImaging/Resample.c). Here a pass is a product with the
matrix of the same weights, and the gradient is passed straight through the rounding. The numbers are those
of the processor to the bit, except for ties, and the gradient is that of the image before rounding. Without
the rounding the function is smooth and differs by at most one level of 255, which a check against finite
differences needs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

WEIGHT_STEPS = 1 << 22
"""Pillow's weights are multiples of 1 / WEIGHT_STEPS."""
FILTER_RADIUS = 2.0
"""Radius of the bicubic filter in pixels of the smaller image."""


def resize_bicubic(images: Tensor, width: int, height: int, *, exact: bool = True) -> Tensor:
    """Resize images as `PIL.Image.resize((width, height), BICUBIC)` does.

    Args:
        images: (N, 3, H, W) in 0..1.
        width: of the result.
        height: of the result.
        exact: round to 8 bits as Pillow does; False: stay smooth.

    Returns:
        (N, 3, height, width) in 0..1.
    """
    old_height, old_width = images.shape[-2:]
    levels = _to_levels(images * 255, exact)
    if old_width != width:
        levels = _to_levels(levels @ _resize_weights(old_width, width, levels).T, exact)
    if old_height != height:
        levels = _to_levels(_resize_weights(old_height, height, levels) @ levels, exact)
    return levels / 255


def extract_patches(images: Tensor, processor: Any) -> tuple[Tensor, Tensor]:
    """Return what a Qwen2-VL image processor makes of images that need no resizing.

    Args:
        images: (N, 3, H, W) in 0..1; sides are multiples of `patch_size * merge_size`.
        processor: the image processor.

    Returns:
        Patches (N * rows * columns, values), and (N, 3) their number in time, height and width.
    """
    count, channels, height, width = images.shape
    side, merge, frames = processor.patch_size, processor.merge_size, processor.temporal_patch_size
    mean, std = (images.new_tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))
    rows, columns = height // side, width // side
    tiles = ((images - mean) / std).reshape(
        count, channels, rows // merge, merge, side, columns // merge, merge, side
    )
    tiles = tiles.permute(0, 2, 5, 3, 6, 1, 4, 7)  # blocks of merge x merge patches, each (C, side, side)
    tiles = tiles.unsqueeze(6).expand(
        *tiles.shape[:6], frames, side, side
    )  # an image repeats over the frames
    grid = torch.tensor([[1, rows, columns]] * count)
    return tiles.reshape(count * rows * columns, channels * frames * side * side), grid


def _to_levels(values: Tensor, exact: bool) -> Tensor:
    """Clamp to 0..255 and, if exact, round with the gradient passed straight through."""
    clamped = values.clamp(0, 255)
    return clamped if not exact else clamped + ((clamped + 0.5).floor() - clamped).detach()


def _resize_weights(before: int, after: int, like: Tensor) -> Tensor:
    """Return Pillow's weights (after, before) with the type and device of a tensor."""
    return torch.from_numpy(_resize_matrix(before, after)).to(like)


@lru_cache(maxsize=32)
def _resize_matrix(before: int, after: int) -> NDArray[np.float64]:
    """Return Pillow's weights for resizing one side, (after, before)."""
    scale = before / after
    filter_scale = max(scale, 1.0)
    matrix = np.zeros((after, before))
    for row in range(after):
        centre = (row + 0.5) * scale
        low = max(int(centre - FILTER_RADIUS * filter_scale + 0.5), 0)
        high = min(int(centre + FILTER_RADIUS * filter_scale + 0.5), before)
        weights = np.array([_bicubic((x - centre + 0.5) / filter_scale) for x in range(low, high)])
        weights /= weights.sum()
        matrix[row, low:high] = np.trunc(weights * WEIGHT_STEPS + np.copysign(0.5, weights)) / WEIGHT_STEPS
    return matrix


def _bicubic(x: float) -> float:
    """Pillow's bicubic filter, with a = -0.5."""
    x, a = math.fabs(x), -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0
