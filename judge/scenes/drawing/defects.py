"""Ways to break a picture at one place, each with the exact pixels it changed.

Two families of operations: on the parts of a figure before it is painted (a part missing, doubled or
displaced), and on the pixels of a finished canvas (smeared, warped, cut, erased, noise, tint, fused).
Truth is measured, not declared: the mask is where the broken canvas differs visibly from the intact one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing.figures import Part
from judge.scenes.drawing.paint import Canvas

Mask = NDArray[np.bool_]
Window = tuple[int, int, int, int]

VISIBLE = 26.0
"""Largest channel difference (0..255) from which a changed pixel counts as damaged."""
LEAST_SIDE, LEAST_AREA = 13, 150
"""Smaller damage (pixels at 224x224) is not kept: nobody could be asked to see it."""


def difference(before: Canvas, after: Canvas) -> NDArray[np.float32]:
    """Largest channel difference of two canvases, shape (H, W)."""
    d = cv2.absdiff(before, after)
    return np.asarray(np.maximum(np.maximum(d[..., 0], d[..., 1]), d[..., 2]), np.float32)


def changed(before: Canvas, after: Canvas, size: int) -> Mask | None:
    """Where the two canvases (H, W, 3) visibly differ; None when it is too little to count."""
    mask = difference(np.clip(before, 0, 255), np.clip(after, 0, 255)) > VISIBLE
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(bool)
    scale = size / 224
    if mask.sum() < LEAST_AREA * scale * scale:
        return None
    x0, y0, x1, y1 = bounds(mask)
    return _closed(mask, scale) if min(x1 - x0, y1 - y0) >= LEAST_SIDE * scale else None


def _closed(mask: Mask, scale: float) -> Mask:
    """One region where a person would draw one: pixels that happen to look alike before and after do not
    tear a warped patch into shreds. The bounds stay what they are."""
    reach = int(25 * scale) | 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    padded = cv2.copyMakeBorder(
        mask.astype(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
    )
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, brush)[reach:-reach, reach:-reach]
    return closed.astype(bool)


def bounds(mask: Mask) -> Window:
    """x1, y1, x2, y2 of the true pixels, the last two exclusive."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def break_parts(r: Random, kind: str, parts: list[Part]) -> tuple[list[Part], str] | None:
    """Take away, double or move one loose part; returns the new parts and the part's name."""
    loose = [i for i, p in enumerate(parts) if p.loose and not (p.spare and kind == "missing part")]
    if not loose:
        return None
    i = r.choice(loose)
    part = parts[i]
    if kind == "missing part":
        return [p for j, p in enumerate(parts) if j != i], part.name
    centre = np.concatenate(part.contours).mean(0)
    away = math.atan2(float(centre[1]), float(centre[0])) + r.uniform(-0.9, 0.9)
    reach = r.uniform(0.45, 0.75)
    shift = np.array([reach * math.cos(away), reach * math.sin(away)], np.float32)
    turn = r.uniform(-0.8, 0.8)
    spin = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], np.float32)
    moved = replace(
        part,
        contours=tuple(((c - centre) @ spin.T + centre + shift).astype(np.float32) for c in part.contours),
    )
    if kind == "displaced part":
        return [*(p for j, p in enumerate(parts) if j != i), moved], part.name
    return [*parts, moved], part.name


