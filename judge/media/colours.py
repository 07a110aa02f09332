"""Colours of decoded images: every mode and colour profile becomes 8-bit sRGB.

A colour profile (ICC) says which colours the numbers of an image stand for. Images with the profile of sRGB
stay as they are, bit by bit; so do images without one, which are sRGB by convention. All others are converted
by LittleCMS, through Pillow, with the relative colorimetric intent and black point compensation: colours that
sRGB has stay exact, and white and black stay white and black. The perceptual intent would change colours that
sRGB has as well, by a table that each maker of a profile designs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

SAME_LEVELS = 2
"""A profile is taken for that of sRGB if it changes no colour by more than this many of 255 levels: the sRGB
profiles in use differ by rounding."""
MAX_PROFILE_BYTES = 8 << 20
_GRID_STEPS = 9
_BLOCK_PIXELS = 1 << 18
"""Pixels of deep grey that are converted at once."""
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of a profile, ICC.1:2022 table 19 -> mode of Pillow."""


def convert_to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Return a decoded image in sRGB, opaque, with 8 bits.

    Args:
        image: an image of any mode.
        notes: what the reader of a verdict should know is appended.
    """
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I") or image.mode == "F":
        image, has_white = _reduce_deep_grey(image, notes)
        profile = profile if has_white else b""
    layer = _to_plain_mode(image)
    alpha = layer.getchannel("A") if layer.mode in ("LA", "RGBA") else None
    colours = layer if alpha is None else layer.convert("L" if layer.mode == "LA" else "RGB")
    rgb = _to_srgb(colours, profile, notes)
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb
    notes.append("transparent parts shown on white")
    rgb.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """Return an image in one of the modes L, LA, RGB, RGBA, CMYK and LAB."""
    if image.mode == "La":
        return image.convert("LA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert an opaque image of mode L, RGB, CMYK or LAB by its profile, if it has one."""
    if image.mode == "LAB":
        return _apply(_lab_transform(), image)
    if profile:
        try:
            mode, name, transform = _srgb_transform(profile)
            if mode != image.mode and not (mode == "RGB" and image.mode == "L"):
                notes.append(f"the colour profile was not used: it is for {mode}, the image has {image.mode}")
            elif transform is None:
                return image.convert("RGB")
            else:
                converted = _apply(transform, image.convert(mode))
                notes.append(f"colours converted to sRGB from the profile {name}")
                return converted
        except Exception:  # LittleCMS may raise anything on hostile profiles
            notes.append("the colour profile is unreadable: colours taken as sRGB")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB without a colour profile")
    return image.convert("RGB")


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    if image.mode == "L":
        # All levels once, then a table: without its shortcuts, which are exact only to ten levels of dark
        # grey, LittleCMS is slow.
        levels = np.asarray(transform.apply(_grey_levels()))[0]
        return Image.merge("RGB", [image.point(levels[:, channel].tolist()) for channel in range(3)])
    converted = transform.apply(image)
    converted.info.pop("icc_profile", None)
    return converted


@lru_cache(maxsize=16)
def _srgb_transform(profile: bytes) -> tuple[str, str, ImageCms.ImageCmsTransform | None]:
    """Return the mode a profile is for, its name, and the transform to sRGB; None for sRGB itself.

    Raises:
        Exception: the profile cannot be read or used.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        raise ValueError("the profile is too large")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _MODE_OF_SPACE[source.profile.xcolor_space.strip()]
    transform = _build_transform(source, mode)
    grid = _colour_grid(mode)
    if grid is not None:
        before = np.asarray(grid.convert("RGB"), np.int16)
        after = np.asarray(transform.apply(grid), np.int16)
        if np.abs(after - before).max() <= SAME_LEVELS:
            return mode, "", None
    name = "".join(mark for mark in ImageCms.getProfileDescription(source) if mark.isprintable()).strip()
    return mode, name[:40] or "without a name", transform


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return _build_transform(ImageCms.createProfile("LAB"), "LAB")


def _build_transform(source: object, mode: str) -> ImageCms.ImageCmsTransform:
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if mode == "L":
        flags |= ImageCms.Flags.NOOPTIMIZE
    return ImageCms.buildTransform(
        source,  # type: ignore[arg-type]
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags,
    )


def _colour_grid(mode: str) -> Image.Image | None:
    """Return an image with colours from the whole space; None for CMYK, which is never sRGB."""
    if mode == "L":
        return _grey_levels()
    if mode != "RGB":
        return None
    steps = np.linspace(0, 255, _GRID_STEPS).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(colours)


def _grey_levels() -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint8)[None])


def _reduce_deep_grey(image: Image.Image, notes: list[str]) -> tuple[Image.Image, bool]:
    """Reduce grey of more than 8 bits. Pillow's own conversion clips it to white.

    Returns:
        The image in mode L, and whether the format defines which value is white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        notes.append("16-bit grey reduced to 8 bits")
        levels = np.round(np.arange(65536) / 65535.0 * 255.0).astype(np.uint8)
        return _map_rows(image, lambda values: levels[np.clip(values, 0, 65535)]), True
    # No value is defined as white for 32-bit and float images, so their own range is shown.
    notes.append("32-bit grey stretched from its darkest to its brightest value")
    extremes = [(float(rows.min()), float(rows.max())) for rows in map(_to_finite, _iterate_rows(image))]
    low, high = min(pair[0] for pair in extremes), max(pair[1] for pair in extremes)
    width = max(high - low, 1e-12)

    def stretch(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        grey = np.clip((_to_finite(values) - low) / width, 0.0, 1.0)
        return np.round(grey * 255.0).astype(np.uint8)

    return _map_rows(image, stretch), False


def _to_finite(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return values as 64-bit floats, with 0 for infinity and whatever is no number."""
    with np.errstate(all="ignore"):  # float files may hold signalling NaNs, which casts report
        values = values.astype(np.float64)
    finite: np.ndarray[Any, Any] = np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def _iterate_rows(image: Image.Image) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the pixels of an image as arrays of a few rows, so that no array is as large as the image."""
    step = max(1, _BLOCK_PIXELS // image.width)
    for top in range(0, image.height, step):
        yield np.asarray(image.crop((0, top, image.width, min(top + step, image.height))))


def _map_rows(
    image: Image.Image, function: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> Image.Image:
    """Return an image in mode L whose pixels a function gives for those of an image, a few rows at a time."""
    grey, top = np.empty((image.height, image.width), np.uint8), 0
    for rows in _iterate_rows(image):
        grey[top : top + len(rows)] = function(rows)
        top += len(rows)
    return Image.fromarray(grey)
