"""Simple drawings with the embedded judge's vocabulary, as other programs make them.

A drawing is a list of filled polygons in a square of side 1 on a background. Three programs render it:
Pillow, matplotlib, and resvg from SVG. Their edges, curves and colours differ from those of `judge.scenes`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from judge.scenes.vocabulary import BACKGROUNDS, COLORS

Color = tuple[int, int, int]
Point = tuple[float, float]
PAPERS = ((255, 255, 255), (255, 255, 255), (235, 235, 235), (250, 245, 225), (200, 220, 245)) * 2
PROGRAMS = ("Pillow", "matplotlib", "SVG")


@dataclass(frozen=True)
class Polygon:
    """A filled polygon."""

    points: Sequence[Point]
    """Corners, 0 to 1, y downwards."""
    fill: Color
    outline: Color | None = None


def draw_simple_scene(r: Random, size: int, program: str) -> NDArray[np.uint8]:
    """Draw up to six objects on a background.

    Args:
        r: source of all choices.
        size: side in pixels.
        program: one of `PROGRAMS`.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    shapes = _background(r)
    outline = r.choice([None, None, (20, 20, 20), (90, 90, 90)])
    for _ in range(r.choice([0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6])):
        radius = r.uniform(0.06, 0.26)
        center = (r.uniform(radius, 1 - radius), r.uniform(radius, 1 - radius))
        color = _vary(r, r.choice(list(COLORS.values())))
        turn = r.uniform(-0.3, 0.3) if r.random() < 0.5 else 0.0
        for part in r.choice(OBJECTS)(r, color):
            points = [_place(point, center, radius, turn) for point in part.points]
            shapes.append(Polygon(points, part.fill, outline))
    render = {"Pillow": _render_pillow, "matplotlib": _render_matplotlib, "SVG": _render_svg}[program]
    return render(shapes, size, r.choice([1, 1, 2, 3]) / 224)


def _place(point: Point, center: Point, radius: float, turn: float) -> Point:
    x, y = point
    c, s = math.cos(turn), math.sin(turn)
    return center[0] + radius * (c * x - s * y), center[1] + radius * (s * x + c * y)


def _vary(r: Random, color: Color, by: int = 30) -> Color:
    red, green, blue = (min(255, max(0, value + r.randint(-by, by))) for value in color)
    return red, green, blue


def _mix(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue


def _background(r: Random) -> list[Polygon]:
    """Draw a background: plain, striped, dotted, gradient or landscape."""
    base = _vary(r, r.choice([*PAPERS, *COLORS.values()]), 20)
    second = _vary(r, r.choice(list(COLORS.values())), 20)
    shapes = [_box(0, 0, 1, 1, base)]
    kind = r.choice([*BACKGROUNDS, *["plain"] * 5])
    if kind == "striped":
        count = r.randint(3, 12)
        edges = [n / count for n in range(count + 1)]
        pairs = list(zip(edges[::2], edges[1::2], strict=False))
        across = r.random() < 0.5
        shapes += [_box(0, a, 1, b, second) if across else _box(a, 0, b, 1, second) for a, b in pairs]
    elif kind == "dotted":
        count, radius = r.randint(4, 10), r.uniform(0.1, 0.3)
        for row in range(count):
            for column in range(count):
                middle = ((column + 0.5) / count, (row + 0.5) / count)
                shapes.append(Polygon(_ellipse(*middle, radius / count, radius / count, 12), second))
    elif kind == "gradient":
        steps, across = 64, r.random() < 0.3
        for n in range(steps):
            color, a, b = _mix(base, second, n / steps), n / steps, (n + 1.2) / steps
            shapes.append(_box(a, 0, b, 1, color) if across else _box(0, a, 1, b, color))
    elif kind == "landscape":
        horizon = r.uniform(0.45, 0.8)
        shapes = [_box(0, 0, 1, 1, _vary(r, (150, 200, 245)))]
        if r.random() < 0.5:
            peaks = [(x / 6, horizon - r.uniform(0, 0.25)) for x in range(7)]
            shapes.append(Polygon([(0, 1), *peaks, (1, 1)], _vary(r, (120, 150, 120), 40)))
        shapes.append(_box(0, horizon, 1, 1, _vary(r, (90, 170, 80), 40)))
        if r.random() < 0.5:
            shapes.append(Polygon(_ellipse(r.uniform(0.1, 0.9), 0.15, 0.07, 0.07), (250, 220, 60)))
    return shapes


def _box(x0: float, y0: float, x1: float, y1: float, fill: Color) -> Polygon:
    return Polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)


