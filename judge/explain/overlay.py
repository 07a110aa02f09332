"""Draw a verdict on its image.

Text panels never cover the image: only boxes and their tags are drawn on it. The score, the elements and the
explanations stand on a strip below it, so that they can be read with any image. Small images are enlarged
first, very large ones reduced. Heat maps, if the verdict has them, stand between the two, each over the image
and with its box.
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, features

from judge.errors import InputError
from judge.explain.style import BACKGROUND, FAINT_TEXT_COLOR, Color, defect_color
from judge.explain.summary_strip import draw_summary_strip
from judge.explain.text_writer import SMALL_TEXT, TextWriter
from judge.media.image import load_image
from judge.types import Box, Defect, TextLine, Verdict

MIN_SIDE = 640
"""Images whose longer side has fewer pixels are enlarged to about this size before anything is drawn."""
MAX_SIDE = 4096
"""Images whose longer side has more pixels are reduced to this size."""
_MAX_MAPS_PER_ROW = 4
_MIN_STRIP_WIDTH = 480
"""Minimum width of the strip with the text, in pixels."""


def overlay(verdict: Verdict, image: Any = None) -> Image.Image:
    """Draw boxes, kinds, elements and score.

    Args:
        verdict: scored or unscored; an unscored one shows its reason.
        image: the image as `Sample.image` takes it; default: the one that the verdict kept.

    Returns:
        A new RGB image: the judged image above a strip of text. The image is enlarged if its longer side is
        under 640 pixels and reduced if it is over 4096.

    Raises:
        InputError: no image was kept and none is given, or it does not have the size of the judged image.
        MediaError: `image` cannot be read.
    """
    source = _load_judged_image(verdict, image)
    if not features.check("freetype2"):
        raise InputError("pillow", "built without FreeType", "Pillow with FreeType", "install Pillow's wheel")
    canvas_image, zoom = _resize_for_drawing(source)
    width = max(canvas_image.width, _MIN_STRIP_WIDTH)
    unit = max(13, round(min(width, max(canvas_image.height, width // 2)) / 42))
    writer = TextWriter(unit)
    heat_maps = [_draw_heat_maps(verdict, canvas_image, zoom, writer, width)] if verdict.heat else []
    boxes = [_scale_box(defect.box, zoom, canvas_image.size) for defect in verdict.defects]
    for line in verdict.texts:
        _draw_line(canvas_image, line, zoom, unit)
    for index, box in enumerate(boxes):
        _draw_box(canvas_image, box, defect_color(index), unit)
    occupied: list[Box] = []
    for index, (defect, box) in enumerate(zip(verdict.defects, boxes, strict=True)):
        _draw_tag(canvas_image, writer, box, f"{index + 1} {defect.kind}", defect_color(index), occupied)
    parts = [canvas_image, *heat_maps, draw_summary_strip(verdict, writer, width)]
    return _stack(parts, width)


def _stack(parts: list[Image.Image], width: int) -> Image.Image:
    """Stack images vertically, each centred."""
    canvas, top = Image.new("RGB", (width, sum(part.height for part in parts)), BACKGROUND), 0
    for part in parts:
        canvas.paste(part, ((width - part.width) // 2, top))
        top += part.height
    return canvas


def _load_judged_image(verdict: Verdict, image: Any) -> Image.Image:
    source = verdict._image if image is None else image
    if callable(source):
        source = source()
    if source is None:
        mend = "a verdict read from JSON keeps no image: pass overlay(image=...)"
        raise InputError("image", None, "the image that was judged", mend)
    loaded = load_image(source)
    size = (loaded.width, loaded.height)
    if verdict.size is not None and verdict.size != size:
        allowed = "{} x {} pixels".format(*verdict.size)
        raise InputError("image", "{} x {}".format(*size), allowed, "pass the image that was judged")
    return loaded.image


def _resize_for_drawing(source: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """Return an RGB copy that is neither tiny nor huge, and its pixels per original pixel in x and y."""
    longer_side = max(source.size)
    if longer_side < MIN_SIDE:
        factor = -(-MIN_SIDE // longer_side)
        # Very small images, such as icons, keep their visible pixels; larger ones would only look blocky.
        is_icon = longer_side < MIN_SIDE // 4
        resampling = Image.Resampling.NEAREST if is_icon else Image.Resampling.BICUBIC
        resized = source.resize((source.width * factor, source.height * factor), resampling)
    elif longer_side > MAX_SIDE:
        size = [max(1, round(side * MAX_SIDE / longer_side)) for side in source.size]
        resized = source.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    else:
        resized = source.copy()
    return resized.convert("RGB"), (resized.width / source.width, resized.height / source.height)


def _scale_box(box: Box, zoom: tuple[float, float], size: tuple[int, int]) -> Box:
    """Return a box in drawn pixels, clipped to the image and with its corners in order."""
    x1, x2 = sorted(min(max(x * zoom[0], 0), size[0]) for x in (box[0], box[2]))
    y1, y2 = sorted(min(max(y * zoom[1], 0), size[1]) for y in (box[1], box[3]))
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def _draw_box(image: Image.Image, box: Box, color: Color, unit: int) -> None:
    """Draw a coloured frame between a dark and a light line, so that it is visible on any background."""
    draw = ImageDraw.Draw(image)
    x1, y1, x2, y2 = (round(v) for v in box)
    thickness = max(2, unit // 7)
    edge = max(1, thickness // 2)
    lines = ((thickness, edge, (255, 255, 255)), (edge, edge, (0, 0, 0)), (0, thickness, color))
    for margin, width, line_color in lines:
        frame = (x1 - margin, y1 - margin, max(x1, x2 - 1) + margin, max(y1, y2 - 1) + margin)
        draw.rectangle(frame, outline=line_color, width=width)


def _draw_line(image: Image.Image, line: TextLine, zoom: tuple[float, float], unit: int) -> None:
    """Draw the outline of a line of writing, thin and pale beside the frames of defects."""
    corners = [(x * zoom[0], y * zoom[1]) for x, y in line.polygon]
    draw, width = ImageDraw.Draw(image), max(1, unit // 14)
    for color, share in (((0, 0, 0), 3 * width), ((255, 255, 255), width)):
        draw.line([*corners, corners[0]], fill=color, width=share, joint="curve")


def _draw_tag(
    image: Image.Image, writer: TextWriter, box: Box, text: str, color: Color, occupied: list[Box]
) -> None:
    """Draw a defect's number and kind on a filled tag at its box, away from other tags if possible.

    Args:
        image: the image to draw on.
        writer: fonts of the drawing.
        box: the defect's box in drawn pixels.
        text: text of the tag.
        color: colour of the tag.
        occupied: boxes of the tags so far; the new tag is appended.
    """
    padding = writer.unit // 4
    label = writer.cut(text, max(1, image.width - 2 * padding), SMALL_TEXT)
    width, height = round(writer.width(label, SMALL_TEXT)) + 2 * padding, round(writer.unit * 1.25)
    x = min(max(0, round(box[0])), max(0, image.width - width))
    tops = [round(box[1]) - height - padding, round(box[3]) + padding, round(box[1]) + padding]
    tops += [tops[0] - height, tops[1] + height]
    inside = [y for y in tops if 0 <= y <= image.height - height] or [0]
    free = [y for y in inside if not any(_overlaps((x, y, x + width, y + height), tag) for tag in occupied)]
    y = (free or inside)[0]
    occupied.append((x, y, x + width, y + height))
    draw = ImageDraw.Draw(image)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color, outline=(0, 0, 0))
    font = writer.fonts[SMALL_TEXT]
    draw.text((x + padding, y + height / 2), label, fill=(0, 0, 0), font=font, anchor="lm")


def _draw_heat_maps(
    verdict: Verdict, image: Image.Image, zoom: tuple[float, float], writer: TextWriter, width: int
) -> Image.Image:
    """Draw the heat maps of the score and of each defect over small copies of the image, in rows."""
    from judge.explain.heatmap import blend_heat_map

    assert verdict.heat is not None
    panels: list[tuple[str, str, Defect | None]] = [("where the score comes from", verdict.heat.score, None)]
    for number, (defect, url) in enumerate(zip(verdict.defects, verdict.heat.defects, strict=True), 1):
        panels.append((f"{number} {defect.kind}", url, defect))
    gap, caption_height = max(2, writer.unit // 3), round(writer.unit * 1.6)
    columns = min(len(panels), _MAX_MAPS_PER_ROW)
    panel_width = (width - gap * (columns + 1)) // columns
    thumbnail = image.copy()
    thumbnail.thumbnail((panel_width, image.height))
    share = thumbnail.width / image.width
    row_height = thumbnail.height + caption_height + gap
    canvas = Image.new("RGB", (width, gap + row_height * -(-len(panels) // columns)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, (caption, url, panel_defect) in enumerate(panels):
        x, y = gap + (panel_width + gap) * (index % columns), gap + row_height * (index // columns)
        panel = blend_heat_map(thumbnail, url)
        if panel_defect is not None:
            box = _scale_box(panel_defect.box, (zoom[0] * share, zoom[1] * share), panel.size)
            _draw_box(panel, box, defect_color(index - 1), writer.unit // 2)
        canvas.paste(panel, (x, y))
        position = (x, y + thumbnail.height + caption_height / 2)
        text = writer.cut(caption, panel_width, SMALL_TEXT)
        font = writer.fonts[SMALL_TEXT]
        draw.text(position, text, fill=FAINT_TEXT_COLOR, font=font, anchor="lm")
    return canvas


def _overlaps(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
