"""Local damage to a drawing, with the exact mask of the changed pixels.

There are two families. Some operations change the parts of a figure before it is painted: a part is missing,
doubled or displaced. The others change pixels of the finished canvas: smeared, warped, cut, erased, noise,
tint, fused. The ground truth is measured: the mask is where the damaged canvas differs visibly from the
intact one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing.painting import Canvas
from judge.scenes.drawing.polygons import Part

Mask = NDArray[np.bool_]
Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels, x2 and y2 exclusive."""

VISIBLE_DIFFERENCE = 26.0
"""A pixel counts as damaged if its largest channel difference (0 to 255) exceeds this."""
MIN_DAMAGE_SIDE, MIN_DAMAGE_AREA = 13, 150
"""Smaller damage (pixels at 224 x 224) is rejected: nobody could be expected to see it."""


def describe_defect(kind: str, name: str, part: str) -> str:
    """Return the explanation of a defect.

    Args:
        kind: one of `vocabulary.DEFECT_KINDS` except "fused".
        name: the damaged object.
        part: its damaged part; used only for defects of parts.
    """
    return {
        "missing part": f"the {part} of the {name} is missing",
        "extra part": f"the {name} has an extra {part}",
        "displaced part": f"the {part} of the {name} is out of place",
        "smeared": f"the {name} is smeared",
        "warped": f"the {name} is warped",
        "cut": f"the {name} is cut and shifted",
        "erased": f"the {name} is partly erased",
        "noise": f"there is noise on the {name}",
        "tint": f"there is a tint on the {name}",
    }[kind]


def max_channel_difference(before: Canvas, after: Canvas) -> NDArray[np.float32]:
    """Return the largest channel difference of two canvases, shape (H, W)."""
    d = cv2.absdiff(before, after)
    return np.asarray(np.maximum(np.maximum(d[..., 0], d[..., 1]), d[..., 2]), np.float32)


def find_changed_pixels(before: Canvas, after: Canvas, size: int) -> Mask | None:
    """Find where two canvases differ visibly.

    Args:
        before: the intact canvas (H, W, 3).
        after: the damaged canvas of the same shape.
        size: side of the scene in pixels; the smallest damage that counts is scaled by size / 224.

    Returns:
        A mask (H, W), or None if the damage is too small to count.
    """
    mask = max_channel_difference(np.clip(before, 0, 255), np.clip(after, 0, 255)) > VISIBLE_DIFFERENCE
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(bool)
    scale = size / 224
    if mask.sum() < MIN_DAMAGE_AREA * scale * scale:
        return None
    x0, y0, x1, y1 = mask_bounds(mask)
    return _close_gaps(mask, scale) if min(x1 - x0, y1 - y0) >= MIN_DAMAGE_SIDE * scale else None


def _close_gaps(mask: Mask, scale: float) -> Mask:
    """Close the gaps of a mask. The bounds stay the same.

    Some pixels of a warped patch look alike before and after. Without this step they would split a region
    that a person would draw as one.
    """
    reach = int(25 * scale) | 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    padded = cv2.copyMakeBorder(
        mask.astype(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
    )
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, brush)[reach:-reach, reach:-reach]
    return closed.astype(bool)


