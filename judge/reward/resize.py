"""What happens to a picture's pixels on the way into a Qwen-VL, as torch operations with a gradient.

Pillow resizes 8-bit pictures in two passes, across and then down, each a sum with weights in fixed point that
is rounded to 8 bits again (libImaging/Resample.c). Here a pass is a product with the matrix of the same
weights, and the rounding is kept with the gradient passed straight through: the numbers are those that the
processor makes, to the bit but for ties, and the gradient is that of the picture before rounding. Without the
rounding the function is smooth and differs by a level of 255 at most, which is what a check against finite
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

PRECISION = 1 << 22
"""Pillow's weights are multiples of 1 over this."""
SUPPORT = 2.0
"""Reach of the bicubic filter in pixels of the smaller picture."""


def resized(images: Tensor, width: int, height: int, *, exact: bool = True) -> Tensor:
    """`PIL.Image.resize((width, height), BICUBIC)`.

    Args:
        images: (N, 3, H, W) in 0..1.
        exact: round to 8 bits as Pillow does; no: stay smooth.

    Returns:
        (N, 3, height, width) in 0..1.
    """
    tall, wide = images.shape[-2:]
    levels = _levels(images * 255, exact)
    if wide != width:
        levels = _levels(levels @ _weights(wide, width, levels).T, exact)
    if tall != height:
        levels = _levels(_weights(tall, height, levels) @ levels, exact)
    return levels / 255


def patches(images: Tensor, processor: Any) -> tuple[Tensor, Tensor]:
    """What a Qwen2-VL image processor makes of pictures whose sides it need not change.

    Args:
        images: (N, 3, H, W) in 0..1, sides multiples of `patch_size * merge_size`.
        processor: the image processor.

    Returns:
        Patches (N * rows * columns, values), and (N, 3) their number in time, height and width.
    """
    count, channels, tall, wide = images.shape
    side, merge, frames = processor.patch_size, processor.merge_size, processor.temporal_patch_size
    mean, std = (images.new_tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))
    rows, columns = tall // side, wide // side
    tiles = ((images - mean) / std).reshape(
        count, channels, rows // merge, merge, side, columns // merge, merge, side
    )
    tiles = tiles.permute(0, 2, 5, 3, 6, 1, 4, 7)  # blocks of merge x merge patches, each (C, side, side)
    tiles = tiles.unsqueeze(6).expand(*tiles.shape[:6], frames, side, side)  # a still is one moment of frames
    grid = torch.tensor([[1, rows, columns]] * count)
    return tiles.reshape(count * rows * columns, channels * frames * side * side), grid


def _levels(values: Tensor, exact: bool) -> Tensor:
    """Cut to 0..255 and, where exact, rounded, the gradient passing straight through the rounding."""
    cut = values.clamp(0, 255)
    return cut if not exact else cut + ((cut + 0.5).floor() - cut).detach()


def _weights(before: int, after: int, like: Tensor) -> Tensor:
    return torch.from_numpy(_matrix(before, after)).to(like)


@lru_cache(maxsize=32)
def _matrix(before: int, after: int) -> NDArray[np.float64]:
    """Pillow's weights, (after, before)."""
    scale = before / after
    wide = max(scale, 1.0)
    matrix = np.zeros((after, before))
    for row in range(after):
        centre = (row + 0.5) * scale
        low = max(int(centre - SUPPORT * wide + 0.5), 0)
        high = min(int(centre + SUPPORT * wide + 0.5), before)
        weights = np.array([_bicubic((x - centre + 0.5) / wide) for x in range(low, high)])
        weights /= weights.sum()
        matrix[row, low:high] = np.trunc(weights * PRECISION + np.copysign(0.5, weights)) / PRECISION
    return matrix


def _bicubic(x: float) -> float:
    x, a = math.fabs(x), -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0
