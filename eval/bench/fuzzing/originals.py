"""Valid images, videos, tables and requests to damage: small ones, of many formats."""

from __future__ import annotations

import base64
import io
import json
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

LONG_FRAMES = 300
"""Frames of the long clips, of which only some are decoded."""


@cache
def images() -> tuple[bytes, ...]:
    """Return encoded images of every format and kind of pixels that is read."""
    rgb = Image.fromarray(_noise(48, 64))
    deep = np.random.default_rng(1).normal(0, 100, (40, 56)).astype(np.float32)
    whole = np.random.default_rng(2).integers(-(2**31), 2**31 - 1, (40, 56)).astype(np.int32)
    short = np.random.default_rng(3).integers(0, 65536, (40, 56)).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [Image.fromarray(_noise(24, 32, seed)) for seed in range(4)]
    several: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    exif[0x0112] = 6
    saved: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "PNG", {}), (rgb, "PNG", {"icc_profile": srgb}), (rgb.convert("P"), "PNG", {"transparency": 0}),
        (rgb.convert("RGBA"), "PNG", {}), (rgb.convert("LA"), "PNG", {}), (rgb.convert("1"), "PNG", {}),
        (Image.fromarray(short), "PNG", {}), (frames[0], "PNG", several),
        (rgb, "JPEG", {"exif": exif.tobytes()}), (rgb, "JPEG", {"progressive": True, "icc_profile": profile}),
        (rgb.convert("CMYK"), "JPEG", {}), (rgb.convert("L"), "JPEG", {}),
        (rgb, "WEBP", {}), (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        (frames[0], "WEBP", several), (rgb.convert("P"), "GIF", {}), (frames[0], "GIF", several),
        (rgb, "BMP", {}), (rgb.convert("P"), "BMP", {}), (rgb, "PPM", {}), (rgb.convert("L"), "PPM", {}),
        (rgb, "TIFF", {}), (rgb, "TIFF", {"compression": "jpeg"}), (rgb.convert("LAB"), "TIFF", {}),
        (Image.fromarray(deep), "TIFF", {}), (Image.fromarray(deep), "TIFF", {"compression": "tiff_lzw"}),
        (Image.fromarray(whole), "TIFF", {"compression": "tiff_adobe_deflate"}),
        (Image.fromarray(whole), "TIFF", {}), (Image.fromarray(short), "TIFF", {}),
        (frames[0], "TIFF", several),
        (rgb, "AVIF", {}), (frames[0], "AVIF", several),
    ]  # fmt: skip
    encoded = [_save(image, name, **options) for image, name, options in saved]
    return (*encoded, *_extra_images(rgb))


def _extra_images(rgb: Image.Image) -> list[bytes]:
    """Return images in the formats whose packages are installed."""
    encoded = []
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
        encoded.append(_save(rgb, "HEIF"))
    except ImportError:
        pass
    try:
        import pillow_jxl  # noqa: F401 - registers the format

        encoded.append(_save(rgb, "JXL"))
    except ImportError:
        pass
    return encoded


@cache
def videos() -> tuple[bytes, ...]:
    """Return encoded videos: short and long, with and without B-frames, and animated images."""
    clips = [
        ("mp4", "libx264", 24, {"bf": "2"}), ("matroska", "libx264", 24, {}), ("webm", "libvpx", 12, {}),
        ("avi", "mpeg4", 24, {}), ("mpegts", "libx264", 24, {"bf": "2"}), ("mpeg", "mpeg2video", 24, {}),
        ("flv", "libx264", 12, {}), ("mp4", "libx264", LONG_FRAMES, {"bf": "2", "g": "30"}),
        ("matroska", "libx264", LONG_FRAMES, {"g": "30"}),
        ("mpegts", "libx264", LONG_FRAMES, {"bf": "2", "g": "30"}),
    ]  # fmt: skip
    encoded = [_encode_clip(*clip) for clip in clips]
    frames = [Image.fromarray(_noise(24, 32, seed)) for seed in range(6)]
    more: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 80}
    return (*encoded, *(_save(frames[0], name, **more) for name in ("GIF", "WEBP", "PNG", "AVIF")))


def tables() -> tuple[tuple[str, bytes], ...]:
    """Return files of rows: name and bytes."""
    rows = [
        {"id": n, "image": f"{n}.png", "prompt": f"a cat, {n} dogs", "elements": ["a cat"]} for n in range(6)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    comma = "id,image,prompt,elements\n" + "".join(
        f'{n},{n}.png,"a ""red"" cat, {n}",a; b\n' for n in range(6)
    )
    return (
        ("rows.jsonl", lines.encode()),
        ("rows.json", json.dumps(rows).encode()),
        ("rows.csv", comma.encode()),
        ("rows.csv", comma.replace(",", ";").encode("utf-16")),
        ("rows.tsv", comma.replace(",", "\t").encode("utf-8-sig")),
        ("rows.csv", ("sep=;\r\n" + comma.replace(",", ";").replace("\n", "\r\n")).encode("cp1252")),
    )


@cache
def requests() -> tuple[tuple[str, Any], ...]:
    """Return routes and JSON bodies."""
    url = "data:image/png;base64," + base64.b64encode(_save(Image.fromarray(_noise(12, 16)), "PNG")).decode()
    row = {"id": "a", "image": url, "prompt": "a red circle and two cats", "negative_prompt": "fish"}
    options = {"rubric": "default", "max_elements": 5}
    return (
        ("/v1/verdicts", {**row, **options, "depth": "score", "elements": ["a cat", "a dog"], "looks": 1}),
        ("/v1/scores", {"rows": [row, {**row, "elements": "words"}, {"id": 3, "image": url}], **options}),
        ("/v1/compare", {"a": url, "b": url, "prompt": "a cat", "how": "pointwise", "depth": "score"}),
    )


def _noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return coarse noise, (height, width, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return pixels.repeat(4, 0).repeat(4, 1)


def _save(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _encode_clip(container: str, codec: str, count: int, options: dict[str, str]) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 24)
        for number in range(count):
            pixels = np.roll(_noise(48, 64), number, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()
