"""Flat drawings of the embedded judge's objects, as a person would write them with OpenCV, Pillow or SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from random import Random

import cv2
import numpy as np
from PIL import Image, ImageDraw

from judge.scenes.vocabulary import COLORS

PAPERS = ("white", "#eeeeee", "#cfe8ff", "#fff3c4", "#203040", "#dff0d8")


def flat_drawings(count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Yield drawings of one to four objects, in turn with OpenCV, Pillow and SVG."""
    for number in range(count):
        r = Random(f"{seed} {number}")
        size = r.choice([(256, 256), (320, 240), (512, 512), (200, 260)])
        draw = (_with_opencv, _with_pillow, _with_svg)[number % 3]
        yield draw(r, size, r.choice(PAPERS), r.randint(1, 4))


def _place(r: Random, size: tuple[int, int]) -> tuple[int, int, int, tuple[int, int, int]]:
    side = r.randint(min(size) // 10, min(size) // 4)
    x, y = r.randint(side, size[0] - side), r.randint(side, size[1] - side)
    return x, y, side, r.choice(list(COLORS.values()))


def _with_opencv(r: Random, size: tuple[int, int], paper: str, count: int) -> Image.Image:
    canvas = np.array(Image.new("RGB", size, paper))
    for _ in range(count):
        x, y, side, color = _place(r, size)
        kind = r.choice(["circle", "square", "ring", "triangle", "house", "tree", "fish"])
        if kind == "circle":
            cv2.circle(canvas, (x, y), side, color, -1, cv2.LINE_AA)
        elif kind == "square":
            cv2.rectangle(canvas, (x - side, y - side), (x + side, y + side), color, -1)
        elif kind == "ring":
            cv2.circle(canvas, (x, y), side, color, max(2, side // 4), cv2.LINE_AA)
        elif kind == "triangle":
            _fill(canvas, [(x, y - side), (x + side, y + side), (x - side, y + side)], color)
        elif kind == "house":
            cv2.rectangle(canvas, (x - side, y), (x + side, y + side), color, -1)
            _fill(canvas, [(x - side, y), (x, y - side), (x + side, y)], (120, 60, 40))
            cv2.rectangle(canvas, (x - side // 4, y + side // 2), (x + side // 4, y + side), (60, 40, 20), -1)
        elif kind == "tree":
            cv2.rectangle(canvas, (x - side // 5, y), (x + side // 5, y + side), (110, 70, 30), -1)
            cv2.circle(canvas, (x, y - side // 3), side * 2 // 3, (40, 150, 60), -1, cv2.LINE_AA)
        else:
            cv2.ellipse(canvas, (x, y), (side, side // 2), 0, 0, 360, color, -1, cv2.LINE_AA)
            _fill(
                canvas,
                [(x - side, y), (x - side * 3 // 2, y - side // 2), (x - side * 3 // 2, y + side // 2)],
                color,
            )
            cv2.circle(canvas, (x + side // 2, y - side // 6), max(2, side // 12), (0, 0, 0), -1)
    return Image.fromarray(canvas)


def _fill(canvas: np.ndarray, points: list[tuple[int, int]], color: tuple[int, int, int]) -> None:
    cv2.fillPoly(canvas, [np.array(points)], color, cv2.LINE_AA)


def _with_pillow(r: Random, size: tuple[int, int], paper: str, count: int) -> Image.Image:
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    for _ in range(count):
        x, y, side, color = _place(r, size)
        box = (x - side, y - side, x + side, y + side)
        kind = r.choice(["circle", "square", "star", "car", "cup", "person"])
        outline = r.choice([None, "black"])
        if kind == "circle":
            pen.ellipse(box, color, outline)
        elif kind == "square":
            pen.rectangle(box, color, outline)
        elif kind == "star":
            pen.regular_polygon((x, y, side), 5, fill=color, outline=outline)
        elif kind == "car":
            pen.rounded_rectangle((x - side, y - side // 3, x + side, y + side // 3), side // 6, color)
            pen.rectangle((x - side // 2, y - side * 2 // 3, x + side // 2, y - side // 3), color)
            for wheel in (x - side // 2, x + side // 2):
                pen.ellipse((wheel - side // 4, y + side // 6, wheel + side // 4, y + side * 2 // 3), "black")
        elif kind == "cup":
            pen.rectangle((x - side // 2, y - side // 2, x + side // 2, y + side // 2), color)
            pen.arc(
                (x + side // 4, y - side // 3, x + side, y + side // 3), -90, 90, color, max(2, side // 8)
            )
        else:
            pen.ellipse((x - side // 4, y - side, x + side // 4, y - side // 2), "#f0c8a0")
            pen.line((x, y - side // 2, x, y + side // 3), color, max(2, side // 6))
            for dx in (-side // 2, side // 2):
                pen.line((x, y - side // 4, x + dx, y), color, max(2, side // 8))
                pen.line((x, y + side // 3, x + dx, y + side), color, max(2, side // 8))
    return image


def _with_svg(r: Random, size: tuple[int, int], paper: str, count: int) -> Image.Image:
    import resvg_py

    parts = [f'<rect width="{size[0]}" height="{size[1]}" fill="{paper}"/>']
    for _ in range(count):
        x, y, s, color = _place(r, size)
        fill = f'fill="rgb{color}"'
        heart = f"M{x} {y + s} C{x - 2 * s} {y - s / 2} {x - s / 2} {y - 1.4 * s} {x} {y - s / 3} "
        heart += f"C{x + s / 2} {y - 1.4 * s} {x + 2 * s} {y - s / 2} {x} {y + s}Z"
        parts.append(r.choice([
            f'<circle cx="{x}" cy="{y}" r="{s}" {fill}/>',
            f'<rect x="{x - s}" y="{y - s}" width="{2 * s}" height="{2 * s}" rx="{s / 8}" {fill}/>',
            f'<polygon points="{x},{y - s} {x + s},{y} {x},{y + s} {x - s},{y}" {fill} stroke="#333"/>',
            f'<path d="{heart}" {fill}/>',
            f'<g {fill}><ellipse cx="{x}" cy="{y}" rx="{s * 0.7}" ry="{s / 2}"/>'
            f'<circle cx="{x + s * 0.6}" cy="{y - s * 0.4}" r="{s * 0.3}"/></g>'
            f'<polygon points="{x + s * 0.9},{y - s * 0.4} {x + s * 1.2},{y - s * 0.3} '
            f'{x + s * 0.9},{y - s * 0.2}" fill="orange"/>',
        ]))  # fmt: skip
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}">'
    png = bytes(resvg_py.svg_to_bytes(svg_string=f"{head}{''.join(parts)}</svg>"))
    return Image.open(io.BytesIO(png)).convert("RGB")
