"""Images that are no plain drawings: charts, pages of text, icons, and changed photographs.

They teach the detector what else there is besides photographs and images of generators, of which it is given
folders.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from judge.scenes.vocabulary import OBJECT_KINDS, pluralize

Pixels = NDArray[np.uint8]
_WORDS = (
    "the model system run value file error total user data open close save edit view help search result of "
    "and to in for with from page list table name size date type status count log test build main return "
    "import class def if else while print index update request response cache memory time number first last"
).split()
_VOCABULARY = {*OBJECT_KINDS, *map(pluralize, OBJECT_KINDS), "bike", "man", "woman", "sailboat", "home"}

_PLAIN_SYMBOLS = frozenset(
    "flag flags button buttons arrow arrows symbol sign mark dot record stop play pause eject reverse "
    "forward minus plus multiply divide equals letter input radio trigram moon sun ball color hollow "
    "geometric bar bars line lines rectangle oval ellipse hexagon pentagon octagon large medium small".split()
)
"""Words in the names of icons that are often no more than flat shapes, as simple drawings are."""


def draw_chart(r: Random, size: int) -> Pixels:
    """Draw a chart with axes, ticks and text by matplotlib; (H, W, 3) uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng = np.random.default_rng(r.randrange(2**32))
    figure = Figure(figsize=(r.uniform(0.8, 1.6) * size / 100, size / 100), dpi=100, facecolor=r.choice(
        ["white", "white", "#f4f4f4", "#222222"]))  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    rows, columns = r.choice([(1, 1), (1, 1), (1, 2), (2, 2)])
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        kind, x = r.randrange(7), np.arange(r.randint(4, 30))
        if kind == 0:
            for _ in range(r.randint(1, 5)):
                axes.plot(x, rng.normal(size=len(x)).cumsum(), lw=r.uniform(0.7, 3), label=r.choice(_WORDS))
        elif kind == 1:
            axes.bar(x, rng.random(len(x)), color=r.choice(["C0", "C1", "C2", "C3", "0.5"]))
        elif kind == 2:
            axes.scatter(*rng.normal(size=(2, 80)), s=rng.random(80) * 60, c=rng.random(80))
        elif kind == 3:
            axes.pie(rng.random(r.randint(3, 8)) + 0.1, labels=None if r.random() < 0.5 else None)
        elif kind == 4:
            axes.imshow(rng.random((8, 8)), cmap=r.choice(["viridis", "magma", "coolwarm", "gray"]))
        elif kind == 5:
            axes.hist(rng.normal(size=400), bins=r.randint(8, 40))
        else:
            axes.fill_between(x, rng.random(len(x)), rng.random(len(x)) + 1, alpha=0.6)
            axes.grid(visible=True)
        if r.random() < 0.6:
            axes.set_title(" ".join(r.choices(_WORDS, k=3)).title(), fontsize=r.randint(7, 13))
        if r.random() < 0.5:
            axes.set_xlabel(r.choice(_WORDS))
            axes.set_ylabel(r.choice(_WORDS))
        if kind == 0 and r.random() < 0.6:
            axes.legend(fontsize=7)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]


def draw_page(r: Random, size: int) -> Pixels:
    """Draw a page of text, a terminal, or windows with panels, buttons and lists; (size, W, 3) uint8 RGB."""
    width = round(size * r.choice([0.6, 1.0, 1.33, 1.6]))
    is_dark = r.random() < 0.4
    paper = r.choice([(30, 30, 34), (0, 0, 0), (13, 17, 23), (40, 44, 52)]) if is_dark else r.choice(
        [(255, 255, 255), (250, 250, 245), (240, 242, 245)])  # fmt: skip
    ink = (220, 220, 220) if is_dark else (40, 40, 40)
    image = Image.new("RGB", (width, size), paper)
    pen = ImageDraw.Draw(image)
    _draw_panel(r, pen, (0, 0, width, size), ink, paper, r.choice([0, 1, 2, 3]))
    return np.asarray(image)


def _draw_panel(
    r: Random, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], ink: tuple[int, ...],
    paper: tuple[int, ...], depth: int,
) -> None:  # fmt: skip
    x0, y0, x1, y1 = box
    if depth and min(x1 - x0, y1 - y0) > 60:
        share = r.uniform(0.2, 0.8)
        if x1 - x0 > y1 - y0:
            middle = round(x0 + share * (x1 - x0))
            parts = [(x0, y0, middle, y1), (middle, y0, x1, y1)]
        else:
            middle = round(y0 + share * (y1 - y0))
            parts = [(x0, y0, x1, middle), (x0, middle, x1, y1)]
        for part in parts:
            shade = tuple(min(255, max(0, value + r.randint(-18, 18))) for value in paper)
            pen.rectangle(part, shade, ink if r.random() < 0.3 else None)
            _draw_panel(r, pen, part, ink, shade, depth - 1)
        return
    height = r.randint(8, 20)
    font, y = ImageFont.load_default(height), y0 + r.randint(2, 10)
    accents = [(90, 160, 250), (80, 200, 120), (230, 120, 80), (200, 120, 220), ink]
    while y < y1 - height:
        roll = r.random()
        if roll < 0.08:
            color = r.choice(accents)
            pen.rounded_rectangle((x0 + 6, y, min(x1 - 6, x0 + 6 + 6 * height), y + height + 4), 4, color)
        elif roll < 0.13:
            pen.line((x0 + 4, y, x1 - 4, y), ink)
        elif roll < 0.9:
            text = " ".join(r.choices(_WORDS, k=r.randint(2, 12)))
            indent = r.choice([0, 0, 0, 12, 24])
            limit = max(1, round((x1 - x0 - 12 - indent) / (0.52 * height)))
            pen.text((x0 + 6 + indent, y), text[:limit], r.choice([ink, ink, ink, r.choice(accents)]), font)
        y += round(height * r.uniform(1.2, 1.7))


