"""Pillow's font at the sizes of one drawing, and texts fitted to a width.

Only Pillow's own font is used. Its glyphs are ASCII, so accents are dropped and other scripts become "?".
"""

from __future__ import annotations

import unicodedata

from PIL import ImageFont

from judge.explain.plain_text import to_plain_text

SMALL_TEXT, NORMAL_TEXT, LARGE_TEXT = 0.85, 1.0, 2.2
"""Font sizes in units of the drawing."""


class TextWriter:
    """Measures and fits texts of one drawing.

    Args:
        unit: size of the normal font in pixels; other measures of the drawing are multiples of it.
    """

    def __init__(self, unit: int) -> None:
        self.unit = unit
        sizes = (SMALL_TEXT, NORMAL_TEXT, LARGE_TEXT)
        self.fonts = {size: ImageFont.load_default(round(unit * size)) for size in sizes}
        self._missing_glyph = bytes(self.fonts[NORMAL_TEXT].getmask("\uffff"))
        self._has_glyph_cache: dict[str, bool] = {}

    def to_drawable(self, text: str) -> str:
        """Return the text in characters that the font has; others become "?"."""
        text = unicodedata.normalize("NFKD", to_plain_text(text).replace("…", "...").replace("—", "-"))
        return "".join(c if self._has_glyph(c) else "?" for c in text if not unicodedata.combining(c))

    def _has_glyph(self, char: str) -> bool:
        if char not in self._has_glyph_cache:
            glyph = bytes(self.fonts[NORMAL_TEXT].getmask(char))
            is_drawable = char.isprintable() and glyph != self._missing_glyph
            self._has_glyph_cache[char] = char == " " or is_drawable
        return self._has_glyph_cache[char]

    def width(self, text: str, size: float = NORMAL_TEXT) -> float:
        """Return the width of a text in pixels."""
        return self.fonts[size].getlength(text)

    def cut(self, text: str, max_width: float, size: float = NORMAL_TEXT) -> str:
        """Return the text, shortened with dots to `max_width` pixels."""
        text = self.to_drawable(text)
        if self.width(text, size) <= max_width:
            return text
        while text and self.width(f"{text}...", size) > max_width:
            text = text[:-1]
        return f"{text.rstrip()}..." if text.rstrip() else ""

    def wrap(self, text: str, max_width: float, size: float = NORMAL_TEXT, max_lines: int = 3) -> list[str]:
        """Break a text into lines.

        Args:
            text: any text.
            max_width: width of a line in pixels.
            size: font size in units.
            max_lines: maximum number of lines; the last one is cut with dots.
        """
        words, lines = self.to_drawable(text).split(), list[str]()
        while words and len(lines) < max_lines - 1:
            count = 1
            while count < len(words) and self.width(" ".join(words[: count + 1]), size) <= max_width:
                count += 1
            lines.append(self.cut(" ".join(words[:count]), max_width, size))
            words = words[count:]
        return [*lines, self.cut(" ".join(words), max_width, size)] if words else lines
