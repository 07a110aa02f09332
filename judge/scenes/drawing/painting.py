"""Painting backgrounds and parts of figures on a canvas, in several drawing styles.

A canvas is a float32 array (H, W, 3), RGB, 0 to 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing.polygons import TONES, Part, Points
from judge.scenes.vocabulary import STYLES

Canvas = NDArray[np.float32]
RGB = tuple[float, float, float]
_SHIFT = 4
"""Fractional bits of vertex positions in OpenCV, for edges that are exact below one pixel."""


@dataclass(frozen=True)
class Finish:
    """How a scene is finished, whatever its style. The default is that of all published scenes."""

    grain: float = 3.0
    """Largest standard deviation of the background's grain, in levels of 0 to 255. With 0, a flat area has
    one colour, as in a simple drawing program."""
    smooth: bool = True
    """Edges are antialiased."""
    exact: bool = False
    """Colours as people pick them: many neutral grounds, and objects in one of `vocabulary.EXACT_COLORS`."""


USUAL_FINISH = Finish()


@dataclass(frozen=True)
class Style:
    """How one scene is drawn: its fill, its outline, and how shaky the outline is."""

    name: str
    """One of `vocabulary.STYLES`."""
    line: float
    """Width of the outline in pixels, 0 for none."""
    ink: RGB
    """Colour of the outline."""
    light: float
    """Direction of the light in radians (shaded)."""
    grain: float
    """Scale of the pattern in pixels (textured, sketchy)."""
    pattern: str
    """Pattern of the fill: noise, stripes or dots (textured)."""
    shake: float
    """Standard deviation of the displacement of outline vertices in pixels (sketchy)."""
    smooth: bool = True
    """Edges are antialiased."""

    @property
    def edge(self) -> int:
        """OpenCV's type of the edges."""
        return cv2.LINE_AA if self.smooth else cv2.LINE_8


def pick_style(r: Random, name: str | None = None, *, smooth: bool = True) -> Style:
    """Choose the style of a scene at random.

    Args:
        r: source of random numbers.
        name: one of `vocabulary.STYLES`; None: any.
        smooth: of the style.
    """
    name = name or r.choices(STYLES, (5, 3, 3, 2, 3))[0]
    line = {"outlined": r.uniform(1.2, 3.2), "sketchy": r.uniform(1.2, 2.4)}.get(
        name, r.choice([0.0, 0.0, 0.0, 1.0])
    )
    tint = r.uniform(10, 60)
    return Style(
        name, line, (tint, tint, tint * r.uniform(0.9, 1.3)), r.uniform(0, 2 * math.pi), r.uniform(3.5, 9),
        r.choice(["noise", "stripes", "dots"]), r.uniform(0.6, 1.5) if name == "sketchy" else 0.0,
        smooth,
    )  # fmt: skip


def part_color(color: RGB, tone: float | str) -> RGB:
    """Return the colour of a part.

    Args:
        color: the colour of the object.
        tone: `Part.tone`.
    """
    if isinstance(tone, str):
        if tone == "dark" and sum(color) < 150:  # a black car still shows its wheels
            return (120, 120, 126)
        if tone == "light" and min(color) > 225:
            return (175, 185, 195)
        return TONES[tone]
    if sum(color) < 150 and tone < 1:  # nothing is darker than black, so the part gets brighter
        return (color[0] + 170 * (1 - tone), color[1] + 170 * (1 - tone), color[2] + 170 * (1 - tone))
    return (color[0] * tone, color[1] * tone, color[2] * tone)


def _to_fixed_point(contours: list[Points], x: int, y: int) -> list[NDArray[np.int32]]:
    """Return contours relative to (x, y) as OpenCV's fixed-point vertices."""
    return [((c - (x, y)) * (1 << _SHIFT)).round().astype(np.int32) for c in contours]


def _window(
    contours: list[Points], shape: tuple[int, ...], margin: float
) -> tuple[int, int, int, int] | None:
    """Return the window (x0, y0, x1, y1) of the canvas that contours cover, or None if they are outside."""
    low = np.min([c.min(0) for c in contours], 0) - margin
    high = np.max([c.max(0) for c in contours], 0) + margin
    x0, y0 = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    x1, y1 = min(shape[1], math.ceil(high[0]) + 1), min(shape[0], math.ceil(high[1]) + 1)
    return (x0, y0, x1, y1) if x1 - x0 > 0 and y1 - y0 > 0 else None