class Icons:
    """The icons of an Iconify file (`icons.json` of an npm package @iconify-json/NAME).

    Those that show what the embedded judge's vocabulary names, or flat shapes only, are left out: they may be
    judged.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        self.width, self.height = content.get("width", 16), content.get("height", 16)
        self.icons = [
            icon for name, icon in content["icons"].items()
            if not (_VOCABULARY | _PLAIN_SYMBOLS) & set(re.split(r"[-_ ]", name)) and "keycap" not in name
        ]  # fmt: skip

    def draw(self, r: Random, size: int) -> Pixels:
        """Draw one large icon, or up to nine, on a background; (size, size, 3) uint8 RGB."""
        count = r.choice([1, 1, 1, 2, 3])
        first = np.array(r.choice([(255, 255, 255), (240, 240, 240), tuple(r.randrange(256) for _ in "rgb")]))
        second = np.array([r.randrange(256) for _ in "rgb"]) if r.random() < 0.3 else first
        ramp = np.linspace(0, 1, size)[:, None, None]
        canvas = Image.fromarray((first + (second - first) * ramp + np.zeros((1, size, 1))).astype(np.uint8))
        cell = size // count
        for n in range(count * count):
            side = round(cell * r.uniform(0.65, 1.0))
            icon = self._render(r.choice(self.icons), side)
            if icon is not None:
                left, top = n % count * cell + (cell - side) // 2, n // count * cell + (cell - side) // 2
                canvas.paste(icon, (left, top), icon)
        return np.asarray(canvas)

    def _render(self, icon: dict[str, object], side: int) -> Image.Image | None:
        import resvg_py

        width, height = icon.get("width", self.width), icon.get("height", self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}" width="{side}" height="{side}">'
        )
        try:
            png = bytes(resvg_py.svg_to_bytes(svg_string=f"{head}{icon['body']}</svg>"))
            return Image.open(io.BytesIO(png)).convert("RGBA")
        except (ValueError, OSError):
            return None


def change_photo(r: Random, pixels: Pixels) -> Pixels:
    """Crop a photograph or generated image, and change it at random: size, damage, or style.

    Args:
        r: source of all choices.
        pixels: (H, W, 3) uint8 RGB.
    """
    height, width = pixels.shape[:2]
    share = r.uniform(0.35, 1.0)
    h, w = max(32, round(height * share)), max(32, round(width * min(1.0, share * r.uniform(0.7, 1.4))))
    y, x = r.randrange(max(1, height - h)), r.randrange(max(1, width - w))
    image = np.ascontiguousarray(pixels[y : y + h, x : x + w])
    if r.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    kind = r.choice(["none"] * 6 + ["blur", "noise", "jpeg", "small", "contrast", "grey"] + [
        "posterize", "cartoon", "paint", "sketch", "median"])  # fmt: skip
    if kind == "blur":
        image = cv2.GaussianBlur(image, (0, 0), r.uniform(0.5, 4)).astype(np.uint8)
    elif kind == "noise":
        noise = np.random.default_rng(r.randrange(2**32)).normal(0, r.uniform(5, 45), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    elif kind == "jpeg":
        image = compress(image, r.randint(4, 40))
    elif kind == "small":
        small = cv2.resize(image, None, fx=r.uniform(0.1, 0.5), fy=r.uniform(0.1, 0.5))
        image = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    elif kind == "contrast":
        image = np.asarray(image * r.uniform(0.25, 0.7) + r.uniform(0, 90), np.uint8)
    elif kind == "grey":
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    elif kind == "posterize":
        step = r.choice([24, 36, 52, 64])
        image = (image // step * step + step // 2).astype(np.uint8)
    elif kind in ("cartoon", "paint", "sketch", "median"):
        image = _stylize(r, image, kind)
    return np.ascontiguousarray(image, np.uint8)


def compress(image: Pixels, quality: int) -> Pixels:
    """Return the image after JPEG of a quality, 1 to 100."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)


def _stylize(r: Random, image: Pixels, kind: str) -> Pixels:
    scale = 320 / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    if kind == "median":
        return cv2.medianBlur(image, r.choice([5, 9, 13])).astype(np.uint8)
    if kind == "sketch":
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        blurred = cv2.GaussianBlur(255 - grey, (0, 0), r.uniform(2, 6))
        lines = cv2.divide(grey, 255 - blurred, scale=256)
        return np.repeat(lines[..., None], 3, axis=2).astype(np.uint8)
    smooth = image
    for _ in range(r.randint(1, 3)):
        smooth = cv2.bilateralFilter(smooth, 7, 50, 9).astype(np.uint8)
    if kind == "cartoon":
        step = r.choice([24, 32, 48])
        smooth = smooth // step * step + step // 2
        edges = cv2.adaptiveThreshold(
            cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5), 255,
            cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4,
        )  # fmt: skip
        return np.where(edges[..., None] > 0, smooth, 20).astype(np.uint8)
    rng = np.random.default_rng(r.randrange(2**32))
    strokes = cv2.GaussianBlur(rng.normal(0, 1, smooth.shape[:2]).astype(np.float32), (0, 0), 1.5)
    shift = (strokes * r.uniform(6, 16))[..., None]
    return np.clip(smooth + shift * 4, 0, 255).astype(np.uint8)
