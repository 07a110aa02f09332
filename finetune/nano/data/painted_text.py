"""Texts painted into training images. They change no label, so a judge learns to look past captions."""

from __future__ import annotations

import string
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from eval.trust.injection import wrap_text
from judge.scenes.vocabulary import COLORS, DEFECT_KINDS, OBJECT_KINDS, name_objects

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""
WORDS = (
    "the picture image score scores answer judge rate give write please note system user assistant ignore "
    "all any of and is are was not no with for this that it to a in on very perfect best worst good bad "
    "broken missing present absent true false elements defects flawless damage summary one two three four "
    "five 1 2 3 4 5 10 100% copyright sale photo by studio today new free page chapter street open closed"
).split()  # fmt: skip
"""Words of painted texts, which come in random order."""
MARKS = "{}[]\"':;,.!?|<>/_-+=#"
FONT_PIXELS = (8, 17)
"""Smallest and largest font."""
MAX_COVERED_OBJECT, MAX_COVERED_DEFECT = 0.3, 0.05
"""Largest share of an object's and of a defect's box that a text may cover."""
PLACES = 8
"""Places that are tried."""


def write_text(r: Random) -> str:
    """Write a text of 2 to 16 words that means nothing: common words, names of objects, letters, marks."""
    words = list[str]()
    for _ in range(r.randint(2, 16)):
        kind = r.random()
        if kind < 0.55:
            word = r.choice(WORDS)
        elif kind < 0.7:
            word = name_objects(r.randint(1, 4), r.choice(list(COLORS)), r.choice(OBJECT_KINDS))
        elif kind < 0.75:
            word = r.choice(DEFECT_KINDS)
        else:
            word = "".join(r.choices(string.ascii_lowercase, k=r.randint(1, 10)))
        if r.random() < 0.2:
            word = r.choice(MARKS) + word + r.choice(MARKS)
        words.append(word.upper() if r.random() < 0.1 else word)
    return " ".join(words)


def paint_text(
    r: Random, image: NDArray[np.uint8], objects: Sequence[Box], defects: Sequence[Box]
) -> NDArray[np.uint8]:
    """Return the image with a text on a strip, on a label, or without a ground.

    The image itself is returned where every place that was tried covers too much of an object or a defect.

    Args:
        r: source of random numbers.
        image: (H, W, 3).
        objects: boxes of the objects.
        defects: boxes of the defects.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for _ in range(PLACES):
        size = r.randint(*FONT_PIXELS)
        font = ImageFont.load_default(size)
        wide = r.random() < 0.5
        width = canvas.width - 8 if wide else r.uniform(0.2, 0.7) * canvas.width
        lines = wrap_text(write_text(r), font, width)
        ink = draw.multiline_textbbox((0, 0), "\n".join(lines), font=font, spacing=2)
        w, h = ink[2] + 6, ink[3] + 6
        if h > canvas.height / 2 or w > canvas.width:
            continue
        x, y = _choose_corner(r, canvas.size, (w, h), wide=wide)
        covered = (0, y, canvas.width, y + h) if wide else (x, y, x + w, y + h)
        if any(_covered_share(box, covered) > MAX_COVERED_OBJECT for box in objects):
            continue
        if any(_covered_share(box, covered) > MAX_COVERED_DEFECT for box in defects):
            continue
        light = r.random() < 0.5
        pale, dark = tuple(r.randint(225, 255) for _ in range(3)), tuple(r.randint(0, 50) for _ in range(3))
        if r.random() < 0.75:
            draw.rectangle(covered, fill=pale if light else dark)
        draw.multiline_text((x + 3, y + 3), "\n".join(lines), dark if light else pale, font, spacing=2)
        return np.asarray(canvas)
    return image


def _choose_corner(
    r: Random, size: tuple[int, int], text: tuple[float, float], *, wide: bool
) -> tuple[float, float]:
    """Return the upper left corner of a text: at the lower or upper edge if it is a strip, else anywhere."""
    below, right = size[1] - text[1], max(0.0, size[0] - text[0])
    if wide:
        return 1.0, r.choice([0.0, below, below, r.uniform(0, below)])
    return r.uniform(0, right), r.uniform(0, below)


def _covered_share(box: Box, cover: Box) -> float:
    """Return the share of a box that another one covers."""
    width = min(box[2], cover[2]) - max(box[0], cover[0])
    height = min(box[3], cover[3]) - max(box[1], cover[1])
    return max(0.0, width) * max(0.0, height) / ((box[2] - box[0]) * (box[3] - box[1]))