def mask_bounds(mask: Mask) -> Window:
    """Return the bounding box of the true pixels of a mask that has at least one."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def break_parts(r: Random, kind: str, parts: list[Part]) -> tuple[list[Part], str] | None:
    """Remove, double or move one loose part of a figure.

    Args:
        r: source of random numbers.
        kind: "missing part", "extra part" or "displaced part".
        parts: the parts of the figure.

    Returns:
        The new parts and the name of the damaged part, or None if no part can be damaged.
    """
    loose = [i for i, p in enumerate(parts) if p.loose and not (p.optional and kind == "missing part")]
    if not loose:
        return None
    i = r.choice(loose)
    part = parts[i]
    if kind == "missing part":
        return [p for j, p in enumerate(parts) if j != i], part.name
    center = np.concatenate(part.contours).mean(0)
    direction = math.atan2(float(center[1]), float(center[0])) + r.uniform(-0.9, 0.9)
    distance = r.uniform(0.45, 0.75)
    shift = np.array([distance * math.cos(direction), distance * math.sin(direction)], np.float32)
    turn = r.uniform(-0.8, 0.8)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], np.float32)
    moved = replace(
        part,
        contours=tuple(
            ((c - center) @ rotation.T + center + shift).astype(np.float32) for c in part.contours
        ),
    )
    if kind == "displaced part":
        return [*(p for j, p in enumerate(parts) if j != i), moved], part.name
    return [*parts, moved], part.name


def _smear(r: Random, patch: Canvas) -> Canvas:
    k, is_horizontal = r.randint(15, 25), r.random() < 0.5
    blurred = cv2.blur(patch, (k, 3) if is_horizontal else (3, k), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _warp(r: Random, patch: Canvas) -> Canvas:
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
    for n, start in enumerate(range(0, patch.shape[axis], band)):
        stripe = slice(start, start + band)
        index = (stripe,) if axis == 0 else (slice(None), stripe)
        out[index] = np.roll(patch[index], jump if n % 2 else -jump, 1 - axis)
    return out


def _add_noise(r: Random, patch: Canvas) -> Canvas:
    generator = np.random.default_rng(r.getrandbits(32))
    grain = r.choice([1, 1, 2, 3])
    h, w = patch.shape[:2]
    spots = generator.integers(0, 256, (h // grain + 1, w // grain + 1, 3)).astype(np.float32)
    noise = np.asarray(cv2.resize(spots, (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
    return patch * 0.4 + noise * 0.6


def _tint(r: Random, patch: Canvas) -> Canvas:
    color = r.choice(
        [(230, 40, 40), (40, 200, 60), (40, 60, 230), (230, 210, 30), (220, 40, 210), (30, 210, 220)]
    )
    return patch * 0.45 + np.array(color, np.float32) * 0.55


_PATCH_DEFECTS: dict[str, Callable[[Random, Canvas], Canvas]] = {
    "smeared": _smear,
    "warped": _warp,
    "cut": _cut,
    "noise": _add_noise,
    "tint": _tint,
}


def break_pixels(
    r: Random, kind: str, canvas: Canvas, background: Canvas, center: tuple[float, float], radius: float
) -> Canvas:
    """Damage a window near an object.

    Args:
        r: source of random numbers.
        kind: a defect of pixels except "fused".
        canvas: the finished canvas (H, W, 3); it is not changed.
        background: the canvas without objects, for "erased".
        center: x and y of the object in pixels.
        radius: radius of the object in pixels.

    Returns:
        A new canvas.
    """
    size = canvas.shape[0]
    scale = size / 224
    w, h = (int(r.uniform(max(26 * scale, radius * 0.8), max(46 * scale, radius * 1.7))) for _ in range(2))
    angle, offset = r.uniform(0, 2 * math.pi), r.uniform(0.2, 0.8) * radius
    x = min(max(int(center[0] + offset * math.cos(angle) - w / 2), 0), max(0, size - w))
    y = min(max(int(center[1] + offset * math.sin(angle) - h / 2), 0), max(0, size - h))
    out = canvas.copy()
    window = np.s_[y : y + h, x : x + w]
    out[window] = damage_patch(r, kind, canvas[window], background[window])
    return out


def damage_patch(r: Random, kind: str, patch: Canvas, background: Canvas) -> Canvas:
    """Return a damaged copy of a window.

    Args:
        r: source of random numbers.
        kind: a defect of pixels except "fused".
        patch: the window (h, w, 3).
        background: the same window without objects.
    """
    return background if kind == "erased" else _PATCH_DEFECTS[kind](r, patch)


def fuse_objects(
    r: Random,
    canvas: Canvas,
    a: tuple[float, float, float],
    b: tuple[float, float, float],
    colors: tuple[Canvas, Canvas],
) -> Canvas:
    """Join two objects by a bridge that blends their colours.

    Args:
        r: source of random numbers.
        canvas: the finished canvas (H, W, 3); it is not changed.
        a: x, y and radius of the first object in pixels.
        b: x, y and radius of the second object in pixels.
        colors: RGB of the two objects, each (3,).

    Returns:
        A new canvas.
    """
    out = canvas.copy()
    width = min(a[2], b[2]) * r.uniform(0.7, 1.0)
    gap = math.hypot(a[0] - b[0], a[1] - b[1])
    steps = 24
    for i in range(steps + 1):
        t = i / steps
        x, y = a[0] * (1 - t) + b[0] * t, a[1] * (1 - t) + b[1] * t
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
