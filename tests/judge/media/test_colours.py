"""Colours: profiles are converted to sRGB, sRGB stays bit by bit, and every mode is read."""

from __future__ import annotations

import io
from typing import Any

import colour_profiles as profiles
import numpy as np
import pytest
from encoded_images import encode_image
from PIL import Image, ImageCms

import judge.media.colours as colours_module
from judge.backends.scripted import Scripted
from judge.errors import MediaError
from judge.judge import Judge
from judge.media.image import load_image
from judge.media.tensors import load_image_or_tensor

SPACES: dict[str, tuple[np.ndarray, Any]] = {
    "display-p3": (profiles.DISPLAY_P3, None),
    "adobe-rgb": (profiles.ADOBE_RGB, 2.2),
    "prophoto": (profiles.PROPHOTO, 1.8),
    "srgb-primaries-gamma-1.8": (profiles.SRGB, 1.8),
}
BUILT_IN_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_of(space: str) -> bytes:
    primaries, gamma = SPACES[space]
    return profiles.rgb_profile(primaries, gamma or profiles.SRGB_CURVE)


def levels_off(image: Image.Image, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(image, np.float64) - expected).max())


@pytest.fixture(scope="module")
def colours() -> Image.Image:
    """Random colours that all spaces have, none near black, where curves differ by rounding."""
    return Image.fromarray(np.random.default_rng(5).integers(60, 200, (24, 32, 3), dtype=np.uint8))


