"""Operations on planes: two-dimensional float32 arrays of shape (height, width)."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(H, W)."""


def to_plane(values: Any) -> Plane:
    """Return an array as float32."""
    return np.asarray(values, dtype=np.float32)


def resize_plane(plane: Plane, size: tuple[int, ...]) -> Plane:
    """Average a plane over (rows, columns) equal parts."""
    return to_plane(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_AREA))


def reduce_plane(plane: Plane, factor: int) -> Plane:
    """Reduce both sides of a plane by a factor, to at least one pixel."""
    height, width = (max(1, side // factor) for side in plane.shape)
    return resize_plane(plane, (height, width))


def normalise_contrast(plane: Plane) -> tuple[Plane, Plane]:
    """Subtract the local mean and divide by the local standard deviation (MSCN, Mittal et al. 2012).

    Args:
        plane: luma or another channel, about 0 to 255.

    Returns:
        The MSCN coefficients and the local standard deviation, both of the plane's shape.
    """
    mean = to_plane(cv2.GaussianBlur(plane, (7, 7), 7 / 6))
    squares = to_plane(cv2.GaussianBlur(plane * plane, (7, 7), 7 / 6))
    deviation = np.sqrt(np.maximum(squares - mean * mean, 0))
    return (plane - mean) / (deviation + 1), deviation


def fit_gaussian_shape(values: Plane) -> float:
    """Fit a generalised Gaussian by its moments (Sharifi & Leon-Garcia 1995).

    Returns:
        Its shape, 0.2 to 10: 2 is a Gaussian, 1 a Laplacian.
    """
    ratio = float(np.abs(values).mean()) ** 2 / (float((values * values).mean()) + 1e-9)
    shapes, ratios = _shape_table()
    return float(np.interp(ratio, ratios, shapes))


@cache
def _shape_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shapes of a generalised Gaussian, and the ratio E|x|^2 / E x^2 of each."""
    from scipy.special import gamma

    shapes: Any = np.arange(0.2, 10.0, 0.01)
    ratios: NDArray[np.float64] = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    return shapes, ratios


@cache
def hann_window(side: int) -> NDArray[np.float64]:
    """Return a two-dimensional Hann window (side, side)."""
    hann = np.hanning(side)
    return np.outer(hann, hann)


@cache
def octave_masks(side: int) -> list[NDArray[np.bool_]]:
    """Return the masks of three octaves of an `rfft2` of a square, coarse to fine.

    Together they cover 0.0625 to 0.5 cycles per pixel. Each mask is (side, side / 2 + 1).
    """
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    edges = [2.0**-k for k in (4, 3, 2, 1)]
    return [(radius >= low) & (radius < high) for low, high in zip(edges, edges[1:], strict=False)]


@cache
def sector_masks(side: int, low: float, high: float) -> list[NDArray[np.bool_]]:
    """Return the masks of twelve directions of a ring of frequencies of an `rfft2` of a square.

    Args:
        side: side of the square in pixels.
        low: inner radius of the ring in cycles per pixel.
        high: outer radius of the ring in cycles per pixel.

    Returns:
        Up to twelve masks (side, side / 2 + 1), each 15 degrees to either side of its direction; empty ones
        are left out.
    """
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    ring = (radius >= low) & (radius < high)
    offsets = [np.abs((angle - n * np.pi / 12 + np.pi / 2) % np.pi - np.pi / 2) for n in range(12)]
    return [mask for offset in offsets if (mask := ring & (offset < np.pi / 12)).any()]