def _pattern(style: Style, x: int, y: int, w: int, h: int, seed: int) -> NDArray[np.float32]:
    """Return the relative brightness of a textured fill, about -1 to 1, shape (h, w)."""
    if style.pattern == "noise":
        noise = np.random.default_rng(seed).random(
            (max(2, int(h / style.grain) + 2), max(2, int(w / style.grain) + 2)), np.float32
        )
        return np.asarray(cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC), np.float32) * 2 - 1
    yy, xx = np.mgrid[y : y + h, x : x + w].astype(np.float32)
    k = 2 * math.pi / (style.grain * 1.4)
    if style.pattern == "stripes":
        wave = np.sin(k * (xx * math.cos(style.light) + yy * math.sin(style.light)))
    else:
        wave = np.sin(k * xx) * np.sin(k * yy) - 0.35
    return np.asarray(np.sign(wave), np.float32)


def _fill(style: Style, color: RGB, window: tuple[int, int, int, int], seed: int) -> NDArray[np.float32]:
    """Return the fill of a window, shape (h, w, 3)."""
    x0, y0, x1, y1 = window
    w, h = x1 - x0, y1 - y0
    base = np.array(color, np.float32)
    if style.name == "shaded":
        gx, gy = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
        slope = gx[None] * math.cos(style.light) + gy[:, None] * math.sin(style.light)
        return base + np.asarray(slope[..., None] * (38 + 0.1 * base), np.float32)
    if style.name == "textured":
        return base + (_pattern(style, x0, y0, w, h, seed)[..., None] * (14 + 0.1 * base)).astype(np.float32)
    return np.broadcast_to(base, (h, w, 3))


def paint_part(canvas: Canvas, part: Part, contours: list[Points], color: RGB, style: Style) -> None:
    """Paint one part onto a canvas, in place.

    Args:
        canvas: (H, W, 3).
        part: gives the tone and the seed.
        contours: contours of the part in pixels.
        color: the colour of the object.
        style: the style of the scene.
    """
    window = _window(contours, canvas.shape, style.line + 2)
    if window is None:
        return
    x0, y0, x1, y1 = window
    fill_color = part_color(color, part.tone)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, _to_fixed_point(contours, x0, y0), 255, style.edge, _SHIFT)
    alpha = mask.astype(np.float32) / 255
    ink = style.ink
    if style.name == "sketchy":  # hatching over a light wash, outlines in the colour of the object
        yy, xx = np.mgrid[y0:y1, x0:x1]
        hatch = (
            np.sin((xx * math.cos(style.light) + yy * math.sin(style.light)) * (2 * math.pi / style.grain))
            > -0.2
        )
        alpha = alpha * np.where(hatch, 1.0, 0.55).astype(np.float32)
        ink = (fill_color[0] * 0.7, fill_color[1] * 0.7, fill_color[2] * 0.7)
    region = canvas[y0:y1, x0:x1]
    region += (_fill(style, fill_color, window, part.seed) - region) * alpha[..., None]
    if style.line > 0:
        stroke = np.zeros_like(mask)
        lines = contours
        if style.shake:
            generator = np.random.default_rng(part.seed)
            lines = [c + generator.normal(0, style.shake, c.shape).astype(np.float32) for c in contours]
        cv2.polylines(
            stroke, _to_fixed_point(lines, x0, y0), True, 255, max(1, round(style.line)), style.edge, _SHIFT
        )
        region += (np.array(ink, np.float32) - region) * (stroke.astype(np.float32) / 255)[..., None]


def paint_background(r: Random, kind: str, size: int, finish: Finish = USUAL_FINISH) -> Canvas:
    """Paint a background.

    Args:
        r: source of random numbers.
        kind: one of `vocabulary.BACKGROUNDS`.
        size: side of the canvas in pixels.
        finish: grain and colours.

    Returns:
        A canvas (size, size, 3).
    """
    generator = np.random.default_rng(r.getrandbits(32))
    base, other = _exact_colors(r) if finish.exact else _background_colors(r, generator)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = base
    if kind == "striped":
        canvas[_stripes(r, xx, yy, size / 224)] = other
    elif kind == "dotted":
        canvas[_dots(r, xx, yy, size / 224)] = other
    elif kind == "gradient":
        canvas = _gradient(r, xx, yy, base)
    elif kind == "landscape":
        canvas = _landscape(r, size, yy)
    return (canvas + generator.normal(0, r.uniform(0, finish.grain), (size, size, 1))).astype(np.float32)


