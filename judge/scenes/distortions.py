"""Distortions of photographs with an exact strength: 0 is just visible, 1 ruins the image.

Between the two, the physical parameter (sigma, quality, stops of light, ...) follows a logarithmic scale, so
equal steps of strength look about equally large. A judge names the kind of a distortion; each kind has one or
more functions. The parameters suit images of about 500 to 800 pixels a side.

Every function takes the image, the strength (0 to 1) and a source of random numbers, and returns a new image
of the same size. Its docstring gives the parameter at strength 0 and at strength 1.
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
Distortion = Callable[[Pixels, float, np.random.Generator], Pixels]
"""(image, strength 0 to 1, source of random numbers) -> distorted image of the same size."""


def _interpolate(strength: float, first: float, last: float) -> float:
    """Interpolate between two values on a logarithmic scale."""
    return float(first * (last / first) ** strength)


def _to_pixels(values: NDArray[np.number]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def gaussian_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Blur with a Gaussian, sigma 0.6 to 6 pixels."""
    sigma = _interpolate(strength, 0.6, 6.0)
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)


def lens_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Blur with a disc of radius 1.2 to 10 pixels, like a lens that is out of focus."""
    radius = _interpolate(strength, 1.2, 10.0)
    at = np.arange(-math.ceil(radius), math.ceil(radius) + 1, dtype=np.float32)
    disc = np.clip(radius + 0.5 - np.hypot(at[:, None], at[None]), 0, 1)
    return cv2.filter2D(image, -1, disc / disc.sum()).astype(np.uint8)


def motion_blur(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Blur along a straight path of 3 to 36 pixels in a random direction."""
    length, angle = _interpolate(strength, 3.0, 36.0), r.uniform(0, math.pi)
    half = math.ceil(length / 2) + 1
    path = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 8 * half):
        x, y = half + t * math.cos(angle), half + t * math.sin(angle)
        left, top = int(x), int(y)
        path[top : top + 2, left : left + 2] += np.outer((top + 1 - y, y - top), (left + 1 - x, x - left))
    return cv2.filter2D(image, -1, path / path.sum()).astype(np.uint8)


def gaussian_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Add Gaussian noise to each channel, sigma 4 to 64 of 255."""
    sigma = _interpolate(strength, 4.0, 64.0)
    return _to_pixels(image + sigma * r.standard_normal(image.shape, dtype=np.float32))


def grain(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Add the same noise to all channels, sigma 4 to 56 of 255, slightly coarser than one pixel."""
    sigma = _interpolate(strength, 4.0, 56.0)
    noise = cv2.GaussianBlur(r.standard_normal(image.shape[:2], dtype=np.float32), (0, 0), 0.6)
    return _to_pixels(image + (sigma / noise.std() * noise)[..., None])


def shot_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Add Poisson noise; white is 1,200 to 6 photons."""
    photons = 1 / _interpolate(strength, 1 / 1200, 1 / 6)
    return _to_pixels(r.poisson(image / 255.0 * photons).astype(np.float32) / photons * 255)


def impulse_noise(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Set 0.4 % to 25 % of all pixels to black or white."""
    share = _interpolate(strength, 0.004, 0.25)
    chance = r.random(image.shape[:2], dtype=np.float32)
    out = image.copy()
    out[chance < share / 2], out[chance > 1 - share / 2] = 0, 255
    return out


def jpeg(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Compress as JPEG, quality 60 to 3."""
    return recompress(image, "JPEG", round(_interpolate(strength, 60, 3)))


def webp(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Compress as WebP, quality 40 to 0."""
    return recompress(image, "WEBP", round(_interpolate(strength, 41, 1)) - 1)


def recompress(image: Pixels, file_format: str, quality: int) -> Pixels:
    """Encode an image and decode it again.

    Args:
        image: (H, W, 3) uint8 RGB.
        file_format: "JPEG" or "WEBP".
        quality: 0 to 100, as Pillow takes it.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, file_format, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def banding(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Reduce each channel to 32 to 3 levels."""
    step = 255 / (_interpolate(strength, 32, 3) - 1)
    return _to_pixels(np.rint(image / step) * step)


def upscaled(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Reduce 1.5 to 9 times and enlarge again, smoothly or in squares."""
    height, width = image.shape[:2]
    times = _interpolate(strength, 1.5, 9.0)
    small = (max(8, round(width / times)), max(8, round(height / times)))
    back = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[r.integers(3)]
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=back).astype(np.uint8)


def overexposed(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Add 0.4 to 3.2 stops of light."""
    return _expose(image, _interpolate(strength, 0.4, 3.2))


def underexposed(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Remove 0.6 to 5 stops of light."""
    return _expose(image, -_interpolate(strength, 0.6, 5.0))


def _expose(image: Pixels, stops: float) -> Pixels:
    """Multiply the linear light by 2 ** stops (gamma 2.2)."""
    light = (np.arange(256) / 255.0) ** 2.2 * 2.0**stops
    return cv2.LUT(image, _to_pixels(255 * np.clip(light, 0, 1) ** (1 / 2.2))).astype(np.uint8)


def low_contrast(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Reduce the contrast around the mean to 75 % to 10 %."""
    contrast = _interpolate(strength, 0.75, 0.1)
    return _to_pixels(image * np.float32(contrast) + np.float32(image.mean() * (1 - contrast)))


def color_cast(image: Pixels, strength: float, r: np.random.Generator) -> Pixels:
    """Change the colour of the light: the channels differ by a factor of 1.12 to 3, the luma stays."""
    spread, hue = math.log(_interpolate(strength, 1.12, 3.0)), r.uniform(0, 2 * math.pi)
    angles = hue + np.array([0.0, 2.0, 4.0]) * math.pi / 3
    gains = np.exp(spread / math.sqrt(3) * np.cos(angles))
    gains /= gains @ np.array([0.299, 0.587, 0.114])
    return _to_pixels(image * gains.astype(np.float32))


DISTORTION_KINDS: dict[str, tuple[Distortion, ...]] = {
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
"""Kind, as a judge names it -> the functions that cause it."""
DISTORTIONS: dict[str, Distortion] = {
    function.__name__: function for functions in DISTORTION_KINDS.values() for function in functions
}
"""Name -> function."""


def kind_of_distortion(name: str) -> str:
    """Return the kind of a distortion; `name` is a key of `DISTORTIONS`."""
    return next(kind for kind, functions in DISTORTION_KINDS.items() if DISTORTIONS[name] in functions)
