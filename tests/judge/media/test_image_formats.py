"""Formats of images: packages for some, the base image of HDR files, and animations."""

from __future__ import annotations

import builtins
import importlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from encoded_images import encode_image, loading_error
from PIL import Image

from judge.media.image import load_image
from judge.media.image_formats import GAIN_MAP_NOTE, read_jxl_size

RED = (250, 10, 10)
HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
JXL_HEADS = (b"\xff\x0a\xfa\x1f", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ")


def needs(name: str) -> Any:
    """Import a package of the extras `formats` and `jxl`, or skip the test."""
    module = pytest.importorskip(name)
    if name == "pillow_heif":
        module.register_heif_opener()
    return module


# Packages


@pytest.mark.parametrize(
    ("data", "package"),
    [
        (HEIC_HEAD + bytes(100), "pillow-heif"),
        (HEIC_HEAD.replace(b"heic", b"hevc") + bytes(100), "pillow-heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100), "pillow-heif"),
        (JXL_HEADS[0] + bytes(100), "pillow-jxl-plugin"),
        (JXL_HEADS[1] + b"\0\0\0\x20jxlc\xff\x0a\xfa\x1f" + bytes(100), "pillow-jxl-plugin"),
    ],
)
def test_without_its_package_the_refusal_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, data: bytes, package: str
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    error = loading_error(data)
    extra = "jxl" if package == "pillow-jxl-plugin" else "formats"
    assert package in error.mend and f'pip install "judge[{extra}]"' in error.mend


def test_heic_is_read_upright(noise_image: Image.Image) -> None:
    needs("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.new("RGB", (48, 64), RED)
    data = encode_image(upright.transpose(Image.Transpose.ROTATE_90), "HEIF", exif=exif.tobytes(), quality=95)
    loaded = load_image(data)
    assert loaded.image.size == (48, 64) and loaded.notes == []
    assert abs(loaded.image.getpixel((9, 9))[0] - 250) < 12
    several = encode_image(upright, "HEIF", save_all=True, append_images=[upright])
    assert load_image(several).notes == ["several images: judged by the main one"]
    assert loading_error(data[: len(data) // 2]).mend


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (1920, 1080), (257, 513), (3, 4000)])
def test_jpeg_xl_is_read_and_its_size_known_before(container: bool, size: tuple[int, int]) -> None:
    needs("pillow_jxl")
    data = encode_image(Image.new("RGB", size, RED), "JXL", lossless=True, use_container=container, effort=1)
    assert read_jxl_size(data) == size == load_image(data).image.size
    assert load_image(data).image.getpixel((0, 0)) == RED
    if size != (1, 1):
        assert "at most" in loading_error(data, max_pixels=size[0] * size[1] - 1).allowed


@pytest.mark.parametrize("data", [*JXL_HEADS, HEIC_HEAD, JXL_HEADS[1] + b"\0\0\0\x01jxlc"])
def test_damaged_files_of_the_extra_formats_are_one_error(data: bytes) -> None:
    needs("pillow_heif"), needs("pillow_jxl")
    loading_error(data + bytes(50))
    loading_error(data)


# Beyond 8 bits


def insert_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Insert an application segment after the start of a JPEG file."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta hdrgm:Version="1.0"/>'),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
        (
            0xE1,
            b"http://ns.adobe.com/xap/1.0/\0<x a='urn:com:apple:photo:2020:aux:hdrgainmap'/>",
        ),
    ],
)
def test_of_a_file_with_a_gain_map_the_base_image_is_judged_with_a_note(
    noise_image: Image.Image, marker: int, body: bytes
) -> None:
    data = encode_image(noise_image, "JPEG", quality=90)
    plain, with_map = load_image(data), load_image(insert_segment(data, marker, body) + data)
    assert with_map.image.tobytes() == plain.image.tobytes()
    assert with_map.notes == [GAIN_MAP_NOTE] and plain.notes == []


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (13, ""), (1, "")])
def test_hdr_images_are_noted(noise_image: Image.Image, transfer: int, name: str) -> None:
    png = encode_image(noise_image, "PNG")
    png = png[:33] + png_chunk(b"cICP", bytes((9, transfer, 0, 1))) + png[33:]
    avif = bytearray(encode_image(noise_image, "AVIF"))
    at = avif.index(b"colrnclx")
    avif[at + 10 : at + 12] = struct.pack(">H", transfer)
    for data in (png, bytes(avif)):
        notes = load_image(data).notes
        assert [f"HDR image ({name})" in note for note in notes] == [True] * bool(name)


def test_16_bit_colour_is_noted() -> None:
    row = b"\0" + struct.pack(">HHH", 65535, 32768, 0) * 4
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    png += png_chunk(b"IDAT", zlib.compress(row * 4)) + png_chunk(b"IEND", b"")
    loaded = load_image(png)
    assert loaded.image.getpixel((0, 0)) == (255, 128, 0) and loaded.notes == [
        "16-bit colour reduced to 8 bits"
    ]


# Animations


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "GIF", "PNG"])
def test_an_animation_as_an_image_is_judged_by_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, (0, 200, 0), (0, 0, 200))]
    data = encode_image(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    opened = Image.open(io.BytesIO(data))
    opened.seek(2)
    for source in (data, opened):
        loaded = load_image(source)
        assert np.abs(np.subtract(loaded.image.getpixel((9, 9)), RED)).max() < 12
        assert loaded.notes == ["animation: judged by its first frame"]


def test_packages_are_imported_only_for_their_files(
    noise_image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = []
    original = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *a, **k: imported.append(name) or original(name, *a, **k)
    )
    load_image(encode_image(noise_image, "PNG"))
    assert not {"pillow_heif", "pillow_jxl"} & set(imported)