# Profiles


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_colour_profile_is_converted_to_srgb(colours: Image.Image, space: str, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    loaded = load_image(encode_image(colours, kind, icc_profile=profile_of(space), **options))
    expected = profiles.to_srgb(np.asarray(colours), *SPACES[space])
    assert levels_off(loaded.image, expected) <= 2
    assert levels_off(colours, expected) > 10
    assert loaded.notes == ["colours converted to sRGB from the profile Test profile"]


def test_a_photograph_in_jpeg_with_a_profile_is_converted(colours: Image.Image) -> None:
    flat = Image.new("RGB", (64, 64), (200, 60, 60))
    data = encode_image(flat, "JPEG", quality=95, icc_profile=profile_of("display-p3"))
    expected = profiles.to_srgb(np.array([[[200, 60, 60]]]), profiles.DISPLAY_P3)
    assert levels_off(load_image(data).image, expected) <= 3


@pytest.mark.parametrize(
    "profile", [BUILT_IN_SRGB, profiles.rgb_profile(profiles.SRGB)], ids=["littlecms", "from numbers"]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_profile_of_srgb_changes_no_bit(noise_image: Image.Image, kind: str, profile: bytes) -> None:
    with_profile = load_image(encode_image(noise_image, kind, icc_profile=profile))
    without = load_image(encode_image(noise_image, kind))
    assert with_profile.image.tobytes() == without.image.tobytes() and with_profile.notes == []


def test_grey_profiles_apply_to_grey_images() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    linear = load_image(encode_image(Image.fromarray(ramp), "PNG", icc_profile=profiles.grey_profile(1.0)))
    expected = profiles.to_srgb(ramp[..., None].repeat(3, 2), profiles.SRGB, 1.0)
    assert levels_off(linear.image, expected) <= 2 and linear.image.getpixel((55, 0))[0] > 120
    alpha = Image.merge("LA", [Image.fromarray(ramp), Image.new("L", (256, 4), 255)])
    with_alpha = load_image(encode_image(alpha, "PNG", icc_profile=profiles.grey_profile(1.0)))
    assert with_alpha.image.tobytes() == linear.image.tobytes()


def test_grey_images_may_have_a_profile_of_colours() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    loaded = load_image(encode_image(ramp, "PNG", icc_profile=profile_of("srgb-primaries-gamma-1.8")))
    expected = profiles.to_srgb(np.asarray(ramp.convert("RGB")), profiles.SRGB, 1.8)
    assert levels_off(loaded.image, expected) <= 3


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_printer_profile_applies_to_cmyk(kind: str) -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    options: dict[str, Any] = {"quality": 100} if kind == "JPEG" else {}
    loaded = load_image(encode_image(inks, kind, icc_profile=profiles.cmyk_profile(), **options))
    # Lab 65, 60, 80 by the profile.
    r, g, b = loaded.image.getpixel((8, 8))
    assert r > 240 and 90 < g < 120 and b < 30
    assert not any("without a colour profile" in note for note in loaded.notes)
    black = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    assert (
        max(load_image(encode_image(black, kind, icc_profile=profiles.cmyk_profile())).image.getpixel((8, 8)))
        < 8
    )


def test_palettes_and_transparent_images_are_converted(colours: Image.Image) -> None:
    palette = colours.quantize(16)
    expected = profiles.to_srgb(np.asarray(palette.convert("RGB")), profiles.DISPLAY_P3)
    profile = profile_of("display-p3")
    assert levels_off(load_image(encode_image(palette, "PNG", icc_profile=profile)).image, expected) <= 2
    layer = colours.convert("RGBA")
    layer.putalpha(Image.new("L", colours.size, 0))
    hidden = load_image(encode_image(layer, "PNG", icc_profile=profile))
    assert hidden.image.getextrema() == ((255, 255),) * 3
    assert any("white" in note for note in hidden.notes)


@pytest.mark.parametrize(
    "profile",
    [b"nonsense", b"\0" * 200, profiles.rgb_profile(profiles.SRGB)[:150], profiles.cmyk_profile()[:-900]],
    ids=["text", "zeros", "cut", "cut table"],
)
def test_a_broken_profile_is_noted_and_not_used(noise_image: Image.Image, profile: bytes) -> None:
    loaded = load_image(encode_image(noise_image, "PNG", icc_profile=profile))
    assert loaded.image.tobytes() == noise_image.tobytes()
    assert any("profile" in note for note in loaded.notes)


def test_a_profile_of_another_kind_of_colours_is_noted_and_not_used(noise_image: Image.Image) -> None:
    for profile in (profiles.cmyk_profile(), profiles.grey_profile(1.0)):
        loaded = load_image(encode_image(noise_image, "PNG", icc_profile=profile))
        assert loaded.image.tobytes() == noise_image.tobytes()
        assert any("was not used" in note for note in loaded.notes)


def test_images_in_memory_tensors_and_references_are_converted_as_files_are(colours: Image.Image) -> None:
    data = encode_image(colours, "PNG", icc_profile=profile_of("adobe-rgb"))
    in_memory = colours.copy()
    in_memory.info["icc_profile"] = profile_of("adobe-rgb")
    expected = load_image(data).image.tobytes()
    assert load_image(in_memory).image.tobytes() == load_image_or_tensor(data).image.tobytes() == expected
    answer = {"degradation": "none", "severity": "none", "score": 3, "explanation": ""}
    backend = Scripted([answer])
    verdict = Judge(backend=backend, rubric="quality")(data)
    assert any("Test profile" in note for note in verdict.provenance.notes)
    assert backend.requests[0].images[0].tobytes() == expected


# Modes


@pytest.mark.parametrize("mode", ["La", "LA", "RGBa", "PA", "RGBA"])
def test_modes_with_alpha_are_shown_on_white(mode: str) -> None:
    layer = Image.new("RGBA", (6, 4), (90, 90, 90, 255))
    layer.paste((0, 0, 0, 0), (3, 0, 6, 4))
    if mode in ("La", "LA"):
        source = layer.convert("LA").convert(mode)
    elif mode == "PA":
        source = Image.merge("LA", layer.convert("LA").split())
        palette = Image.new("PA", (6, 4))
        palette.putpalette([value for level in range(256) for value in (level,) * 3])
        palette.frombytes(source.tobytes())
        source = palette
    else:
        source = layer.convert(mode)
    loaded = load_image(source)
    assert loaded.image.getpixel((0, 0)) == (90, 90, 90), loaded.image.getpixel((0, 0))
    assert loaded.image.getpixel((5, 3)) == (255, 255, 255)
    assert loaded.notes == ["transparent parts shown on white"]


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr", "HSV", "CMYK", "RGBX", "RGB"])
def test_modes_without_alpha_keep_their_colours(mode: str) -> None:
    white = Image.new("RGB", (6, 4), "white").convert(mode)
    assert load_image(white).image.getextrema() == ((255, 255),) * 3


def test_lab_images_are_converted() -> None:
    loaded = load_image(encode_image(Image.new("LAB", (8, 8), (137, 208, 195)), "TIFF"))  # L 53.7, a 80, b 67
    r, g, b = loaded.image.getpixel((4, 4))
    assert r > 245 and g < 30 and b < 30
    grey = load_image(Image.new("LAB", (8, 8), (128, 128, 128))).image.getpixel((0, 0))
    assert max(grey) - min(grey) <= 1 and 117 <= grey[0] <= 121


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bit_grey_of_either_byte_order_keeps_its_shades(mode: str) -> None:
    ramp = (np.arange(256, dtype=np.uint16) * 257)[None].repeat(2, 0)
    order = ">u2" if mode.endswith("B") else "<u2"
    loaded = load_image(Image.frombytes(mode, (256, 2), ramp.astype(order).tobytes()))
    assert np.array_equal(np.asarray(loaded.image)[0, :, 0], np.arange(256))
    assert loaded.notes == ["16-bit grey reduced to 8 bits"]


@pytest.mark.parametrize("bits", [0x7FA00001, 0xFFA00001, 0x7F800000, 0x7FC00000, 0xFF800000])
def test_values_of_float_images_that_are_no_numbers_cause_no_warning(bits: int) -> None:
    """Warnings are errors here, as they are for some callers."""
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values.view(np.uint32)[0, 0] = bits
    loaded = load_image(encode_image(Image.fromarray(values), "TIFF"))
    assert loaded.image.getpixel((7, 7)) == (255, 255, 255)
    extreme = np.array([[3.4e38, -3.4e38], [0, 1e-38]], np.float32)
    assert load_image(Image.fromarray(extreme)).image.getpixel((0, 0)) == (255, 255, 255)


def _tiff(pixels: np.ndarray, **options: Any) -> bytearray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", **options)
    return bytearray(buffer.getvalue())


def _set_height(data: bytearray, height: int) -> bytes:
    """Overwrite the entry ImageLength (257) of the first directory of a little-endian TIFF."""
    first = int.from_bytes(data[4:8], "little")
    for at in range(first + 2, first + 2 + 12 * int.from_bytes(data[first : first + 2], "little"), 12):
        if int.from_bytes(data[at : at + 2], "little") == 257:
            data[at + 2 : at + 4] = (4).to_bytes(2, "little")
            data[at + 8 : at + 12] = height.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16, np.uint8])