def _background_colors(
    r: Random, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the colour of the ground and that of its stripes or dots, each (3,)."""
    base = np.array([r.randint(175, 252) for _ in range(3)], np.float32)
    shade = r.random()
    if shade < 0.25:
        base = np.full(3, r.randint(90, 170), np.float32) + generator.uniform(-15, 15, 3).astype(np.float32)
    elif shade < 0.4:
        base = np.full(3, r.randint(244, 255), np.float32)
    difference = np.array([r.choice([-1, 1]) * r.randint(24, 60) for _ in range(3)], np.float32)
    return base, np.clip(base + difference, 55, 255)


def _exact_colors(r: Random) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the same as `_background_colors`, in two of three cases without a hue."""
    gray = r.choice([255, 255, r.randint(190, 254), r.randint(90, 254)])
    base = np.full(3, gray, np.float32)
    if r.random() < 0.33:
        base = np.array([r.choice([255, r.randint(170, 255)]) for _ in range(3)], np.float32)
    difference = np.full(3, r.choice([-1, 1]) * r.randint(24, 60), np.float32)
    if r.random() < 0.33:
        difference = np.array([r.choice([0, -r.randint(24, 60)]) for _ in range(3)], np.float32)
    return base, np.clip(base + difference, 55, 255)


def _stripes(r: Random, xx: NDArray[np.float32], yy: NDArray[np.float32], scale: float) -> NDArray[np.bool_]:
    period, angle = (
        r.uniform(12, 36) * scale,
        r.choice([0.0, math.pi / 2, math.pi / 4, -math.pi / 4, r.uniform(0, math.pi)]),
    )
    mask: NDArray[np.bool_] = ((xx * math.cos(angle) + yy * math.sin(angle)) / period) % 1 < r.uniform(
        0.35, 0.6
    )
    return mask


def _dots(r: Random, xx: NDArray[np.float32], yy: NDArray[np.float32], scale: float) -> NDArray[np.bool_]:
    period, radius = r.uniform(14, 34) * scale, r.uniform(0.17, 0.28)
    row_shift = (yy // period % 2) * period / 2 if r.random() < 0.4 else 0
    dx, dy = (xx + row_shift) % period - period / 2, yy % period - period / 2
    mask: NDArray[np.bool_] = dx**2 + dy**2 < (period * radius) ** 2
    return mask


def _gradient(
    r: Random, xx: NDArray[np.float32], yy: NDArray[np.float32], base: NDArray[np.float32]
) -> Canvas:
    angle = r.choice([0.0, math.pi / 2, r.uniform(0, 2 * math.pi)])
    v = xx * math.cos(angle) + yy * math.sin(angle)
    v = ((v - v.min()) / (v.max() - v.min()))[..., None]
    end = base * r.uniform(0.35, 0.6) if r.random() < 0.7 else np.clip(255 - (255 - base) * 3, 40, 255)
    canvas: Canvas = base * (1 - v) + end.astype(np.float32) * v
    return canvas


def _landscape(r: Random, size: int, yy: NDArray[np.float32]) -> Canvas:
    """Return sky, two ranges of hills, and sometimes a sun."""
    sky = np.array([r.randint(150, 215), r.randint(190, 230), r.randint(220, 250)], np.float32)
    v = (yy / size)[..., None]
    canvas = (sky * (1 - v) + np.array([245, 240, 230], np.float32) * v).astype(np.float32)
    if r.random() < 0.4:
        x, y, s = r.uniform(0.1, 0.9) * size, r.uniform(0.05, 0.2) * size, r.uniform(0.05, 0.09) * size
        cv2.circle(canvas, (int(x), int(y)), int(s), (252, 240, 190), -1, cv2.LINE_AA)
    across = np.arange(size)
    for level, tone in ((r.uniform(0.5, 0.62), 1.0), (r.uniform(0.66, 0.8), 0.9)):
        ground = np.array([r.randint(135, 175), r.randint(175, 205), r.randint(120, 160)], np.float32) * tone
        wave = (
            level * size
            - r.uniform(4, 16) * np.sin(across / size * r.uniform(3, 9) + r.uniform(0, 6)) * size / 224
        )
        canvas[yy > wave[None]] = ground
    return canvas
