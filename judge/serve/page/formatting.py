"""Small pieces of HTML: escaped text, sentences, numbers, bars, boxes and images.

Prompts, elements, names, explanations, reasons and notes are written by somebody else. `escape_text` is the
only way in which they enter the page.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from judge.explain.plain_text import to_plain_text
from judge.types import Box

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 1600
"""Longer side in pixels of an image on the page; larger images are reduced."""
MAX_PNG_PIXELS = 300_000
"""Images up to this many pixels are sent as PNG, larger ones as JPEG."""
REGION_COLORS = 6
"""Number of region colours in page.css. The seventh region has the first colour again, but its own number."""


def escape_text(text: object) -> str:
    """Escape text for HTML, and remove characters that hide or reorder others."""
    return escape(to_plain_text(str(text)))


def as_sentence(text: str, *, capital: bool = True) -> str:
    """Give notes and reasons a full stop at the end and, with `capital`, a capital letter at the start."""
    text = text.strip()
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?", "…")) or not text else f"{text}."


def format_percent(share: float) -> str:
    """Format a share (0 to 1) in whole percent; shares near 0 and 1 become "<1 %" and ">99 %"."""
    if 0 < share < 0.005:
        return "&lt;1 %"
    if 0.995 < share < 1:
        return "&gt;99 %"
    return f"{share * 100:.0f} %"


def format_seconds(seconds: float) -> str:
    """Format a time in milliseconds or seconds."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def bar(share: float) -> str:
    """Draw a share (0 to 1) as a bar. Its number is always shown too, so screen readers skip the bar."""
    return f'<span class="j-bar" aria-hidden="true"><span style="width:{share * 100:.1f}%"></span></span>'


def region_color(index: int) -> str:
    """Return the CSS class with the colour of a region."""
    return f"j-c{index % REGION_COLORS}"


def box_style(box: Box, size: tuple[int, int]) -> str:
    """Return the position of a box on an image as CSS.

    Args:
        box: left, top, right, bottom in pixels.
        size: width and height of the image in pixels.
    """
    x1, y1, x2, y2 = to_percent(box, size)
    return f"left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%"


def to_percent(box: Box, size: tuple[int, int]) -> Box:
    """Convert a box from pixels to percent of the image's sides, clipped to the image, its sides in order."""
    x1, x2 = sorted(min(max(x / size[0] * 100, 0.0), 100.0) for x in (box[0], box[2]))
    y1, y2 = sorted(min(max(y / size[1] * 100, 0.0), 100.0) for y in (box[1], box[3]))
    return x1, y1, x2, y2


def image_url(image: Image.Image) -> str:
    """Encode an image as a `data:` URL that every browser shows, reduced to `MAX_SIDE`."""
    image = image.convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    kind = "png" if image.width * image.height <= MAX_PNG_PIXELS else "jpeg"
    file = io.BytesIO()
    image.save(file, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
