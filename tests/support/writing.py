"""Images with writing in Pillow's own font, and lines as the text reader returns them."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from judge.types import TextLine


def draw_writing(*lines: str, angle: float = 0.0, font_size: int = 44, color: str = "black") -> Image.Image:
    """Draw lines below each other on a pale ground of 400 x 240 pixels, turned by an angle in degrees."""
    image = Image.new("RGB", (400, 240), "#e8ecd8")
    font = ImageFont.load_default(font_size)
    top = 120 - len(lines) * font_size * 0.65
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(lines):
        draw.text((200, top + number * font_size * 1.3), text, fill=color, font=font, anchor="ma")
    return image.rotate(angle, Image.Resampling.BICUBIC, fillcolor="#e8ecd8") if angle else image


def line(
    text: str, x: float = 0, y: float = 0, *, width: float = 0, height: float = 20, confidence: float = 0.99
) -> TextLine:
    """Return a level line with its upper left corner; its width follows the text if none is given."""
    right, bottom = x + (width or 10 * len(text)), y + height
    return TextLine(
        text=text,
        box=(x, y, right, bottom),
        polygon=[(x, y), (right, y), (right, bottom), (x, bottom)],
        confidence=confidence,
    )
