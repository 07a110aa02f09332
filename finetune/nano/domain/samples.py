"""The images that the detector is fitted on, as arrays of its input size.

Every image has a number, and the number decides its kind and all of its random choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from finetune.nano.domain.drawings import PROGRAMS, draw_simple_scene
from finetune.nano.domain.other_images import Icons, change_photo, compress, draw_chart, draw_page
from finetune.photos.image_jobs import find_images
from judge.errors import InputError
from judge.evidence.drawings import resize_input
from judge.media.image import load_image
from judge.runtime.process_pool import create_process_pool
from judge.scenes.clips import draw_clip
from judge.scenes.large_scenes import draw_large_scene
from judge.scenes.scene import draw_scene
from judge.scenes.shifted_scenes import draw_shifted_scene

Pixels = NDArray[np.uint8]
Maker = Callable[[Random], Pixels]
SEEDS = 3_000_000_000
"""Drawing seeds of the fit start here; no other data set reaches them."""
DRAWING_SHARES = {"scene": 28, "clip": 8, "shifted": 2, "large": 1, "simple": 61}
"""Kind of drawing -> its share of all drawings."""
DRAWING_SIZES = (128, 128, 160, 224, 224, 336)
PROGRAM_SHARES = (4, 1, 4)
"""Shares of `drawings.PROGRAMS`; matplotlib takes long."""
OTHER_SHARES = {"photo": 46, "generated": 18, "icons": 20, "page": 10, "chart": 4, "noise": 2}
"""Kind of other image -> its share of all others."""


@dataclass(frozen=True)
class OtherSources:
    """Where images that are no drawings come from."""

    photos: Sequence[Path]
    generated: Sequence[Path]
    icons: Sequence[Path]
    """Files of Iconify."""


def find_sources(photos: Sequence[Path], generated: Sequence[Path], icons: Sequence[Path]) -> OtherSources:
    """List the images of folders.

    Args:
        photos: folders of photographs.
        generated: folders of images of generators.
        icons: files of Iconify.

    Raises:
        InputError: a folder has no image, or a file is missing.
    """
    for path in icons:
        if not path.is_file():
            mend = "it is icons.json in the npm package @iconify-json/NAME"
            raise InputError("icons", str(path), "a file of Iconify", mend)
    return OtherSources(find_images(photos), find_images(generated), list(icons))


def make_dataset(count: int, sources: OtherSources, seed: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """Make as many drawings as other images.

    Args:
        count: number of images of each of the two.
        sources: the other images.
        seed: seed of the data set.

    Returns:
        The images (2 * count, side, side, 3) as the network sees them, and whether each is a drawing.
    """
    jobs = [(seed, number, number % 2 == 0) for number in range(2 * count)]
    with create_process_pool() as pool:
        images = list(pool.map(partial(_make_image, sources), jobs, chunksize=16))
    return np.stack(images), np.array([is_drawing for _, _, is_drawing in jobs])


def _make_image(sources: OtherSources, job: tuple[int, int, bool]) -> Pixels:
    seed, number, is_drawing = job
    r = Random(f"{seed} {number}")
    pixels = _make_drawing(r, SEEDS + seed * 10_000_000 + number) if is_drawing else _make_other(r, sources)
    return resize_input(Image.fromarray(_change_little(r, pixels)))


def _make_drawing(r: Random, seed: int) -> Pixels:
    kind = r.choices(list(DRAWING_SHARES), list(DRAWING_SHARES.values()))[0]
    size = r.choice(DRAWING_SIZES)
    if kind == "scene":
        return draw_scene(seed, size).image
    if kind == "shifted":
        return draw_shifted_scene(seed, size).image
    if kind == "clip":
        return next(islice(draw_clip(seed, frames=8).frames, r.randrange(4), None))
    if kind == "large":
        image = draw_large_scene(seed, (900, 700)).image
        side = r.choice([250, 450, 700])
        x, y = r.randrange(901 - side), r.randrange(701 - side)
        return np.ascontiguousarray(image[y : y + side, x : x + side])
    pixels = draw_simple_scene(r, size, r.choices(PROGRAMS, PROGRAM_SHARES)[0])
    height, width = r.choice([(1, 1), (1, 1), (1, 0.75), (0.75, 1), (1, 0.56), (0.56, 1)])
    return np.ascontiguousarray(pixels[: round(height * size), : round(width * size)])


def _make_other(r: Random, sources: OtherSources) -> Pixels:
    kind = r.choices(list(OTHER_SHARES), list(OTHER_SHARES.values()))[0]
    if kind in ("photo", "generated"):
        path = r.choice(sources.photos if kind == "photo" else sources.generated)
        return change_photo(r, np.asarray(load_image(path).image))
    if kind == "icons":
        return _icons(r.choice(sources.icons)).draw(r, 224)
    if kind == "page":
        return draw_page(r, r.choice([224, 448, 720]))
    if kind == "chart":
        return draw_chart(r, r.choice([224, 360]))
    rng = np.random.default_rng(r.randrange(2**32))
    cells = r.choice([7, 28, 112, 224])
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
    return np.asarray(
        noise.resize((224, 224), r.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC]))
    )


_ICON_FILES: dict[Path, Icons] = {}


def _icons(path: Path) -> Icons:
    if path not in _ICON_FILES:
        _ICON_FILES[path] = Icons(path)
    return _ICON_FILES[path]


def _change_little(r: Random, pixels: Pixels) -> Pixels:
    """Change one image in four as files change on their way: JPEG, a frame, a cut, a line of text."""
    kind = r.choice(["none"] * 12 + ["jpeg", "frame", "cut", "text"])
    if kind == "jpeg":
        return compress(np.ascontiguousarray(pixels), r.randint(40, 95))
    if kind == "frame":
        width = r.randint(2, 24)
        color = r.choice([0, 255, r.randrange(256)])
        return np.pad(pixels, ((width, width), (width, width), (0, 0)), constant_values=color)
    if kind == "cut":
        top, left = (r.randrange(1 + side // 8) for side in pixels.shape[:2])
        return np.ascontiguousarray(pixels[top:, left:])
    if kind == "text":
        image = Image.fromarray(pixels)
        height = max(9, image.height // 22)
        pen = ImageDraw.Draw(image)
        y = r.choice([0, image.height - 2 * height])
        pen.rectangle((0, y, image.width, y + 2 * height), (245, 245, 245))
        text = "".join(r.choices("abcdefghijklmnopqrstuvwxyz     .:", k=image.width // (height // 2)))
        pen.text((4, y + height // 2), text, (20, 20, 20), ImageFont.load_default(height))
        return np.asarray(image)
    return pixels
