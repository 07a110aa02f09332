"""Measures of a single image that need no reference. `judge.evidence.facts` turns them into facts.

They are statistics of natural scenes (in an undistorted photograph, locally normalised luma is nearly
Gaussian: Ruderman 1994, Mittal et al. 2012), detail and grain, the blocks of JPEG, light and colour. Each
measure is a number from 0 to 1 on a scale whose ends are in `MEASURES`; it grows with what its name says.

Images of more than a megapixel are reduced to one before they are measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.evidence.image_view import ImageView
from judge.evidence.planes import Plane, fit_gaussian_shape

FLAT_BLOCK = 3
"""A block counts as flat if its pixels differ by less than this many levels."""


@dataclass(frozen=True)
class Measure:
    """One measure and its scale."""

    measure: Callable[[ImageView], float]
    """Computes the raw value."""
    low: float
    """Raw value at and below which the measure is 0."""
    high: float
    """Raw value at and above which the measure is 1."""
    log: bool = False
    """Whether the scale between `low` and `high` is logarithmic."""

    def __call__(self, view: ImageView) -> float:
        """Measure an image, 0 to 1."""
        value, low, high = self.measure(view), self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))


def _blockiness(view: ImageView) -> float:
    """Return the ratio of steps across the 8-pixel grid of JPEG to other steps.

    After Wang, Sheikh & Bovik 2002.
    """
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(view.grey, axis=axis)).mean(axis=1 - axis)
        phases = [float(steps[phase::8].mean()) for phase in range(8)]
        ratios.append((phases[7] + 0.1) / (float(np.median(phases)) + 0.1))
    return float(np.mean(ratios))


def _direction(view: ImageView) -> float:
    """Return how much fine detail follows one direction, as after motion blur.

    This is the coherence of the structure tensor of the MSCN coefficients.
    """
    m = view.mscn(1)
    dx, dy = np.diff(m, axis=1)[1:], np.diff(m, axis=0)[:, 1:]
    xx, yy, xy = (float((a * b).mean()) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return math.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-6)


def _banding(view: ImageView) -> float:
    """Return the share of levels of luma that are missing between the darkest and the brightest."""
    used = np.flatnonzero(view.levels > 1e-5)
    return 1.0 - len(used) / (int(used[-1]) - int(used[0]) + 1) if len(used) else 0.0


def _combing(view: ImageView, channel: int) -> float:
    """Return how much the shares of neighbouring levels of a channel differ (Stamm & Liu 2010).

    8-bit levels that were spread out leave gaps; levels that were pushed together leave peaks.
    """
    levels = np.bincount(view.pixels[..., channel].ravel(), minlength=256) / view.grey.size
    inner = levels[2:254]
    odd = np.abs(inner - (levels[1:253] + levels[3:255]) / 2)
    return float(odd.sum() / (inner.sum() + 1e-3))


def _grid_ratio(view: ImageView, side: int) -> float:
    """Return the ratio of equal neighbours across a grid to those elsewhere.

    The offset of the grid is the one whose ratio differs most from 1. Codecs such as WebP (VP8, RFC 6386)
    work on blocks of 4 and 16 pixels.
    """
    ratios = []
    for equal in view.equal:
        phases = np.array([float(equal[phase::side].mean()) for phase in range(side)]) + 0.02
        logs = np.log(phases / np.median(phases))
        ratios.append(float(logs[np.abs(logs).argmax()]))
    return math.exp(float(np.mean(ratios)))


def _flat_blocks(view: ImageView) -> float:
    """Return the ratio of flat 4 x 4 blocks on the 4-pixel grid to flat ones half a block away from it.

    A codec leaves flat blocks where it predicts a block from its neighbours and stores no correction.
    """
    grey, block = view.grey.astype(np.uint8), np.ones((4, 4), np.uint8)
    # One value for the block that starts at each pixel; blocks that the edges cut off are left out.
    high, low = (extreme(grey, block, anchor=(0, 0))[:-3, :-3] for extreme in (cv2.dilate, cv2.erode))
    flat = high - low < FLAT_BLOCK
    on, between = (float(flat[off::4, off::4].mean()) + 0.01 for off in (0, 2))
    return on / between


def _edge_color(view: ImageView) -> float:
    """Return how much red and blue differ from green in the strength of edges.

    This is a distance of natural logarithms of norms of order 4. Coloured light changes the edges of the
    channels in this way (van de Weijer, Gevers & Gijsenij 2007).
    """
    half = view.half.astype(np.float32)
    steps = np.abs(np.diff(half, axis=1))[1:] + np.abs(np.diff(half, axis=0))[:, 1:]
    red, green, blue = np.log((steps**4).mean((0, 1)) ** 0.25 + 1)
    return math.hypot(float(red - green), float(blue - green))


def _impulses(view: ImageView) -> float:
    """Return the share of pixels that differ much from the median of their neighbours."""
    grey: Any = view.grey.astype(np.uint8)
    return float((cv2.absdiff(grey, cv2.medianBlur(grey, 3)) > 40).mean()) + 1e-4


def _detail(view: ImageView, scale: int) -> float:
    return float(view.laplacian(scale).std()) + 0.01


def _relative_spread(plane: Plane) -> float:
    return float(plane.std()) / (float(plane.mean()) + 0.1)


def _percentile(plane: Plane, percent: int) -> float:
    return float(np.percentile(plane, percent))


MEASURES: dict[str, Measure] = {
    # detail and grain
    "sharpness": Measure(lambda v: _detail(v, 1), 1.0, 100.0, log=True),
    "detail": Measure(lambda v: _percentile(v.grain_blocks, 90), 0.8, 120.0, log=True),
    "grain": Measure(lambda v: float(v.grain.mean()), 0.4, 80.0, log=True),
    "noise": Measure(lambda v: _percentile(v.grain_blocks, 10), 0.2, 60.0, log=True),
    "impulses": Measure(_impulses, 1e-4, 0.3, log=True),
    "fine_sharpness": Measure(lambda v: _percentile(v.sharpness(1), 50), 0.1, 2.2, log=True),
    "sharp_parts": Measure(lambda v: _percentile(v.sharpness(2), 90), 0.4, 2.6),
    "coarse_sharpness": Measure(lambda v: _percentile(v.sharpness(4), 10), 0.3, 2.2),
    "fine_to_middle": Measure(lambda v: _detail(v, 1) / _detail(v, 2), 0.11, 2.2, log=True),
    "middle_to_coarse": Measure(lambda v: _detail(v, 2) / _detail(v, 4), 0.2, 1.8, log=True),
    "slope_middle": Measure(lambda v: v.spectrum[0] - v.spectrum[1], 0.0, 5.0),
    "slope_fine": Measure(lambda v: v.spectrum[1] - v.spectrum[2], 0.0, 7.0),
    "focus": Measure(
        lambda v: (_percentile(v.grain_blocks, 100) + 0.1) / (_percentile(v.grain_blocks, 50) + 0.1),
        1.0,
        150.0,
        log=True,
    ),
    "direction": Measure(_direction, 0.01, 0.9, log=True),
    "direction_coarse": Measure(lambda v: v.unevenness(0), 0.0, 7.0),
    "direction_middle": Measure(lambda v: v.unevenness(1), 0.0, 7.0),
    # statistics of natural scenes
    "shape_1": Measure(lambda v: fit_gaussian_shape(v.mscn(1)), 0.5, 3.6),
    "shape_2": Measure(lambda v: fit_gaussian_shape(v.mscn(2)), 0.5, 3.6),
    "shape_4": Measure(lambda v: fit_gaussian_shape(v.mscn(4)), 0.8, 3.6),
    "spread_1": Measure(lambda v: float(v.mscn(1).var()), 0.0, 0.9),
    "skew_2": Measure(lambda v: float((v.mscn(2) ** 3).mean() / (v.mscn(2).var() ** 1.5 + 1e-6)), -1.2, 1.2),
    "neighbours_1": Measure(lambda v: v.neighbour_correlation(1), -0.1, 1.0),
    "diagonal_1": Measure(lambda v: v.diagonal_correlation(1), -0.2, 0.8),
    "diagonal_2": Measure(lambda v: v.diagonal_correlation(2), -0.2, 0.6),
    "diagonal_4": Measure(lambda v: v.diagonal_correlation(4), -0.2, 0.5),
    "busy": Measure(lambda v: _relative_spread(v.deviation(1)), 0.3, 2.2),
    # coding
    "blockiness": Measure(_blockiness, 0.8, 6.0, log=True),
    "flatness": Measure(lambda v: float((np.abs(np.diff(v.grey, axis=1)) < 0.5).mean()), 0.01, 1.0, log=True),
    "banding": Measure(_banding, 0.0, 1.0),
    "red_combing": Measure(lambda v: _combing(v, 0), 0.02, 2.0, log=True),
    "green_combing": Measure(lambda v: _combing(v, 1), 0.02, 2.0, log=True),
    "blue_combing": Measure(lambda v: _combing(v, 2), 0.02, 2.0, log=True),
    "small_blocks": Measure(lambda v: _grid_ratio(v, 4), 0.5, 1.3, log=True),
    "large_blocks": Measure(lambda v: _grid_ratio(v, 16), 0.5, 1.5, log=True),
    "flat_blocks": Measure(_flat_blocks, 0.6, 2.8, log=True),
    # light
    "clipping": Measure(
        lambda v: float((v.pixels[::2, ::2].max(2) >= 250).mean()) + 1e-3, 1e-3, 0.8, log=True
    ),
    "highlights": Measure(lambda v: float(v.levels[250:].sum()) + 1e-3, 1e-3, 0.6, log=True),
    "shadows": Measure(lambda v: float(v.levels[:6].sum()) + 1e-3, 1e-3, 0.6, log=True),
    "lightness": Measure(lambda v: v.lightness(50), 2.0, 98.0),
    "dark_end": Measure(lambda v: v.lightness(5), 0.0, 70.0),
    "bright_end": Measure(lambda v: v.lightness(95), 10.0, 100.0),
    "red_end": Measure(lambda v: v.brightest(0), 20.0, 255.0),
    "blue_end": Measure(lambda v: v.brightest(2), 20.0, 255.0),
    # colour
    "red_green": Measure(lambda v: float(v.lab[..., 1].mean()), -40.0, 40.0),
    "yellow_blue": Measure(lambda v: float(v.lab[..., 2].mean()), -50.0, 50.0),
    "edge_color": Measure(_edge_color, 0.02, 1.5, log=True),
    "red_steps": Measure(lambda v: v.gradients[0] / v.gradients[1], 0.33, 3.0, log=True),
    "blue_steps": Measure(lambda v: v.gradients[2] / v.gradients[1], 0.33, 3.0, log=True),
    "red_green_spread": Measure(lambda v: float(v.lab[..., 1].std()), 0.5, 30.0, log=True),
    "yellow_blue_spread": Measure(lambda v: float(v.lab[..., 2].std()), 0.5, 40.0, log=True),
    "chroma_shape": Measure(lambda v: fit_gaussian_shape(v.chroma), 0.4, 3.0),
    "chroma_grain": Measure(lambda v: float(v.chroma.var()), 0.01, 0.9, log=True),
    "saturation": Measure(lambda v: float(v.saturation.std()), 3.0, 90.0),
}
"""Name -> measure, in the order that the estimators were trained with."""


def compute_measures(view: ImageView) -> NDArray[np.float32]:
    """Compute all measures of an image.

    Returns:
        (len(MEASURES),), each 0 to 1.
    """
    return np.array([measure(view) for measure in MEASURES.values()], dtype=np.float32)
