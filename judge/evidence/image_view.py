"""An image with the intermediate results that several measures share."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.evidence.planes import (
    Plane,
    hann_window,
    normalise_contrast,
    octave_masks,
    reduce_plane,
    resize_plane,
    sector_masks,
    to_plane,
)
from judge.evidence.salient_area import CELLS, find_salient_area

MAX_PIXELS = 1 << 20
"""Larger images are reduced to this many pixels, which is about what a person sees of them at once."""
MIN_SIDE = 32
"""Shorter sides are enlarged to this many pixels, so that every measure has enough pixels."""
EQUAL_LEVELS = 0.75
"""Neighbouring pixels count as equal if they differ by less than this many levels."""
RINGS = ((0.03, 0.08), (0.08, 0.2))
"""Rings of frequencies, in cycles per pixel, whose power is compared between directions."""
_GRAIN_KERNEL: Plane = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
"""Does not respond to edges and slopes (Immerkaer 1996)."""


class ImageView:
    """An image and its intermediate results. Each is computed when it is first used.

    Args:
        pixels: (H, W, 3) uint8 RGB of any size.
    """

    def __init__(self, pixels: Any) -> None:
        height, width = pixels.shape[:2]
        scale = min(1.0, math.sqrt(MAX_PIXELS / (height * width)))
        size = [max(MIN_SIDE, round(side * scale)) for side in (width, height)]
        if size != [width, height]:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self.pixels: NDArray[np.uint8] = np.ascontiguousarray(pixels)

    @cached_property
    def grey(self) -> Plane:
        """Luma, 0 to 255."""
        return to_plane(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY))

    @cached_property
    def _grey_by_scale(self) -> dict[int, Plane]:
        half = reduce_plane(self.grey, 2)
        return {1: self.grey, 2: half, 4: reduce_plane(half, 2)}

    @cached_property
    def half(self) -> NDArray[np.uint8]:
        """The image (H / 2, W / 2, 3) at half size."""
        height, width = self.grey.shape
        size = (width // 2, height // 2)
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    @cached_property
    def lab(self) -> Plane:
        """CIELAB (H / 2, W / 2, 3) at half size."""
        return to_plane(cv2.cvtColor(self.half.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))

    @cached_property
    def equal(self) -> list[NDArray[np.float64]]:
        """For each row, the share of pixels that equal those of the next row; then the same for columns."""
        steps = (np.abs(np.diff(self.grey, axis=axis)) < EQUAL_LEVELS for axis in (0, 1))
        return [step.mean(axis=1 - axis) for axis, step in enumerate(steps)]

    @cached_property
    def grain(self) -> Plane:
        """Magnitude of what is neither edge nor slope, for each pixel."""
        return np.abs(to_plane(cv2.filter2D(self.grey, cv2.CV_32F, _GRAIN_KERNEL)))

    @cached_property
    def grain_blocks(self) -> Plane:
        """`grain`, averaged over blocks of 16 x 16 pixels."""
        return reduce_plane(self.grain, 16)

    @cached_property
    def _normalised(self) -> dict[int, tuple[Plane, Plane]]:
        return {scale: normalise_contrast(plane) for scale, plane in self._grey_by_scale.items()}

    def mscn(self, scale: int) -> Plane:
        """Return the mean-subtracted, contrast-normalised luma at 1/scale of the size; scale is 1, 2 or 4."""
        return self._normalised[scale][0]

    def deviation(self, scale: int) -> Plane:
        """Return the local standard deviation of luma at 1/scale of the size; scale is 1, 2 or 4."""
        return self._normalised[scale][1]

    @cached_property
    def chroma(self) -> Plane:
        """MSCN of the channel b of CIELAB (blue to yellow), which cameras and codecs treat worst."""
        return normalise_contrast(np.ascontiguousarray(self.lab[..., 2]))[0]

    @cached_property
    def _laplacian(self) -> dict[int, Plane]:
        return {s: np.abs(to_plane(cv2.Laplacian(p, cv2.CV_32F))) for s, p in self._grey_by_scale.items()}

    def laplacian(self, scale: int) -> Plane:
        """Return the magnitude of the Laplacian at 1/scale of the size; scale is 1, 2 or 4."""
        return self._laplacian[scale]

    @cached_property
    def _sharpness(self) -> dict[int, Plane]:
        planes = {}
        for scale in (1, 2, 4):
            detail = reduce_plane(self.laplacian(scale), 16)
            planes[scale] = detail / (resize_plane(self.deviation(scale), detail.shape) + 1)
        return planes

    def sharpness(self, scale: int) -> Plane:
        """Return Laplacian per contrast in blocks of 16 x 16 at 1/scale of the size; scale is 1, 2 or 4."""
        return self._sharpness[scale]

    def neighbour_correlation(self, scale: int) -> float:
        """Return the correlation of MSCN coefficients with those to the right and below."""
        m = self.mscn(scale)
        pairs = _mean_product(m[:, 1:], m[:, :-1]) + _mean_product(m[1:], m[:-1])
        return pairs / (2 * _mean_product(m, m) + 1e-6)

    def diagonal_correlation(self, scale: int) -> float:
        """Return the correlation of MSCN coefficients with their diagonal neighbours."""
        m = self.mscn(scale)
        pairs = _mean_product(m[1:, 1:], m[:-1, :-1]) + _mean_product(m[1:, :-1], m[:-1, 1:])
        return pairs / (2 * _mean_product(m, m) + 1e-6)

    @cached_property
    def _sorted_lightness(self) -> NDArray[np.float32]:
        return np.sort(self.lab[::2, ::2, 0], axis=None)

    def lightness(self, percent: int) -> float:
        """Return a percentile of the lightness L*, 0 to 100."""
        values = self._sorted_lightness
        return float(values[min(len(values) - 1, len(values) * percent // 100)])

    def brightest(self, channel: int) -> float:
        """Return the 99th percentile of a channel, 0 to 255."""
        return float(np.percentile(self.pixels[::2, ::2, channel], 99))

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Share of each of the 256 levels of luma."""
        counts = np.bincount(self.grey.astype(np.uint8).ravel(), minlength=256)
        return counts / self.grey.size

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """Power spectrum (side, side / 2 + 1) of the central square of 256, 128, 64 or 32 pixels."""
        grey = self.grey
        side = next(side for side in (256, 128, 64, 32) if side <= min(grey.shape))
        top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
        part = grey[top : top + side, left : left + side]
        power: NDArray[np.float64] = np.abs(np.fft.rfft2((part - part.mean()) * hann_window(side))) ** 2
        return power

    @cached_property
    def spectrum(self) -> list[float]:
        """Logarithm of the mean power in three octaves, coarse to fine."""
        return [math.log(float(self.power[band].mean()) + 1) for band in octave_masks(len(self.power))]

    def unevenness(self, ring: int) -> float:
        """Return how much the logarithm of power differs between directions in one of `RINGS`."""
        low, high = RINGS[ring]
        power = np.log(self.power + 1)
        means = [float(power[sector].mean()) for sector in sector_masks(len(self.power), low, high)]
        return max(means) - min(means)

    @cached_property
    def saturation(self) -> Plane:
        """HSV saturation, 0 to 255, at half size."""
        height, width = self.lab.shape[:2]
        half = cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_NEAREST)
        return to_plane(cv2.cvtColor(half, cv2.COLOR_RGB2HSV)[..., 1])

    @cached_property
    def gradients(self) -> list[float]:
        """Mean difference between horizontal neighbours in red, green and blue, at half size."""
        steps = np.abs(np.diff(self.half.astype(np.float32), axis=1))
        return [float(v) + 0.1 for v in steps.mean((0, 1))]

    @cached_property
    def area(self) -> tuple[float, float, float, float, float, float]:
        """The area whose fine detail or colour differs most from what surrounds it.

        x1, y1, x2, y2 (0 to 1); the difference in detail in natural logarithms, negative for less; and the
        distance in a and b of CIELAB.
        """
        fine = np.log(resize_plane(self.grain, (CELLS, CELLS)) + 0.5)
        coarse = np.log(resize_plane(self.laplacian(4), (CELLS, CELLS)) + 2)
        colors = [resize_plane(np.ascontiguousarray(self.lab[..., c]), (CELLS, CELLS)) for c in (1, 2)]
        return find_salient_area(fine - 0.7 * coarse, colors)

    @cached_property
    def inside(self) -> ImageView:
        """The area as an image of its own."""
        height, width = self.pixels.shape[:2]
        x1, y1, x2, y2 = self.area[:4]
        rows, columns = (
            slice(round(y1 * height), round(y2 * height)),
            slice(round(x1 * width), round(x2 * width)),
        )
        return ImageView(self.pixels[rows, columns])


def _mean_product(a: Plane, b: Plane) -> float:
    return float(np.vdot(np.ascontiguousarray(a), np.ascontiguousarray(b))) / a.size
