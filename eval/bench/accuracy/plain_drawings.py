"""Measure a judge on sound pictures that another program draws: two flat shapes on a ground of one colour.

Pillow draws them, without grain, shading or smooth edges. Half have colours like those of the scenes, half
the colours of CSS by the same names. The prompt names both shapes, so every element is there and nothing is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from PIL import Image, ImageColor, ImageDraw

from eval.metrics.bootstrap import wilson_interval
from judge.scenes.held_out import held_out_seeds
from judge.scenes.vocabulary import COLORS
from judge.types import Sample, Verdict

SIDE = 224
SHAPES = ("circle", "square", "triangle", "diamond")
NAMES = ("red", "green", "blue", "yellow", "purple", "orange", "black")
"""Colours that stand out from a light ground, by both definitions."""
PALETTES = ("scenes", "css")
HIGH_SCORE = 4.5
"""A sound picture of what was asked for should score more than this."""


def measure_plain_drawings(
    judge: Any, count: int, seed: int, batch: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Judge the drawings.

    Args:
        judge: the judge.
        count: number of drawings of each palette.
        seed: of the drawings.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        For each palette the shares of drawings that are judged right: `sound` (no defect and no degradation
        is named), `elements` (both shapes are found) and `high_score`, and the number of `unscored` ones,
        which count as wrong. `interval_95` has the intervals of the shares by the same names.
    """
    result: dict[str, Any] = {"count": count, "interval_95": {}}
    for palette in PALETTES:
        samples = [draw_plain(drawing_seed, palette) for drawing_seed in held_out_seeds(count, seed)]
        verdicts = []
        for verdict in judge.many(samples, batch=batch):
            verdicts.append(verdict)
            tick()
        result[palette] = {"unscored": sum(verdict.score is None for verdict in verdicts)}
        result["interval_95"][palette] = {}
        for name, hits in _count_right(verdicts).items():
            result[palette][name] = hits / count
            result["interval_95"][palette][name] = list(wilson_interval(hits, count))
    return result


def _count_right(verdicts: Sequence[Verdict]) -> dict[str, int]:
    scored = [verdict for verdict in verdicts if verdict.score is not None]
    return {
        "sound": sum(not v.defects and v.attributes["degradation"].label == "none" for v in scored),
        "elements": sum(all(element.present for element in v.elements) for v in scored),
        "high_score": sum((v.score or 0) > HIGH_SCORE for v in scored),
    }


def draw_plain(seed: int, palette: str) -> Sample:
    """Draw two flat shapes, one left and one right.

    Args:
        seed: of the drawing. The same seed gives the same shapes in each palette.
        palette: one of `PALETTES`.
    """
    r = Random(seed)
    gray = r.randint(215, 255)
    ground = (gray, gray, gray) if r.random() < 0.6 else tuple(r.randint(195, 255) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), ground)
    draw = ImageDraw.Draw(image)
    names = []
    for color, x in zip(r.sample(NAMES, 2), (r.randint(45, 70), r.randint(150, 180)), strict=True):
        shape, y, radius = r.choice(SHAPES), r.randint(60, 160), r.randint(25, 38)
        _draw_shape(
            draw, shape, x, y, radius, COLORS[color] if palette == "scenes" else ImageColor.getrgb(color)
        )
        names.append(f"{color} {shape}")
    return Sample(image=image, prompt=" and ".join(f"{_article(name)} {name}" for name in names))


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _draw_shape(
    draw: ImageDraw.ImageDraw, shape: str, x: int, y: int, radius: int, fill: tuple[int, ...]
) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    left, top, right, bottom = box
    if shape == "circle":
        draw.ellipse(box, fill=fill)
    elif shape == "square":
        draw.rectangle(box, fill=fill)
    elif shape == "triangle":
        draw.polygon([(x, top), (left, bottom), (right, bottom)], fill=fill)
    else:
        draw.polygon([(x, top), (left, y), (x, bottom), (right, y)], fill=fill)