def _ellipse(x: float, y: float, rx: float, ry: float, corners: int = 40) -> list[Point]:
    angles = [2 * math.pi * n / corners for n in range(corners)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def _ring(x: float, y: float, rx: float, ry: float, inner: float) -> list[Point]:
    """Return an ellipse with a hole, as one outline."""
    outside, inside = _ellipse(x, y, rx, ry), _ellipse(x, y, rx * inner, ry * inner)
    return [*outside, outside[0], inside[0], *reversed(inside)]


def _regular(corners: int, inner: float = 1.0) -> list[Point]:
    """Return a regular polygon, or with `inner` below 1 a star, with a corner on top."""
    count = corners if inner == 1.0 else 2 * corners
    radii = [1.0 if n % 2 == 0 else inner for n in range(count)]
    angles = [2 * math.pi * n / count - math.pi / 2 for n in range(count)]
    return [(q * math.cos(angle), q * math.sin(angle)) for q, angle in zip(radii, angles, strict=True)]


def _heart() -> list[Point]:
    steps = [2 * math.pi * n / 40 for n in range(40)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17,
        )
        for t in steps
    ]


def _shape(r: Random, color: Color) -> list[Polygon]:
    """Draw one plain shape."""
    outlines: dict[str, Sequence[Point]] = {
        "circle": _ellipse(0, 0, 1, 1),
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "triangle": _regular(3),
        "star": _regular(5, r.uniform(0.35, 0.5)),
        "diamond": [(0, -1), (0.7, 0), (0, 1), (-0.7, 0)],
        "heart": _heart(),
        "ring": _ring(0, 0, 1, 1, 0.55),
        "cross": [
            (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),
            (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3),
        ],
    }  # fmt: skip
    return [Polygon(outlines[r.choice(list(outlines))], color)]


def _stroke(a: Point, b: Point, width: float, fill: Color) -> Polygon:
    """Return a straight line as a polygon."""
    length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
    x, y = -(b[1] - a[1]) / length * width / 2, (b[0] - a[0]) / length * width / 2
    return Polygon(
        [(a[0] + x, a[1] + y), (b[0] + x, b[1] + y), (b[0] - x, b[1] - y), (a[0] - x, a[1] - y)], fill
    )


def _line_drawing(r: Random, color: Color) -> list[Polygon]:
    """Draw a stick figure, a rounded square, or the outline of a shape."""
    width, kind = r.uniform(0.06, 0.25), r.randrange(4)
    if kind == 0:
        limbs = [((0, -0.4), (0, 0.35)), ((0, -0.2), (-0.5, 0.1)), ((0, -0.2), (0.5, 0.1))]
        limbs += [((0, 0.35), (-0.4, 1)), ((0, 0.35), (0.4, 1))]
        head = Polygon(_ellipse(0, -0.7, 0.27, 0.27), _vary(r, r.choice([(240, 200, 160), color])))
        return [*(_stroke(a, b, width, color) for a, b in limbs), head]
    if kind == 1:
        round_by, side = r.uniform(0.1, 0.5), r.uniform(0.6, 0.95)
        inner = side - round_by
        corners = [
            (sx * inner + round_by * math.cos(t), sy * inner + round_by * math.sin(t))
            for sx, sy, start in ((1, 1, 0), (-1, 1, 1), (-1, -1, 2), (1, -1, 3))
            for t in (math.pi / 2 * (start + n / 6) for n in range(7))
        ]
        return [Polygon(corners, color)]
    if kind == 2:
        return [Polygon(_ring(0, 0, 1, r.uniform(0.5, 1), 1 - width), color)]
    corners = r.choice([_regular(3), _regular(4), _regular(5, 0.45), _regular(6)])
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return [_stroke(a, b, width, color) for a, b in pairs]


