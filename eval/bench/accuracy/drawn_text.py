"""Images with known writing: fonts of the machine, photographs or drawn scenes behind them.

Each image has a text that its prompt asks for. A third of the images show it with one character changed,
missing or doubled, a fifth show no writing at all, the rest show it as wanted. Sizes, colours, fonts, places,
line breaks and rotations of up to 15 degrees are drawn at random.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, ImageStat

Script = Literal["latin", "chinese", "mixed"]
Fault = Literal["", "changed", "missing", "doubled", "no text"]

FAULTY_SHARE = 1 / 3
EMPTY_SHARE = 1 / 5
MAX_ANGLE = 15.0
"""Degrees."""
MIN_CONTRAST = 90.0
"""Smallest difference in luminance, 0 to 255, between the letters and what is behind them."""
MIN_HEIGHT, MAX_HEIGHT = 20, 96
"""Font sizes in pixels."""
SIZES = ((512, 512), (640, 480), (480, 720), (768, 768), (1024, 640))
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")
CJK_NAMES = (
    "cjk",
    "wqy",
    "zenhei",
    "microhei",
    "sourcehan",
    "uming",
    "ukai",
    "notosanssc",
    "notoserifsc",
    "arphic",
)
"""Parts of the file names of fonts with Chinese characters."""
UNSUITED_NAMES = ("emoji", "symbol", "math", "mono-oblique", "icons", "stix", "opens")
"""Parts of the file names of fonts that are not for running text."""

WORDS = tuple(
    "open late coffee bakery hotel market garden summer winter happy birthday welcome home fresh fish sale "
    "today only library station exit museum love peace music dream big never stop city lights golden river "
    "north street books kitchen school party jazz night forest travel slow down keep calm green planet "
    "quality bread organic honey thank you good morning world record cinema ticket number seven".split()
)
CHINESE = (
    "营业中 欢迎光临 咖啡馆 生日快乐 新年快乐 书店 花店 今日特价 禁止停车 小心地滑 图书馆 出口 北京欢迎你 "
    "天天向上 平安健康 面包房 理发店 全场五折 请勿吸烟 中国加油 春暖花开 美味早餐 茶馆 火车站 学习使我快乐"
).split()
CHINESE_CHARACTERS = "大小上下山水火风花鸟人天日月星海云雨雪春夏秋冬东南西北红黄蓝白黑酒饭店路门车马"
PROMPTS = (
    'a sign that says "{}"',
    'a poster with the text "{}"',
    "a wall with the words “{}”",
    'a storefront with "{}" written on it',
    'a banner reading "{}"',
)
CHINESE_PROMPTS = ("一块招牌，上面写着“{}”", '海报上有"{}"字样', "街边的广告牌写着「{}」")


@dataclass(frozen=True)
class DrawnText:
    """One image with known writing."""

    image: Image.Image
    prompt: str
    wanted: str
    """The text that the prompt asks for."""
    shown: str
    """The text in the image; empty if there is none."""
    fault: Fault
    """How `shown` differs from `wanted`; empty if it does not."""
    script: Script
    font: str
    """File name of the font."""
    angle: float
    """Rotation in degrees."""
    height: int
    """Size of the font in pixels."""


def find_fonts(folders: Sequence[str | Path] = FONT_FOLDERS) -> tuple[list[Path], list[Path]]:
    """Return the font files for Latin letters, and those with Chinese characters, sorted by name."""
    found = sorted(
        path
        for folder in folders
        if Path(folder).is_dir()
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in (".ttf", ".otf", ".ttc")
    )
    usable = [path for path in found if not any(name in path.name.lower() for name in UNSUITED_NAMES)]
    chinese = [path for path in usable if any(name in path.name.lower() for name in CJK_NAMES)]
    return [path for path in usable if path not in chinese], chinese


def draw_texts(
    count: int,
    seed: int,
    latin: Sequence[Path],
    chinese: Sequence[Path],
    backgrounds: Sequence[Path] = (),
) -> Iterator[DrawnText]:
    """Draw images with known writing.

    Args:
        count: number of images.
        seed: the same seed, fonts and backgrounds give the same images.
        latin: fonts for Latin letters.
        chinese: fonts with Chinese characters; without any, no image has Chinese writing.
        backgrounds: photographs behind the writing; without any, drawn scenes.
    """
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        fault = _draw_fault(index, rng)
        script: Script = rng.choice(("latin", "latin", "chinese", "mixed")) if chinese else "latin"
        wanted = _draw_wanted(script, rng)
        shown = _spoil(wanted, fault, rng)
        image = _draw_background(backgrounds, rng, seed * 100_000 + index)
        font = rng.choice(latin if script == "latin" else chinese)
        angle, height = 0.0, 0
        if shown:
            angle = round(rng.uniform(-MAX_ANGLE, MAX_ANGLE), 1) if rng.random() < 0.7 else 0.0
            height = _write(image, shown, font, angle, rng)
        prompts = CHINESE_PROMPTS if script == "chinese" else PROMPTS
        yield DrawnText(
            image, rng.choice(prompts).format(wanted), wanted, shown, fault, script, font.name, angle, height
        )


def _draw_fault(index: int, rng: random.Random) -> Fault:
    """Return the fault of an image; the shares hold for every run of 15 images."""
    kinds: list[Fault] = ["changed", "missing", "doubled"]
    place = index * 7 % 15 / 15
    if place < EMPTY_SHARE:
        return "no text"
    return rng.choice(kinds) if place < EMPTY_SHARE + FAULTY_SHARE else ""


def _draw_wanted(script: Script, rng: random.Random) -> str:
    if script == "chinese":
        return rng.choice(CHINESE)
    words = rng.sample(WORDS, rng.choice((1, 1, 2, 2, 3, 4)))
    case = rng.choice((str.upper, str.title, str.upper, str.lower))
    text = case(" ".join(words))
    if script == "mixed":
        digits = str(rng.randint(2, 2035))
        return rng.choice((f"{rng.choice(CHINESE)} {text.split()[0]}", f"{digits}{rng.choice(CHINESE)}"))
    if rng.random() < 0.25:
        text += " " + rng.choice(
            (str(rng.randint(2, 2035)), f"{rng.randint(5, 90)}% OFF", f"${rng.randint(1, 99)}")
        )
    return text


def _spoil(text: str, fault: Fault, rng: random.Random) -> str:
    """Return the text with the fault."""
    if fault == "no text" or not fault:
        return "" if fault else text
    places = [at for at, character in enumerate(text) if character.isalnum()]
    at = rng.choice(places)
    if fault == "missing":
        return text[:at] + text[at + 1 :]
    if fault == "doubled":
        return text[:at] + text[at] + text[at:]
    old = text[at]
    if old.isdigit():
        new = rng.choice([digit for digit in "0123456789" if digit != old])
    elif old.isascii():
        new = rng.choice([letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter != old.lower()])
        new = new.upper() if old.isupper() else new
    else:
        new = rng.choice([character for character in CHINESE_CHARACTERS if character != old])
    return text[:at] + new + text[at + 1 :]


def _draw_background(paths: Sequence[Path], rng: random.Random, seed: int) -> Image.Image:
    size = rng.choice(SIZES)
    if not paths:
        from judge.scenes.scene import draw_scene

        return Image.fromarray(draw_scene(seed).image).resize(size, Image.Resampling.BICUBIC)
    with Image.open(rng.choice(paths)) as opened:
        photo = opened.convert("RGB")
    scale = max(size[0] / photo.width, size[1] / photo.height)
    photo = photo.resize((round(photo.width * scale) + 1, round(photo.height * scale) + 1))
    left, top = rng.randint(0, photo.width - size[0]), rng.randint(0, photo.height - size[1])
    return photo.crop((left, top, left + size[0], top + size[1]))


def _write(image: Image.Image, text: str, path: Path, angle: float, rng: random.Random) -> int:
    """Write a text into an image and return the size of its font in pixels."""
    words = text.split(" ")
    if len(words) > 2 or (len(words) == 2 and rng.random() < 0.3):
        middle = (len(words) + 1) // 2
        text = " ".join(words[:middle]) + "\n" + " ".join(words[middle:])
    height = rng.randint(MIN_HEIGHT, MAX_HEIGHT)
    while True:
        layer = _render(text, ImageFont.truetype(str(path), height), angle)
        if height <= MIN_HEIGHT or (layer.width < image.width * 0.92 and layer.height < image.height * 0.92):
            break
        height = max(MIN_HEIGHT, int(height * 0.85))
    left = rng.randint(0, max(0, image.width - layer.width))
    top = rng.randint(0, max(0, image.height - layer.height))
    box = (left, top, left + layer.width, top + layer.height)
    if rng.random() < 0.5:  # a plate behind the letters
        plate = tuple(rng.randint(0, 255) for _ in range(3))
        mask = Image.new("L", layer.size, 255)
        if angle:
            flat = _render(text, ImageFont.truetype(str(path), height), 0.0)
            mask = Image.new("L", flat.size, 255).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        image.paste(Image.new("RGB", layer.size, plate), (left, top), mask)
    behind = ImageStat.Stat(image.crop(box).convert("L"))
    image.paste(Image.new("RGB", layer.size, _draw_ink(behind.mean[0], rng)), (left, top), layer)
    return height


def _draw_ink(background: float, rng: random.Random) -> tuple[int, int, int]:
    """Return a colour that stands out from a luminance of the background."""
    while True:
        ink = (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))
        luminance = 0.299 * ink[0] + 0.587 * ink[1] + 0.114 * ink[2]
        if abs(luminance - background) >= MIN_CONTRAST:
            return ink


def _render(text: str, font: ImageFont.FreeTypeFont, angle: float) -> Image.Image:
    """Return a text as a mask, rotated."""
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = probe.multiline_textbbox((0, 0), text, font=font, align="center")
    margin = max(4, int(font.size) // 6)
    mask = Image.new("L", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin))
    ImageDraw.Draw(mask).multiline_text(
        (margin - left, margin - top), text, fill=255, font=font, align="center"
    )
    return mask.rotate(angle, Image.Resampling.BICUBIC, expand=True) if angle else mask
