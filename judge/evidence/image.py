"""What can be measured in a picture without a reference; `judge.evidence.facts` makes facts of it.

Statistics of natural scenes (locally normalised luma is nearly Gaussian in an undistorted photograph:
Ruderman 1994, Mittal et al. 2012), detail and grain, the blocks of JPEG, light and colour. Each number lies
on a scale of 0 to 1 whose ends `MEASURES` states, and grows with what its name says.

Pictures of more than a megapixel are measured at one, which is also about what a person sees of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(H, W)."""
MOST_PIXELS = 1 << 20
LEAST_SIDE = 32
"""Smaller sides are enlarged to it: every measure then has enough to go by."""
EQUAL, FLAT = 0.75, 3
"""Levels by which pixels differ at most that count as equal, and a block's that counts as flat."""
CELLS = 14
"""Cells a side in which areas are looked for."""
RINGS = ((0.03, 0.08), (0.08, 0.2))
"""Frequencies, in cycles a pixel, whose power is compared between directions."""
_GRAIN: Plane = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
"""Blind to edges and slopes (Immerkaer 1996)."""


class View:
    """A picture, and what several measures have in common, each computed when first asked for."""

    def __init__(self, pixels: Any) -> None:
        """`pixels` are (H, W, 3) uint8 RGB of any size."""
        height, width = pixels.shape[:2]
        reduce = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
        size = [max(LEAST_SIDE, round(side * reduce)) for side in (width, height)]
        if size != [width, height]:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self.pixels: NDArray[np.uint8] = np.ascontiguousarray(pixels)

    @cached_property
    def grey(self) -> Plane:
        """Luma, 0 to 255."""
        return _plane(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY))

    @cached_property
    def _scales(self) -> dict[int, Plane]:
        half = _reduced(self.grey, 2)
        return {1: self.grey, 2: half, 4: _reduced(half, 2)}

    def at(self, scale: int) -> Plane:
        """Luma at 1/scale of the size."""
        return self._scales[scale]

    @cached_property
    def half(self) -> NDArray[np.uint8]:
        """The picture at half size."""
        height, width = self.grey.shape
        size = (width // 2, height // 2)
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    @cached_property
    def lab(self) -> Plane:
        """CIELAB (H, W, 3) at half size."""
        return _plane(cv2.cvtColor(self.half.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))

    @cached_property
    def equal(self) -> list[NDArray[np.float64]]:
        """Share of pixels in each row that equal those in the next; the same of columns."""
        steps = (np.abs(np.diff(self.grey, axis=axis)) < EQUAL for axis in (0, 1))
        return [step.mean(axis=1 - axis) for axis, step in enumerate(steps)]

    @cached_property
    def grain(self) -> Plane:
        """Magnitude of what is neither edge nor slope, pixel by pixel."""
        return np.abs(_plane(cv2.filter2D(self.grey, cv2.CV_32F, _GRAIN)))

    @cached_property
    def grains(self) -> Plane:
        """`grain` averaged over blocks of 16 x 16."""
        return _reduced(self.grain, 16)

    @cached_property
    def _normal(self) -> dict[int, tuple[Plane, Plane]]:
        return {scale: normalised(plane) for scale, plane in self._scales.items()}

    def normal(self, scale: int) -> Plane:
        """Mean-subtracted, contrast-normalised luma (MSCN) at 1/scale of the size."""
        return self._normal[scale][0]

    def deviation(self, scale: int) -> Plane:
        """Local standard deviation of luma at 1/scale of the size."""
        return self._normal[scale][1]

    @cached_property
    def chroma(self) -> Plane:
        """MSCN of CIELAB's channel from blue to yellow, which cameras and coders treat worst."""
        return normalised(np.ascontiguousarray(self.lab[..., 2]))[0]

    @cached_property
    def _laplacian(self) -> dict[int, Plane]:
        return {s: np.abs(_plane(cv2.Laplacian(p, cv2.CV_32F))) for s, p in self._scales.items()}

    def laplacian(self, scale: int) -> Plane:
        """Magnitude of the Laplacian at 1/scale of the size."""
        return self._laplacian[scale]

    @cached_property
    def _sharpness(self) -> dict[int, Plane]:
        found = {}
        for scale in (1, 2, 4):
            detail = _reduced(self.laplacian(scale), 16)
            found[scale] = detail / (_fitted(self.deviation(scale), detail.shape) + 1)
        return found

    def sharpness(self, scale: int) -> Plane:
        """Laplacian per contrast, in blocks of 16 x 16 at 1/scale of the size."""
        return self._sharpness[scale]

    def neighbours(self, scale: int) -> float:
        """Correlation of MSCN coefficients with those to the right and below."""
        m = self.normal(scale)
        return (_product(m[:, 1:], m[:, :-1]) + _product(m[1:], m[:-1])) / (2 * _product(m, m) + 1e-6)

    def diagonal(self, scale: int) -> float:
        """Correlation of MSCN coefficients with their diagonal neighbours."""
        m = self.normal(scale)
        pairs = _product(m[1:, 1:], m[:-1, :-1]) + _product(m[1:, :-1], m[:-1, 1:])
        return pairs / (2 * _product(m, m) + 1e-6)

    @cached_property
    def light(self) -> NDArray[np.float32]:
        """Lightness L* of every second pixel of the half-size picture, sorted."""
        return np.sort(self.lab[::2, ::2, 0], axis=None)

    def lightness(self, percent: int) -> float:
        """A percentile of L*, 0 to 100."""
        return float(self.light[min(len(self.light) - 1, len(self.light) * percent // 100)])

    def brightest(self, channel: int) -> float:
        """The level, 0 to 255, that all but a hundredth of a channel stay below."""
        return float(np.percentile(self.pixels[::2, ::2, channel], 99))

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Share of each of 256 levels of luma."""
        counts = np.bincount(self.grey.astype(np.uint8).ravel(), minlength=256)
        return counts / self.grey.size

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """Power (side, side / 2 + 1) by frequency, of the middle square of 256, 128, 64 or 32."""
        grey = self.grey
        side = next(side for side in (256, 128, 64, 32) if side <= min(grey.shape))
        top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
        part = grey[top : top + side, left : left + side]
        found: NDArray[np.float64] = np.abs(np.fft.rfft2((part - part.mean()) * _spectral(side)[0])) ** 2
        return found

    @cached_property
    def spectrum(self) -> list[float]:
        """Logarithm of power in three octaves, coarse to fine."""
        bands = _spectral(len(self.power))[1]
        return [math.log(float(self.power[band].mean()) + 1) for band in bands]

    def unevenness(self, ring: int) -> float:
        """How far logarithms of power differ between directions, in one of `RINGS`."""
        low, high = RINGS[ring]
        power = np.log(self.power + 1)
        means = [float(power[sector].mean()) for sector in _sectors(len(self.power), low, high)]
        return max(means) - min(means)

    @cached_property
    def saturation(self) -> Plane:
        """HSV saturation 0..255 at half size."""
        height, width = self.lab.shape[:2]
        half = cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_NEAREST)
        return _plane(cv2.cvtColor(half, cv2.COLOR_RGB2HSV)[..., 1])

    @cached_property
    def gradients(self) -> list[float]:
        """Mean steps between neighbours in red, green and blue, at half size."""
        steps = np.abs(np.diff(self.half.astype(np.float32), axis=1))
        return [float(v) + 0.1 for v in steps.mean((0, 1))]

    @cached_property
    def area(self) -> tuple[float, float, float, float, float, float]:
        """Where fine detail or colour differs most from what is around it: x1, y1, x2, y2 (0..1), by how much
        detail differs (natural logarithms, less being negative) and colour (distance in CIELAB's a and b)."""
        fine = np.log(_fitted(self.grain, (CELLS, CELLS)) + 0.5)
        coarse = np.log(_fitted(self.laplacian(4), (CELLS, CELLS)) + 2)
        colors = [_fitted(np.ascontiguousarray(self.lab[..., c]), (CELLS, CELLS)) for c in (1, 2)]
        return _oddest(fine - 0.7 * coarse, colors)

    @cached_property
    def inside(self) -> View:
        """The area, as a picture of its own."""
        height, width = self.pixels.shape[:2]
        x1, y1, x2, y2 = self.area[:4]
        return View(
            self.pixels[round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)]
        )


def normalised(plane: Plane) -> tuple[Plane, Plane]:
    """Values less their neighbourhood's mean, by its deviation, and that deviation (Mittal et al. 2012)."""
    mean = _plane(cv2.GaussianBlur(plane, (7, 7), 7 / 6))
    squares = _plane(cv2.GaussianBlur(plane * plane, (7, 7), 7 / 6))
    deviation = np.sqrt(np.maximum(squares - mean * mean, 0))
    return (plane - mean) / (deviation + 1), deviation


def shape(values: Plane) -> float:
    """Shape of the generalised Gaussian with the values' moments: 2 is a Gaussian, 1 a Laplacian
    (Sharifi & Leon-Garcia 1995), 0.2 to 10."""
    ratio = float(np.abs(values).mean()) ** 2 / (float((values * values).mean()) + 1e-9)
    shapes, ratios = _shapes()
    return float(np.interp(ratio, ratios, shapes))


_USUAL = 7.6, 13.0
"""How clearly the oddest rectangle of an untouched photograph stands out, in detail and in colour, in units
of `_contrast`: about the mean over BSDS500."""


def _oddest(detail: Plane, colors: list[Plane]) -> tuple[float, float, float, float, float, float]:
    """The rectangle of CELLS x CELLS planes that differs most from the two cells around it."""
    found, gap = _contrast(detail, 0.05)
    (red, red_gap), (blue, blue_gap) = (_contrast(plane, 2.0) for plane in colors)
    best = int(np.maximum(np.abs(found) / _USUAL[0], np.hypot(red, blue) / _USUAL[1]).argmax())
    corners = _rectangles()[0]
    y1, x1 = divmod(int(corners[0][best]), CELLS + 1)
    y2, x2 = divmod(int(corners[3][best]), CELLS + 1)
    color = math.hypot(red_gap[best], blue_gap[best])
    return x1 / CELLS, y1 / CELLS, x2 / CELLS, y2 / CELLS, float(gap[best]), color


def _contrast(plane: Plane, floor: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every rectangle: how clearly its mean differs from that of the cells around (a t statistic), and by
    how much. `floor` is the variance below which a plane's spread does not matter."""
    inner, outer, n, around = _rectangles()
    sums, squares = _integral(plane), _integral(plane * plane)
    s, q = _over(sums, inner), _over(squares, inner)
    ring, ring_q = _over(sums, outer) - s, _over(squares, outer) - q
    gap = s / n - ring / around
    variance = (q - s * s / n + ring_q - ring * ring / around) / (n + around)
    clear: NDArray[np.float64] = gap / np.sqrt(variance + floor) * np.sqrt(n * around / (n + around))
    return clear, gap


@dataclass(frozen=True)
class Measure:
    """One measure, and the ends of its scale."""

    measure: Callable[[View], float]
    low: float
    high: float
    log: bool = False
    """Whether the scale between the ends is logarithmic."""

    def __call__(self, view: View) -> float:
        """0 at or below `low`, 1 at or above `high`."""
        value, low, high = self.measure(view), self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))


def _blockiness(view: View) -> float:
    """Ratio of steps across the 8-pixel grid of JPEG to steps elsewhere (after Wang, Sheikh & Bovik 2002)."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(view.grey, axis=axis)).mean(axis=1 - axis)
        phases = [float(steps[phase::8].mean()) for phase in range(8)]
        ratios.append((phases[7] + 0.1) / (float(np.median(phases)) + 0.1))
    return float(np.mean(ratios))


def _direction(view: View) -> float:
    """How far fine detail runs in one direction (coherence of the structure tensor of its MSCN): what motion
    leaves."""
    m = view.normal(1)
    dx, dy = np.diff(m, axis=1)[1:], np.diff(m, axis=0)[:, 1:]
    xx, yy, xy = (float((a * b).mean()) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return math.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-6)


def _banding(view: View) -> float:
    """Share of the levels of luma missing between the darkest and the brightest."""
    used = np.flatnonzero(view.levels > 1e-5)
    return 1.0 - len(used) / (int(used[-1]) - int(used[0]) + 1) if len(used) else 0.0


def _combing(view: View, channel: int) -> float:
    """How far shares of neighbouring levels of a channel differ: 8-bit levels that were spread out leave
    gaps, levels that were pushed together leave peaks (Stamm & Liu 2010)."""
    levels = np.bincount(view.pixels[..., channel].ravel(), minlength=256) / view.grey.size
    inner = levels[2:254]
    odd = np.abs(inner - (levels[1:253] + levels[3:255]) / 2)
    return float(odd.sum() / (inner.sum() + 1e-3))


def _grid(view: View, side: int) -> float:
    """Ratio of equal neighbours across a grid to those elsewhere, at whichever place of the grid it is
    furthest from 1: coders of WebP's kind (VP8, RFC 6386) work on 4 and 16 pixels."""
    ratios = []
    for equal in view.equal:
        phases = np.array([float(equal[phase::side].mean()) for phase in range(side)]) + 0.02
        logs = np.log(phases / np.median(phases))
        ratios.append(float(logs[np.abs(logs).argmax()]))
    return math.exp(float(np.mean(ratios)))


def _flat_blocks(view: View) -> float:
    """Ratio of flat blocks of 4 x 4 on the grid of 4 to flat ones half a block away from it: what is
    predicted from its neighbours and left at that."""
    grey, block = view.grey.astype(np.uint8), np.ones((4, 4), np.uint8)
    # Of the block that begins at each pixel; those that the edges cut off are left out.
    high, low = (extreme(grey, block, anchor=(0, 0))[:-3, :-3] for extreme in (cv2.dilate, cv2.erode))
    flat = high - low < FLAT
    on, between = (float(flat[off::4, off::4].mean()) + 0.01 for off in (0, 2))
    return on / between


def _edge_color(view: View) -> float:
    """How far red and blue differ from green in the strength of edges (distance in natural logarithms of
    norms of order 4), as light of another colour does to all (van de Weijer, Gevers & Gijsenij 2007)."""
    half = view.half.astype(np.float32)
    steps = np.abs(np.diff(half, axis=1))[1:] + np.abs(np.diff(half, axis=0))[:, 1:]
    red, green, blue = np.log((steps**4).mean((0, 1)) ** 0.25 + 1)
    return math.hypot(float(red - green), float(blue - green))


def _impulses(view: View) -> float:
    """Share of pixels far from the median of their neighbours."""
    grey: Any = view.grey.astype(np.uint8)
    return float((cv2.absdiff(grey, cv2.medianBlur(grey, 3)) > 40).mean()) + 1e-4


def _detail(view: View, scale: int) -> float:
    return float(view.laplacian(scale).std()) + 0.01


def _product(a: Plane, b: Plane) -> float:
    return float(np.vdot(np.ascontiguousarray(a), np.ascontiguousarray(b))) / a.size


def _spread(plane: Plane) -> float:
    return float(plane.std()) / (float(plane.mean()) + 0.1)


def _percentile(plane: Plane, percent: int) -> float:
    return float(np.percentile(plane, percent))


MEASURES: dict[str, Measure] = {
    # detail and grain
    "sharpness": Measure(lambda v: _detail(v, 1), 1.0, 100.0, log=True),
    "detail": Measure(lambda v: _percentile(v.grains, 90), 0.8, 120.0, log=True),
    "grain": Measure(lambda v: float(v.grain.mean()), 0.4, 80.0, log=True),
    "noise": Measure(lambda v: _percentile(v.grains, 10), 0.2, 60.0, log=True),
    "impulses": Measure(_impulses, 1e-4, 0.3, log=True),
    "fine_sharpness": Measure(lambda v: _percentile(v.sharpness(1), 50), 0.1, 2.2, log=True),
    "sharp_parts": Measure(lambda v: _percentile(v.sharpness(2), 90), 0.4, 2.6),
    "coarse_sharpness": Measure(lambda v: _percentile(v.sharpness(4), 10), 0.3, 2.2),
    "fine_to_middle": Measure(lambda v: _detail(v, 1) / _detail(v, 2), 0.11, 2.2, log=True),
    "middle_to_coarse": Measure(lambda v: _detail(v, 2) / _detail(v, 4), 0.2, 1.8, log=True),
    "slope_middle": Measure(lambda v: v.spectrum[0] - v.spectrum[1], 0.0, 5.0),
    "slope_fine": Measure(lambda v: v.spectrum[1] - v.spectrum[2], 0.0, 7.0),
    "focus": Measure(
        lambda v: (_percentile(v.grains, 100) + 0.1) / (_percentile(v.grains, 50) + 0.1), 1.0, 150.0, log=True
    ),
    "direction": Measure(_direction, 0.01, 0.9, log=True),
    "direction_coarse": Measure(lambda v: v.unevenness(0), 0.0, 7.0),
    "direction_middle": Measure(lambda v: v.unevenness(1), 0.0, 7.0),
    # statistics of natural scenes
    "shape_1": Measure(lambda v: shape(v.normal(1)), 0.5, 3.6),
    "shape_2": Measure(lambda v: shape(v.normal(2)), 0.5, 3.6),
    "shape_4": Measure(lambda v: shape(v.normal(4)), 0.8, 3.6),
    "spread_1": Measure(lambda v: float(v.normal(1).var()), 0.0, 0.9),
    "skew_2": Measure(
        lambda v: float((v.normal(2) ** 3).mean() / (v.normal(2).var() ** 1.5 + 1e-6)), -1.2, 1.2
    ),
    "neighbours_1": Measure(lambda v: v.neighbours(1), -0.1, 1.0),
    "diagonal_1": Measure(lambda v: v.diagonal(1), -0.2, 0.8),
    "diagonal_2": Measure(lambda v: v.diagonal(2), -0.2, 0.6),
    "diagonal_4": Measure(lambda v: v.diagonal(4), -0.2, 0.5),
    "busy": Measure(lambda v: _spread(v.deviation(1)), 0.3, 2.2),
    # coding
    "blockiness": Measure(_blockiness, 0.8, 6.0, log=True),
    "flatness": Measure(lambda v: float((np.abs(np.diff(v.grey, axis=1)) < 0.5).mean()), 0.01, 1.0, log=True),
    "banding": Measure(_banding, 0.0, 1.0),
    "red_combing": Measure(lambda v: _combing(v, 0), 0.02, 2.0, log=True),
    "green_combing": Measure(lambda v: _combing(v, 1), 0.02, 2.0, log=True),
    "blue_combing": Measure(lambda v: _combing(v, 2), 0.02, 2.0, log=True),
    "small_blocks": Measure(lambda v: _grid(v, 4), 0.5, 1.3, log=True),
    "large_blocks": Measure(lambda v: _grid(v, 16), 0.5, 1.5, log=True),
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
    "chroma_shape": Measure(lambda v: shape(v.chroma), 0.4, 3.0),
    "chroma_grain": Measure(lambda v: float(v.chroma.var()), 0.01, 0.9, log=True),
    "saturation": Measure(lambda v: float(v.saturation.std()), 3.0, 90.0),
}
"""Everything that is measured, in the order that estimators were trained with."""


def vector(view: View) -> NDArray[np.float32]:
    """All measures (len(MEASURES),), 0 to 1."""
    return np.array([measure(view) for measure in MEASURES.values()], dtype=np.float32)


def _plane(values: Any) -> Plane:
    return np.asarray(values, dtype=np.float32)


def _reduced(plane: Plane, times: int) -> Plane:
    height, width = (max(1, side // times) for side in plane.shape)
    return _fitted(plane, (height, width))


def _fitted(plane: Plane, size: tuple[int, ...]) -> Plane:
    """Averages of a plane over (rows, columns) equal parts."""
    return _plane(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_AREA))


@cache
def _shapes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapes of a generalised Gaussian, and the ratio E|x|^2 / E x^2 that each has."""
    from scipy.special import gamma

    shapes: Any = np.arange(0.2, 10.0, 0.01)
    ratios: NDArray[np.float64] = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    return shapes, ratios


@cache
def _spectral(side: int) -> tuple[NDArray[np.float64], list[NDArray[np.bool_]]]:
    """A Hann window, and the octaves of an rfft2: 0.06 to 0.5 cycles a pixel."""
    hann = np.hanning(side)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    edges = [2.0**-k for k in (4, 3, 2, 1)]
    return np.outer(hann, hann), [
        (radius >= low) & (radius < high) for low, high in zip(edges, edges[1:], strict=False)
    ]


@cache
def _sectors(side: int, low: float, high: float) -> list[NDArray[np.bool_]]:
    """Twelve directions, 15 degrees to either side of each, of a ring of an rfft2's frequencies."""
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    ring = (radius >= low) & (radius < high)
    turns = [np.abs((angle - n * np.pi / 12 + np.pi / 2) % np.pi - np.pi / 2) for n in range(12)]
    return [found for turn in turns if (found := ring & (turn < np.pi / 12)).any()]


Corners = tuple[NDArray[np.intp], ...]
"""Four corners of every rectangle as indices into a flat integral image."""


@cache
def _rectangles() -> tuple[Corners, Corners, NDArray[np.intp], NDArray[np.intp]]:
    """All rectangles of at least 3 x 3 cells and at most 55 % of the picture; the same, two cells larger on
    each side; how many cells each has, and how many more the larger one."""
    spans = np.array([(a, b) for a in range(CELLS) for b in range(a + 3, CELLS + 1)])
    x1, x2 = np.repeat(spans, len(spans), axis=0).T
    y1, y2 = np.tile(spans, (len(spans), 1)).T
    kept = (x2 - x1) * (y2 - y1) <= 0.55 * CELLS * CELLS
    x1, y1, x2, y2 = x1[kept], y1[kept], x2[kept], y2[kept]
    wide = [
        np.maximum(x1 - 2, 0),
        np.maximum(y1 - 2, 0),
        np.minimum(x2 + 2, CELLS),
        np.minimum(y2 + 2, CELLS),
    ]
    n = (x2 - x1) * (y2 - y1)
    around = (wide[2] - wide[0]) * (wide[3] - wide[1]) - n
    return _corners(x1, y1, x2, y2), _corners(*wide), n, around


def _corners(x1: Any, y1: Any, x2: Any, y2: Any) -> Corners:
    row = CELLS + 1
    return y1 * row + x1, y1 * row + x2, y2 * row + x1, y2 * row + x2


def _integral(plane: Plane) -> NDArray[np.float64]:
    return np.pad(plane.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1).ravel()


def _over(integral: NDArray[np.float64], corners: Corners) -> NDArray[np.float64]:
    """Sums over rectangles."""
    a, b, c, d = corners
    return integral[d] - integral[b] - integral[c] + integral[a]