def _animal(r: Random, color: Color) -> list[Polygon]:
    """Draw a cat, a bird, a fish or a butterfly."""
    dark, eye = _mix(color, (0, 0, 0), 0.3), (20, 20, 20)
    kind = r.randrange(4)
    if kind == 0:
        ears = [Polygon([(x - 0.3, -0.5), (x, -1), (x + 0.3, -0.5)], dark) for x in (-0.45, 0.45)]
        eyes = [Polygon(_ellipse(x, -0.25, 0.1, 0.13, 14), eye) for x in (-0.28, 0.28)]
        trunk = Polygon(_ellipse(0, 0.6, 0.45, 0.45), color)
        return [trunk, *ears, Polygon(_ellipse(0, -0.15, 0.65, 0.6), color), *eyes]
    if kind == 1:
        wing = Polygon([(-0.3, -0.1), (0.3, 0.1), (-0.4, 0.5)], dark)
        beak = Polygon([(0.85, -0.4), (1.1, -0.3), (0.85, -0.2)], (240, 160, 40))
        body = [Polygon(_ellipse(0, 0.1, 0.7, 0.45), color), Polygon(_ellipse(0.6, -0.35, 0.3, 0.3), color)]
        return [*body, wing, beak, Polygon(_ellipse(0.7, -0.4, 0.07, 0.07, 12), eye)]
    if kind == 2:
        tail = Polygon([(-0.55, 0), (-1, -0.45), (-1, 0.45)], dark)
        return [
            tail,
            Polygon(_ellipse(0.1, 0, 0.75, 0.45), color),
            Polygon(_ellipse(0.5, -0.1, 0.09, 0.09), eye),
        ]
    wings = [Polygon(_ellipse(x, y, 0.45, 0.4), color) for x in (-0.5, 0.5) for y in (-0.4, 0.4)]
    return [*wings, Polygon(_ellipse(0, 0, 0.12, 0.75), dark)]


def _plant(r: Random, color: Color) -> list[Polygon]:
    """Draw a tree, a flower or a mushroom."""
    brown, green = _vary(r, (120, 80, 45)), _vary(r, (50, 150, 60))
    kind = r.randrange(3)
    if kind == 0:
        trunk = _box(-0.15, 0.2, 0.15, 1, brown)
        crown = _ellipse(0, -0.25, 0.7, 0.7) if r.random() < 0.5 else [(-0.8, 0.3), (0, -1), (0.8, 0.3)]
        return [trunk, Polygon(crown, color)]
    if kind == 1:
        count = r.randint(5, 8)
        angles = [2 * math.pi * n / count for n in range(count)]
        petals = [
            Polygon(_ellipse(0.42 * math.cos(a), -0.35 + 0.42 * math.sin(a), 0.25, 0.25, 20), color)
            for a in angles
        ]
        middle = Polygon(_ellipse(0, -0.35, 0.25, 0.25), (250, 220, 60))
        return [_box(-0.06, 0, 0.06, 1, green), *petals, middle]
    stem = _box(-0.22, 0, 0.22, 0.95, (240, 230, 210))
    cap = [(x, y) for x, y in _ellipse(0, 0.1, 0.95, 0.9) if y <= 0.12]
    return [stem, Polygon(cap, color)]


