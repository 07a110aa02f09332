"""The strip below an overlay: score, elements, defects and explanation of a verdict as text."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image, ImageDraw

from judge.explain.style import (
    BACKGROUND,
    BAD_COLOR,
    FAINT_TEXT_COLOR,
    GOOD_COLOR,
    OUT_OF_DOMAIN_MARK,
    TEXT_COLOR,
    Color,
    defect_color,
)
from judge.explain.text_writer import LARGE_TEXT, NORMAL_TEXT, SMALL_TEXT, TextWriter
from judge.types import Defect, Verdict


class _Row(NamedTuple):
    """One element or defect in the strip."""

    text: str
    number: str
    """Probability or confidence."""
    color: Color
    present: bool | None
    """Whether an element is present; None for a defect."""


def draw_summary_strip(verdict: Verdict, writer: TextWriter, width: int) -> Image.Image:
    """Draw score, elements, defects and explanation.

    Args:
        verdict: scored or unscored; an unscored one shows its reason.
        writer: fonts of the drawing.
        width: width of the strip in pixels.

    Returns:
        An RGB image as high as the text needs.
    """
    unit, line_height = writer.unit, round(writer.unit * 1.55)
    text_width = width - 2 * unit
    rows = _build_rows(verdict)
    is_marked = verdict.out_of_domain and verdict.score is not None
    marks = writer.wrap(OUT_OF_DOMAIN_MARK, text_width) if is_marked else []
    explanation = [*marks, *(writer.wrap(verdict.explanation, text_width) if verdict.explanation else [])]
    head_height = round(unit * 3.9)
    height = unit + head_height + line_height * (len(rows) + len(explanation)) + unit // 2
    strip = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    _draw_head(draw, writer, verdict, width)
    y = unit + head_height
    font = writer.fonts[NORMAL_TEXT]
    for row in rows:
        if row.present is None:
            draw.rectangle((unit, y - unit * 0.4, unit * 1.8, y + unit * 0.4), fill=row.color)
        else:
            _draw_mark(draw, (unit * 1.4, y), unit * 0.42, row.present)
        left, right = unit * 2.4, writer.width("0.00") + unit
        text = writer.cut(row.text, text_width - left - right + unit)
        draw.text((left, y), text, fill=TEXT_COLOR, font=font, anchor="lm")
        draw.text((width - unit, y), row.number, fill=FAINT_TEXT_COLOR, font=font, anchor="rm")
        y += line_height
    for line in explanation:
        draw.text((unit, y), line, fill=FAINT_TEXT_COLOR, font=font, anchor="lm")
        y += line_height
    return strip


def _build_rows(verdict: Verdict) -> list[_Row]:
    rows = [
        _Row(element.label, f"{element.probability:.2f}", TEXT_COLOR, element.present)
        for element in verdict.elements
    ]
    for index, defect in enumerate(verdict.defects):
        text = _describe_defect(index + 1, defect)
        rows.append(_Row(text, f"{defect.confidence:.2f}", defect_color(index), None))
    return rows


def _describe_defect(number: int, defect: Defect) -> str:
    explanation = f": {defect.explanation}" if defect.explanation else ""
    return f"{number} {defect.kind}, {defect.severity}{explanation}"


def _draw_head(draw: ImageDraw.ImageDraw, writer: TextWriter, verdict: Verdict, width: int) -> None:
    """Draw the score with the bars of its distribution, or the reason why there is no score."""
    unit, middle = writer.unit, writer.unit * 2.0
    normal, small = writer.fonts[NORMAL_TEXT], writer.fonts[SMALL_TEXT]
    if verdict.score is None:
        state, color = ("abstains", TEXT_COLOR) if verdict.abstained else ("unscored", BAD_COLOR)
        lines = writer.wrap(f"{state}: {verdict.reason}", width - 2 * unit, max_lines=2)
        for number, line in enumerate(lines):
            y = unit * (1.3 + 1.4 * number)
            draw.text((unit, y), line, fill=color, font=normal, anchor="lm")
        return
    score = f"{verdict.score:.2f}"
    draw.text((unit, middle), score, fill=TEXT_COLOR, font=writer.fonts[LARGE_TEXT], anchor="lm")
    left = unit * 1.3 + writer.width(score, LARGE_TEXT)
    draw.text((left, middle + unit * 0.35), "of 5", fill=FAINT_TEXT_COLOR, font=normal, anchor="lm")
    left += writer.width("of 5") + unit
    step = unit * 1.1
    for number, share in enumerate(verdict.distribution or []):
        x = left + number * step
        base, top = middle + unit * 0.7, middle + unit * 0.7 - max(1, unit * 1.9 * share)
        bar_color = TEXT_COLOR if share >= 0.2 else FAINT_TEXT_COLOR
        draw.rectangle((x, top, x + step * 0.75, base), fill=bar_color)
        position = (x + step * 0.37, base + unit * 0.6)
        draw.text(position, str(number + 1), fill=FAINT_TEXT_COLOR, font=small, anchor="mm")
    left += 5 * step + unit * 0.6
    dimensions = ", ".join(f"{name} {dimension.score:.1f}" for name, dimension in verdict.dimensions.items())
    labels = ", ".join(
        attribute.label for attribute in verdict.attributes.values() if attribute.label != "none"
    )
    for number, text in enumerate(filter(None, (dimensions, labels))):
        y = middle + (number - 0.2) * unit * 1.3
        text = writer.cut(text, width - unit - left, SMALL_TEXT)
        draw.text((left, y), text, fill=FAINT_TEXT_COLOR, font=small, anchor="lm")


def _draw_mark(draw: ImageDraw.ImageDraw, center: tuple[float, float], size: float, present: bool) -> None:
    """Draw a tick or a cross from lines, because the font has neither."""
    x, y = center
    thickness = max(2, round(size / 2.5))
    if present:
        points = ((x - size, y), (x - size / 3, y + size * 0.8), (x + size, y - size * 0.8))
        draw.line(points, fill=GOOD_COLOR, width=thickness, joint="curve")
        return
    for sign in (1, -1):
        line = (x - size * 0.8, y - sign * size * 0.8, x + size * 0.8, y + sign * size * 0.8)
        draw.line(line, BAD_COLOR, thickness)