def _smeared(r: Random, patch: Canvas) -> Canvas:
    k, wide = r.randint(15, 25), r.random() < 0.5
    blurred = cv2.blur(patch, (k, 3) if wide else (3, k), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _warped(r: Random, patch: Canvas) -> Canvas:
    h, w = patch.shape[:2]
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    strength, period = r.uniform(5, 9), r.uniform(9, 18)
    fade = np.clip(np.minimum.reduce([xx, w - 1 - xx, yy, h - 1 - yy]) / 5, 0, 1)
    sx = xx + strength * fade * np.sin(2 * math.pi * yy / period + r.uniform(0, 6))
    sy = yy + strength * fade * np.cos(2 * math.pi * xx / period)
    moved = cv2.remap(patch, sx, sy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _cut(r: Random, patch: Canvas) -> Canvas:
    out, band, jump = patch.copy(), r.randint(8, 14), r.randint(8, 13)
    axis = r.randint(0, 1)
    for n, at in enumerate(range(0, patch.shape[axis], band)):
        rows = (slice(at, at + band),) if axis == 0 else (slice(None), slice(at, at + band))
        out[rows] = np.roll(patch[rows], jump if n % 2 else -jump, 1 - axis)
    return out


def _noise(r: Random, patch: Canvas) -> Canvas:
    g = np.random.default_rng(r.getrandbits(32))
    grain = r.choice([1, 1, 2, 3])
    h, w = patch.shape[:2]
    spots = g.integers(0, 256, (h // grain + 1, w // grain + 1, 3)).astype(np.float32)
    noise = np.asarray(cv2.resize(spots, (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
    return patch * 0.4 + noise * 0.6


def _tint(r: Random, patch: Canvas) -> Canvas:
    color = r.choice(
        [(230, 40, 40), (40, 200, 60), (40, 60, 230), (230, 210, 30), (220, 40, 210), (30, 210, 220)]
    )
    return patch * 0.45 + np.array(color, np.float32) * 0.55


_ON_PIXELS: dict[str, Callable[[Random, Canvas], Canvas]] = {
    "smeared": _smeared,
    "warped": _warped,
    "cut": _cut,
    "noise": _noise,
    "tint": _tint,
}


def break_pixels(
    r: Random, kind: str, canvas: Canvas, bare: Canvas, centre: tuple[float, float], reach: float
) -> Canvas:
    """Damage a window about an object, on a new canvas; `bare` is the canvas without objects, for erasing."""
    size = canvas.shape[0]
    scale = size / 224
    w, h = (int(r.uniform(max(26 * scale, reach * 0.8), max(46 * scale, reach * 1.7))) for _ in range(2))
    a, off = r.uniform(0, 2 * math.pi), r.uniform(0.2, 0.8) * reach
    x = min(max(int(centre[0] + off * math.cos(a) - w / 2), 0), max(0, size - w))
    y = min(max(int(centre[1] + off * math.sin(a) - h / 2), 0), max(0, size - h))
    out = canvas.copy()
    window = np.s_[y : y + h, x : x + w]
    out[window] = damaged(r, kind, canvas[window], bare[window])
    return out


def damaged(r: Random, kind: str, patch: Canvas, bare: Canvas) -> Canvas:
    """A window (h, w, 3) after damage that fits into any window; `bare` is the window without objects."""
    return bare if kind == "erased" else _ON_PIXELS[kind](r, patch)


def fuse(
    r: Random,
    canvas: Canvas,
    a: tuple[float, float, float],
    b: tuple[float, float, float],
    colors: tuple[Canvas, Canvas],
) -> Canvas:
    """Let two objects (x, y, radius) flow into one another through a bridge of both colours."""
    out = canvas.copy()
    width = min(a[2], b[2]) * r.uniform(0.7, 1.0)
    steps = 24
    for i in range(steps + 1):
        t = i / steps
        x, y = a[0] * (1 - t) + b[0] * t, a[1] * (1 - t) + b[1] * t
        gap = math.hypot(a[0] - b[0], a[1] - b[1])
        if t * gap < a[2] * 0.6 or (1 - t) * gap < b[2] * 0.6:
            continue
        color = colors[0] * (1 - t) + colors[1] * t
        cv2.circle(
            out,
            (round(x * 16), round(y * 16)),
            round(width * (0.55 + 0.45 * abs(2 * t - 1)) * 16),
            tuple(float(v) for v in color),
            -1,
            cv2.LINE_AA,
            4,
        )
    return out
