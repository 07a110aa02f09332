"""Distortions of photographs with an exact strength: 0 is just visible, 1 is ruinous.

Between the two the physical parameter (sigma, quality, stops of light, ...) runs on a logarithmic scale, so
that equal steps of strength look about equally large. Kinds are what a judge names; each comes about in one
or more ways. Parameters are for pictures of about 500 to 800 pixels a side.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Maker = Callable[[Pixels, float, np.random.Generator], Pixels]
"""picture, strength 0..1, source of chance -> distorted picture of the same size."""


def _between(strength: float, least: float, most: float) -> float:
    return float(least * (most / least) ** strength)


def _pixels(values: NDArray[np.number]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def gaussian_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Sigma 0.6 to 6 pixels."""
    sigma = _between(strength, 0.6, 6.0)
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)


def lens_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """A disc of radius 1.2 to 10 pixels, as an aperture out of focus leaves."""
    radius = _between(strength, 1.2, 10.0)
    at = np.arange(-math.ceil(radius), math.ceil(radius) + 1, dtype=np.float32)
    disc = np.clip(radius + 0.5 - np.hypot(at[:, None], at[None]), 0, 1)
    return cv2.filter2D(image, -1, disc / disc.sum()).astype(np.uint8)


def motion_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """A straight path of 3 to 36 pixels in any direction."""
    length, angle = _between(strength, 3.0, 36.0), r.uniform(0, math.pi)
    half = math.ceil(length / 2) + 1
    path = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 8 * half):
        x, y = half + t * math.cos(angle), half + t * math.sin(angle)
        left, top = int(x), int(y)
        path[top : top + 2, left : left + 2] += np.outer((top + 1 - y, y - top), (left + 1 - x, x - left))
    return cv2.filter2D(image, -1, path / path.sum()).astype(np.uint8)


def gaussian_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Sigma 4 to 64 of 255 in each channel."""
    sigma = _between(strength, 4.0, 64.0)
    return _pixels(image + sigma * r.standard_normal(image.shape, dtype=np.float32))


def grain(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """The same noise in all channels, sigma 4 to 56, a little coarser than a pixel."""
    sigma = _between(strength, 4.0, 56.0)
    noise = cv2.GaussianBlur(r.standard_normal(image.shape[:2], dtype=np.float32), (0, 0), 0.6)
    return _pixels(image + (sigma / noise.std() * noise)[..., None])


def shot_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Poisson noise: white is 1,200 to 6 photons."""
    photons = 1 / _between(strength, 1 / 1200, 1 / 6)
    return _pixels(r.poisson(image / 255.0 * photons).astype(np.float32) / photons * 255)


def impulse_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """0.4 % to 25 % of all pixels are black or white."""
    share = _between(strength, 0.004, 0.25)
    chance = r.random(image.shape[:2], dtype=np.float32)
    out = image.copy()
    out[chance < share / 2], out[chance > 1 - share / 2] = 0, 255
    return out


def jpeg(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Quality 60 to 3."""
    return encoded(image, "JPEG", round(_between(strength, 60, 3)))


def webp(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Quality 40 to 0."""
    return encoded(image, "WEBP", round(_between(strength, 41, 1)) - 1)


def encoded(image: Pixels, coding: str, quality: int) -> Pixels:
    """A picture as it comes back from a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, coding, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def banding(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """32 to 3 levels a channel."""
    step = 255 / (_between(strength, 32, 3) - 1)
    return _pixels(np.rint(image / step) * step)


def upscaled(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Reduced 1.5 to 9 times and enlarged again, smoothly or in squares."""
    height, width = image.shape[:2]
    times = _between(strength, 1.5, 9.0)
    small = (max(8, round(width / times)), max(8, round(height / times)))
    back = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[r.integers(3)]
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=back).astype(np.uint8)


def overexposed(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """0.4 to 3.2 stops too much light."""
    return _exposed(image, _between(strength, 0.4, 3.2))


def underexposed(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """0.6 to 5 stops too little light."""
    return _exposed(image, -_between(strength, 0.6, 5.0))


def _exposed(image: Pixels, stops: float) -> Pixels:
    light = (np.arange(256) / 255.0) ** 2.2 * 2.0**stops
    return cv2.LUT(image, _pixels(255 * np.clip(light, 0, 1) ** (1 / 2.2))).astype(np.uint8)


def low_contrast(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Contrast down to 75 % to 10 % of what it was, around the mean."""
    keep = _between(strength, 0.75, 0.1)
    return _pixels(image * np.float32(keep) + np.float32(image.mean() * (1 - keep)))


def color_cast(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Light of another colour: channels apart by a factor of 1.12 to 3, luma kept."""
    apart, hue = math.log(_between(strength, 1.12, 3.0)), r.uniform(0, 2 * math.pi)
    angles = hue + np.array([0.0, 2.0, 4.0]) * math.pi / 3
    gains = np.exp(apart / math.sqrt(3) * np.cos(angles))
    gains /= gains @ np.array([0.299, 0.587, 0.114])
    return _pixels(image * gains.astype(np.float32))


KINDS: dict[str, tuple[Maker, ...]] = {
    "blur": (gaussian_blur, lens_blur),
    "motion blur": (motion_blur,),
    "noise": (gaussian_noise, grain, shot_noise, impulse_noise),
    "compression": (jpeg, webp),
    "banding": (banding,),
    "upscaled": (upscaled,),
    "overexposed": (overexposed,),
    "underexposed": (underexposed,),
    "low contrast": (low_contrast,),
    "color cast": (color_cast,),
}
"""What a judge calls it -> how it may come about."""
MAKERS: dict[str, Maker] = {maker.__name__: maker for makers in KINDS.values() for maker in makers}


def kind_of(maker: str) -> str:
    """The kind that a way of distorting belongs to."""
    return next(kind for kind, makers in KINDS.items() if MAKERS[maker] in makers)