def test_a_tiff_that_claims_more_rows_than_its_strips_hold_is_refused(dtype: Any) -> None:
    """Pillow leaves the other rows black; a wrong byte in the height made 4 million of them."""
    data = _tiff(np.ones((48, 64), dtype))
    assert load_image(bytes(data)).height == 48
    with pytest.raises(MediaError, match="its strips hold 0.1% of 64 x 65539 pixels"):
        load_image(_set_height(data, 65_539))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("size", [(48, 64), (1, 7000), (7000, 1), (601, 599)])
def test_tiffs_of_several_strips_are_whole(compression: str, size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 90, np.uint8)
    assert load_image(bytes(_tiff(rgb, compression=compression))).image.size == size[::-1]


def test_deep_grey_is_converted_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).normal(0, 1, (37, 50)).astype(np.float32)
    pixels[3, 4], pixels[30, 2] = np.nan, np.inf
    whole = np.asarray(load_image(bytes(_tiff(pixels))).image)
    monkeypatch.setattr(colours_module, "_BLOCK_PIXELS", 120)
    assert np.array_equal(np.asarray(load_image(bytes(_tiff(pixels))).image), whole)
    finite = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0)
    expected = np.round((finite - finite.min()) / np.ptp(finite) * 255)
    assert np.array_equal(whole[:, :, 0], expected)
