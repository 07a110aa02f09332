"""A verdict for people: drawn on its picture, or printed in a terminal.

The overlay never covers the picture with text panels: boxes and their tags are drawn on it, the score,
the elements and the explanations stand on a strip of their own below, so that they can be read on any
picture. Small pictures are enlarged first, very large ones reduced. Heat maps, where the verdict has
them, stand between the two, each over the picture and with its box.
Only Pillow's own font is used; its glyphs are ASCII, so accents are dropped and other scripts become "?".
"""

from __future__ import annotations

import unicodedata
from typing import Any

from PIL import Image, ImageDraw, ImageFont, features

from judge.errors import InputError
from judge.media import image as media
from judge.types import Box, Defect, Verdict

SMALL = 640
"""Pictures whose longer side has fewer pixels are enlarged to about this before anything is drawn."""
LARGE = 4096
"""Pictures whose longer side has more pixels are reduced to this."""
_ACROSS = 4
"""Heat maps side by side."""
_NARROW = 480
"""The strip with the text is at least this wide, whatever the picture."""

_COLORS = ((255, 82, 82), (255, 193, 7), (64, 196, 255), (105, 240, 174), (234, 128, 252), (255, 145, 64))
_PAPER, _INK, _FAINT = (24, 26, 30), (240, 242, 245), (158, 165, 175)
_GOOD, _BAD = (92, 214, 128), (255, 105, 97)