def _thing(r: Random, color: Color) -> list[Polygon]:
    """Draw a house, a car, a cup, a chair, a boat, an umbrella or a person."""
    dark, light = _mix(color, (0, 0, 0), 0.35), _mix(color, (255, 255, 255), 0.6)
    kind = r.randrange(7)
    if kind == 0:
        roof = Polygon([(-0.95, -0.2), (0, -1), (0.95, -0.2)], dark)
        window = _box(0.3, 0.05, 0.6, 0.35, light)
        return [_box(-0.75, -0.2, 0.75, 0.9, color), roof, _box(-0.2, 0.3, 0.15, 0.9, dark), window]
    if kind == 1:
        cabin = Polygon([(-0.5, -0.15), (-0.3, -0.6), (0.3, -0.6), (0.55, -0.15)], light)
        wheels = [Polygon(_ellipse(x, 0.4, 0.22, 0.22), (30, 30, 30)) for x in (-0.5, 0.5)]
        return [cabin, _box(-1, -0.15, 1, 0.35, color), *wheels]
    if kind == 2:
        handle = Polygon(_ring(0.7, 0, 0.35, 0.4, 0.6), color)
        return [handle, Polygon([(-0.7, -0.7), (0.65, -0.7), (0.5, 0.7), (-0.55, 0.7)], color)]
    if kind == 3:
        legs = [_box(x, 0.2, x + 0.14, 1, dark) for x in (-0.6, 0.46)]
        return [_box(-0.6, -1, -0.44, 0.1, color), *legs, _box(-0.6, 0.0, 0.6, 0.22, color)]
    if kind == 4:
        sail = Polygon([(0.02, -1), (0.02, 0.1), (0.75, 0.1)], light)
        hull = Polygon([(-0.95, 0.25), (0.95, 0.25), (0.6, 0.75), (-0.6, 0.75)], color)
        return [_box(-0.06, -1, 0.02, 0.3, dark), sail, hull]
    if kind == 5:
        top = [(x, y) for x, y in _ellipse(0, 0, 0.95, 0.9) if y <= 0.02]
        return [_box(-0.05, -0.1, 0.05, 0.9, dark), Polygon(top, color)]
    skin = _vary(r, r.choice([(240, 200, 170), (150, 100, 70), (220, 170, 130)]))
    legs = [_box(x, 0.4, x + 0.18, 1, dark) for x in (-0.24, 0.06)]
    arms = [_box(x, -0.3, x + 0.15, 0.35, skin) for x in (-0.48, 0.33)]
    return [*legs, *arms, _box(-0.33, -0.35, 0.33, 0.45, color), Polygon(_ellipse(0, -0.65, 0.28, 0.3), skin)]


OBJECTS = (_shape, _shape, _shape, _line_drawing, _animal, _plant, _thing)


def _render_pillow(shapes: Sequence[Polygon], size: int, width: float) -> NDArray[np.uint8]:
    scale = 1 if len(shapes) % 2 else 3  # with and without smooth edges
    image = Image.new("RGB", (size * scale, size * scale))
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        points = [(x * size * scale, y * size * scale) for x, y in shape.points]
        pen.polygon(points, shape.fill, shape.outline, max(1, round(width * size * scale)))
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS) if scale > 1 else image)


def _render_matplotlib(shapes: Sequence[Polygon], size: int, width: float) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon as Patch

    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(1, 0))
    axes.axis("off")
    for shape in shapes:
        fill = tuple(value / 255 for value in shape.fill)
        edge = "none" if shape.outline is None else tuple(value / 255 for value in shape.outline)
        axes.add_patch(Patch(list(shape.points), facecolor=fill, edgecolor=edge, linewidth=width * size))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]


def _render_svg(shapes: Sequence[Polygon], size: int, width: float) -> NDArray[np.uint8]:
    import resvg_py

    lines = []
    for shape in shapes:
        points = " ".join(f"{x * 100:.2f},{y * 100:.2f}" for x, y in shape.points)
        stroke = f' stroke="rgb{shape.outline}" stroke-width="{width * 100:.2f}"' if shape.outline else ""
        lines.append(f'<polygon points="{points}" fill="rgb{shape.fill}"{stroke}/>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="{size}" height="{size}">'
    png = bytes(resvg_py.svg_to_bytes(svg_string=f"{head}{''.join(lines)}</svg>"))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
