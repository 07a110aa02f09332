"""A photograph with distortions: of the whole, of one or two areas, or none; the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.distortions import KINDS, MAKERS, Pixels, kind_of

Box = tuple[float, float, float, float]
LOCAL = ("blur", "motion blur", "noise", "compression", "upscaled", "color cast")
"""Kinds that areas get; the others can hardly be told from what a photograph shows."""
SHARES = (0.14, 0.5, 0.28, 0.08)
"""Of pictures: with nothing wrong, the whole, an area or two, both."""


@dataclass(frozen=True)
class Spot:
    """A distorted area."""

    kind: str
    strength: float
    """0 (just visible) to 1 (ruinous)."""
    box: Box
    """x1, y1, x2, y2 in shares (0..1) of width and height."""


@dataclass(frozen=True)
class Truth:
    """What was done to a photograph."""

    kind: str = "none"
    """Of the whole picture."""
    maker: str = ""
    strength: float = 0.0
    spots: tuple[Spot, ...] = field(default=())

    @property
    def quality(self) -> float:
        """1 (worst) to 5 (untouched): each distortion leaves a share, by its strength and, for an area, the
        square root of what it covers; being visible at all costs 0.4."""
        losses = [_loss(self.strength)] if self.kind != "none" else [0.0]
        for spot in self.spots:
            x1, y1, x2, y2 = spot.box
            losses.append(_loss(spot.strength) * (0.3 + 0.7 * math.sqrt((x2 - x1) * (y2 - y1))))
        left = np.prod([1 - loss for loss in losses])
        return float(1 + 4 * left)


def _loss(strength: float) -> float:
    return 0.1 + 0.9 * strength


def distort(image: Pixels, seed: int, shares: Sequence[float] = SHARES) -> tuple[Pixels, Truth]:
    """Distort a pristine photograph by chance.

    Args:
        image: (H, W, 3) uint8 RGB.
        seed: the same seed, the same picture.
        shares: chances of nothing, of the whole, of areas, of both.

    Returns:
        The picture and what was done to it.
    """
    r = np.random.default_rng(seed)
    what = r.choice(4, p=np.array(shares) / sum(shares))
    kind, maker, strength = "none", "", 0.0
    if what in (1, 3):
        kind = str(r.choice(list(KINDS)))
        maker = str(r.choice([make.__name__ for make in KINDS[kind]]))
        strength = float(r.random())
        image = MAKERS[maker](image, strength, r)
    spots: list[Spot] = []
    if what in (2, 3):
        for _ in range(1 if r.random() < 0.75 else 2):
            image, spot = _spotted(image, r)
            if all(_apart(spot.box, other.box) for other in spots):
                spots.append(spot)
            else:
                spots = [*spots[:-1], _merged(spots[-1], spot)]
    return image, Truth(kind, maker, strength, tuple(sorted(spots, key=lambda s: -s.strength)))


def whole(image: Pixels, maker: str, strength: float, seed: int) -> tuple[Pixels, Truth]:
    """Distort the whole photograph in one way and strength."""
    distorted = MAKERS[maker](image, strength, np.random.default_rng(seed))
    return distorted, Truth(kind_of(maker), maker, strength)


def _spotted(image: Pixels, r: np.random.Generator) -> tuple[Pixels, Spot]:
    """Distort a rectangle or an ellipse with a soft edge."""
    height, width = image.shape[:2]
    w, h = (r.uniform(0.2, 0.6) for _ in range(2))
    x, y = r.uniform(0, 1 - w), r.uniform(0, 1 - h)
    kind = str(r.choice(LOCAL))
    maker = str(r.choice([make.__name__ for make in KINDS[kind]]))
    strength = float(r.uniform(0.2, 1))
    mask = np.zeros((height, width), np.float32)
    left, top, right, bottom = x * width, y * height, (x + w) * width, (y + h) * height
    if r.random() < 0.5:
        mask[int(top) : int(bottom), int(left) : int(right)] = 1
    else:
        centre = (round((left + right) / 2), round((top + bottom) / 2))
        cv2.ellipse(mask, centre, (round(w * width / 2), round(h * height / 2)), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), r.uniform(0.8, 4))[..., None]
    mixed = soft * MAKERS[maker](image, strength, r) + (1 - soft) * image
    return np.rint(mixed).astype(np.uint8), Spot(kind, strength, (x, y, x + w, y + h))


def _apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def _merged(a: Spot, b: Spot) -> Spot:
    """Two areas that overlap, as the stronger one's kind over both."""
    stronger = a if a.strength >= b.strength else b
    lows, highs = zip(a.box[:2], b.box[:2], strict=True), zip(a.box[2:], b.box[2:], strict=True)
    (x1, y1), (x2, y2) = map(min, lows), map(max, highs)
    return Spot(stronger.kind, stronger.strength, (x1, y1, x2, y2))


def read_rgb(path: str) -> NDArray[np.uint8]:
    """A picture file as (H, W, 3) uint8 RGB. Raises `ValueError` when it cannot be read."""
    found = cv2.imread(path, cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError(f"{path}: no picture can be read")
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB).astype(np.uint8)