def overlay(verdict: Verdict, image: Any = None) -> Image.Image:
    """Draw boxes, kinds, elements and score.

    Args:
        verdict: scored or unscored; an unscored one shows its reason.
        image: the picture as `Sample.image` takes it; default: the one the verdict kept.

    Returns:
        A new RGB picture: the picture, enlarged if its longer side is under 640 pixels and reduced if it
        is over 4096, above a strip of text.

    Raises:
        InputError: no picture was kept and none is given, or it is not the size that was judged.
        MediaError: `image` cannot be read.
    """
    source = _picture(verdict, image)
    if not features.check("freetype2"):
        raise InputError("pillow", "built without FreeType", "Pillow with FreeType", "install Pillow's wheel")
    shown, zoom = _resized(source)
    page = max(shown.width, _NARROW)
    unit = max(13, round(min(page, max(shown.height, page // 2)) / 42))
    pen = _Pen(unit)
    colored = list(zip(verdict.defects, (_color(i) for i in range(len(verdict.defects))), strict=True))
    maps = _heat_maps(verdict, shown, zoom, pen, page) if verdict.heat else None
    for defect, color in colored:
        _draw_box(shown, _scaled(defect.box, zoom, shown.size), color, unit)
    taken: list[Box] = []
    for number, (defect, color) in enumerate(colored, 1):
        _draw_tag(shown, pen, _scaled(defect.box, zoom, shown.size), f"{number} {defect.kind}", color, taken)
    parts = [shown, *([maps] if maps else []), _strip(verdict, pen, page)]
    canvas, top = Image.new("RGB", (page, sum(part.height for part in parts)), _PAPER), 0
    for part in parts:
        canvas.paste(part, ((page - part.width) // 2, top))
        top += part.height
    return canvas


def plain(text: str) -> str:
    """Text that a terminal or a drawing takes as text: control and formatting characters become spaces."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join("".join(kept).split())


def _picture(verdict: Verdict, image: Any) -> Image.Image:
    source = verdict._image if image is None else image
    if callable(source):
        source = source()
    if source is None:
        mend = "a verdict read from JSON keeps no picture: pass overlay(image=...)"
        raise InputError("image", None, "the picture that was judged", mend)
    picture = media.load(source)
    size = (picture.width, picture.height)
    if verdict.size is not None and verdict.size != size:
        judged = "{} x {} pixels".format(*verdict.size)
        raise InputError("image", "{} x {}".format(*size), judged, "pass the picture that was judged")
    return picture.image


def _resized(source: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """A copy that is neither tiny nor huge, and shown pixels per original pixel in x and y."""
    longer = max(source.size)
    if longer < SMALL:
        times = -(-SMALL // longer)
        # The pixels of an icon are what there is to see; a larger picture only looks blocky.
        how = Image.Resampling.NEAREST if longer < SMALL // 4 else Image.Resampling.BICUBIC
        shown = source.resize((source.width * times, source.height * times), how)
    elif longer > LARGE:
        size = [max(1, round(side * LARGE / longer)) for side in source.size]
        shown = source.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    else:
        shown = source.copy()
    return shown.convert("RGB"), (shown.width / source.width, shown.height / source.height)


def _scaled(box: Box, zoom: tuple[float, float], size: tuple[int, int]) -> Box:
    """A box in shown pixels, its sides inside the picture and in order."""
    x1, x2 = sorted(min(max(x * zoom[0], 0), size[0]) for x in (box[0], box[2]))
    y1, y2 = sorted(min(max(y * zoom[1], 0), size[1]) for y in (box[1], box[3]))
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def _color(number: int) -> tuple[int, int, int]:
    return _COLORS[number % len(_COLORS)]


class _Pen:
    """Pillow's own font at the sizes of one drawing, and what can be written with it."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.fonts = {size: ImageFont.load_default(round(unit * size)) for size in (0.85, 1.0, 2.2)}
        self._missing = bytes(self._font(1.0).getmask("\uffff"))
        self._known: dict[str, bool] = {}

    def _font(self, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return self.fonts[size]

    def written(self, text: str) -> str:
        """The text in characters that the font has."""
        text = unicodedata.normalize("NFKD", plain(text).replace("…", "...").replace("—", "-"))
        return "".join(c if self._has(c) else "?" for c in text if not unicodedata.combining(c))

    def _has(self, char: str) -> bool:
        if char not in self._known:
            shape = bytes(self._font(1.0).getmask(char))
            self._known[char] = char == " " or (char.isprintable() and shape != self._missing)
        return self._known[char]

    def width(self, text: str, size: float = 1.0) -> float:
        return self._font(size).getlength(text)

    def cut(self, text: str, room: float, size: float = 1.0) -> str:
        """The text, shortened with dots to `room` pixels."""
        text = self.written(text)
        if self.width(text, size) <= room:
            return text
        while text and self.width(f"{text}...", size) > room:
            text = text[:-1]
        return f"{text.rstrip()}..." if text.rstrip() else ""

    def wrap(self, text: str, room: float, size: float = 1.0, lines: int = 3) -> list[str]:
        """The text in at most `lines` lines of `room` pixels; what is left over is cut with dots."""
        words, out = self.written(text).split(), list[str]()
        while words and len(out) < lines - 1:
            count = 1
            while count < len(words) and self.width(" ".join(words[: count + 1]), size) <= room:
                count += 1
            out.append(self.cut(" ".join(words[:count]), room, size))
            words = words[count:]
        return [*out, self.cut(" ".join(words), room, size)] if words else out


def _draw_box(shown: Image.Image, box: Box, color: tuple[int, int, int], unit: int) -> None:
    """A coloured frame between a dark and a light line, so that it stands out on any ground."""
    draw = ImageDraw.Draw(shown)
    x1, y1, x2, y2 = (round(v) for v in box)
    thick = max(2, unit // 7)
    edge = max(1, thick // 2)
    for grow, width, line in ((thick, edge, (255, 255, 255)), (edge, edge, (0, 0, 0)), (0, thick, color)):
        frame = (x1 - grow, y1 - grow, max(x1, x2 - 1) + grow, max(y1, y2 - 1) + grow)
        draw.rectangle(frame, outline=line, width=width)


def _draw_tag(
    shown: Image.Image, pen: _Pen, box: Box, text: str, color: tuple[int, int, int], taken: list[Box]
) -> None:
    """The defect's number and kind on a filled tag at its box; tags keep off each other where they can."""
    pad = pen.unit // 4
    label = pen.cut(text, max(1, shown.width - 2 * pad), 0.85)
    width, height = round(pen.width(label, 0.85)) + 2 * pad, round(pen.unit * 1.25)
    x = min(max(0, round(box[0])), max(0, shown.width - width))
    spots = [round(box[1]) - height - pad, round(box[3]) + pad, round(box[1]) + pad]
    spots += [spots[0] - height, spots[1] + height]
    inside = [y for y in spots if 0 <= y <= shown.height - height] or [0]
    free = [y for y in inside if not any(_meet((x, y, x + width, y + height), other) for other in taken)]
    y = (free or inside)[0]
    taken.append((x, y, x + width, y + height))
    draw = ImageDraw.Draw(shown)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color, outline=(0, 0, 0))
    draw.text((x + pad, y + height / 2), label, fill=(0, 0, 0), font=pen.fonts[0.85], anchor="lm")


def _heat_maps(
    verdict: Verdict, shown: Image.Image, zoom: tuple[float, float], pen: _Pen, width: int
) -> Image.Image:
    """The score's map and each defect's over small copies of the picture, side by side in rows."""
    from judge.explain.heatmap import painted

    assert verdict.heat is not None
    named: list[tuple[str, str, Defect | None]] = [("where the score comes from", verdict.heat.score, None)]
    for number, (found, url) in enumerate(zip(verdict.defects, verdict.heat.defects, strict=True), 1):
        named.append((f"{number} {found.kind}", url, found))
    gap, head = max(2, pen.unit // 3), round(pen.unit * 1.6)
    across = min(len(named), _ACROSS)
    cell = (width - gap * (across + 1)) // across
    small = shown.copy()
    small.thumbnail((cell, shown.height))
    share = small.width / shown.width
    tall = small.height + head + gap
    canvas = Image.new("RGB", (width, gap + tall * -(-len(named) // across)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for at, (text, url, defect) in enumerate(named):
        x, y = gap + (cell + gap) * (at % across), gap + tall * (at // across)
        panel = painted(small, url)
        if defect is not None:
            box = _scaled(defect.box, (zoom[0] * share, zoom[1] * share), panel.size)
            _draw_box(panel, box, _color(at - 1), pen.unit // 2)
        canvas.paste(panel, (x, y))
        said = pen.cut(text, cell, 0.85)
        draw.text((x, y + small.height + head / 2), said, fill=_FAINT, font=pen.fonts[0.85], anchor="lm")
    return canvas


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _strip(verdict: Verdict, pen: _Pen, width: int) -> Image.Image:
    """Score, elements, defects and the explanation as text, `width` pixels wide and as high as they need."""
    unit, line = pen.unit, round(pen.unit * 1.55)
    room = width - 2 * unit
    rows: list[tuple[str, str, tuple[int, int, int], bool | None]] = []
    for element in verdict.elements:
        rows.append((element.name, f"{element.probability:.2f}", _INK, element.present))
    for number, defect in enumerate(verdict.defects, 1):
        rows.append((_said(number, defect), f"{defect.confidence:.2f}", _color(number - 1), None))
    closing = pen.wrap(verdict.explanation, room) if verdict.explanation else []
    head = round(unit * 3.9)
    strip = Image.new("RGB", (width, unit + head + line * (len(rows) + len(closing)) + unit // 2), _PAPER)
    draw = ImageDraw.Draw(strip)
    _draw_head(draw, pen, verdict, width)
    y = unit + head
    for text, number_text, color, present in rows:
        if present is None:
            draw.rectangle((unit, y - unit * 0.4, unit * 1.8, y + unit * 0.4), fill=color)
        else:
            _draw_tick(draw, (unit * 1.4, y), unit * 0.42, present)
        left, right = unit * 2.4, pen.width("0.00") + unit
        draw.text(
            (left, y), pen.cut(text, room - left - right + unit), fill=_INK, font=pen.fonts[1.0], anchor="lm"
        )
        draw.text((width - unit, y), number_text, fill=_FAINT, font=pen.fonts[1.0], anchor="rm")
        y += line
    for text in closing:
        draw.text((unit, y), text, fill=_FAINT, font=pen.fonts[1.0], anchor="lm")
        y += line
    return strip


def _said(number: int, defect: Defect) -> str:
    said = f": {defect.explanation}" if defect.explanation else ""
    return f"{number} {defect.kind}, {defect.severity}{said}"


def _draw_head(draw: ImageDraw.ImageDraw, pen: _Pen, verdict: Verdict, width: int) -> None:
    """The score with the bars of its distribution, or the reason why there is none."""
    unit, middle = pen.unit, pen.unit * 2.0
    if verdict.score is None:
        lines = pen.wrap(f"unscored: {verdict.reason}", width - 2 * unit, lines=2)
        for number, text in enumerate(lines):
            draw.text((unit, unit * (1.3 + 1.4 * number)), text, fill=_BAD, font=pen.fonts[1.0], anchor="lm")
        return
    score = f"{verdict.score:.2f}"
    draw.text((unit, middle), score, fill=_INK, font=pen.fonts[2.2], anchor="lm")
    left = unit * 1.3 + pen.width(score, 2.2)
    draw.text((left, middle + unit * 0.35), "of 5", fill=_FAINT, font=pen.fonts[1.0], anchor="lm")
    left += pen.width("of 5") + unit
    step = unit * 1.1
    for number, share in enumerate(verdict.distribution or []):
        x = left + number * step
        base, top = middle + unit * 0.7, middle + unit * 0.7 - max(1, unit * 1.9 * share)
        draw.rectangle((x, top, x + step * 0.75, base), fill=_INK if share >= 0.2 else _FAINT)
        draw.text(
            (x + step * 0.37, base + unit * 0.6),
            str(number + 1),
            fill=_FAINT,
            font=pen.fonts[0.85],
            anchor="mm",
        )
    left += 5 * step + unit * 0.6
    names = ", ".join(f"{name} {dimension.score:.1f}" for name, dimension in verdict.dimensions.items())
    marks = ", ".join(
        attribute.label for attribute in verdict.attributes.values() if attribute.label != "none"
    )
    for number, text in enumerate(filter(None, (names, marks))):
        y = middle + (number - 0.2) * unit * 1.3
        room = width - unit - left
        draw.text((left, y), pen.cut(text, room, 0.85), fill=_FAINT, font=pen.fonts[0.85], anchor="lm")


def _draw_tick(draw: ImageDraw.ImageDraw, at: tuple[float, float], size: float, present: bool) -> None:
    """A tick or a cross, drawn as lines: the font has neither."""
    x, y = at
    thick = max(2, round(size / 2.5))
    if present:
        points = ((x - size, y), (x - size / 3, y + size * 0.8), (x + size, y - size * 0.8))
        draw.line(points, fill=_GOOD, width=thick, joint="curve")
        return
    for sign in (1, -1):
        draw.line((x - size * 0.8, y - sign * size * 0.8, x + size * 0.8, y + sign * size * 0.8), _BAD, thick)
