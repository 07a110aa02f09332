"""Loading images: every source gives a correct image or one clear error, never another exception."""

from __future__ import annotations

import base64
import io
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread, current_thread
from typing import Any

import numpy as np
import pytest
from encoded_images import encode_image, loading_error
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from judge.errors import MediaError
from judge.media import image as image_module
from judge.media.image import load_image, resize_to_fit

RED, BLUE = (255, 0, 0), (0, 0, 255)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file whose header states a size that its pixel data does not have."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


def is_same(image: Image.Image, other: Image.Image) -> bool:
    return image.size == other.size and np.array_equal(np.asarray(image), np.asarray(other))


# Sources


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_are_loaded_unchanged(noise_image: Image.Image, kind: str) -> None:
    loaded = load_image(encode_image(noise_image, kind))
    assert is_same(loaded.image, noise_image) and loaded.notes == []
    assert (loaded.width, loaded.height) == (64, 48)
    assert loaded.image.mode == "RGB" and loaded.image.format == "PNG"


def test_every_kind_of_source_gives_the_same_image(noise_image: Image.Image, tmp_path: Path) -> None:
    data = encode_image(noise_image, "PNG")
    path = tmp_path / "röd cirkel.png"
    path.write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    for source in (
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        url,
        noise_image,
        np.asarray(noise_image),
    ):
        assert is_same(load_image(source).image, noise_image)


def test_a_symbolic_link_is_followed(noise_image: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(noise_image, "PNG"))
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert is_same(load_image(tmp_path / "b.png").image, noise_image)


def test_the_image_of_the_caller_is_not_changed(noise_image: Image.Image) -> None:
    before = noise_image.copy()
    load_image(noise_image).image.paste((0, 0, 0), (0, 0, 64, 48))
    assert is_same(noise_image, before) and noise_image.format is None


def test_arrays_may_be_grey_have_one_channel_or_alpha() -> None:
    grey = np.full((5, 7), 90, dtype=np.uint8)
    for array in (
        grey,
        grey[:, :, None],
        np.dstack([grey] * 3),
        np.dstack([grey] * 3 + [np.full_like(grey, 255)]),
    ):
        loaded = load_image(array)
        assert (loaded.width, loaded.height) == (7, 5) and loaded.image.getpixel((6, 4)) == (90, 90, 90)
    assert load_image(np.dstack([grey] * 3)[::-1, ::-1]).image.size == (7, 5)


# Formats


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (40, 24), BLUE)
    upright.paste(RED, (0, 0, 8, 8))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encode_image(stored, "PNG", exif=exif))
    assert (loaded.width, loaded.height) == (40, 24) and is_same(loaded.image, upright)


def test_an_image_with_broken_exif_data_is_loaded(noise_image: Image.Image) -> None:
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert load_image(encode_image(noise_image, "JPEG", exif=exif)).width == 64


def test_cmyk_jpeg_becomes_rgb_with_a_note() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    loaded = load_image(encode_image(red, "JPEG", quality=95))
    r, g, b = loaded.image.getpixel((8, 8))
    assert r > 240 and g < 15 and b < 15
    assert any("CMYK" in note for note in loaded.notes)


def test_16_bit_grey_keeps_its_shades() -> None:
    """Pillow's own conversion makes every value above 255 of 65535 white, so a photograph becomes blank."""
    ramp = (np.arange(256, dtype=np.uint16) * 257)[None, :].repeat(4, axis=0)
    for kind in ("PNG", "TIFF"):
        loaded = load_image(encode_image(Image.fromarray(ramp), kind))
        assert np.array_equal(np.asarray(loaded.image)[0, :, 0], np.arange(256))
        assert any("16-bit" in note for note in loaded.notes)


def test_float_grey_is_stretched_with_a_note() -> None:
    ramp = np.linspace(-2.0, 6.0, 64, dtype=np.float32)[None, :].repeat(4, axis=0)
    ramp[0, 0] = np.nan
    loaded = load_image(encode_image(Image.fromarray(ramp), "TIFF"))
    assert np.asarray(loaded.image)[1, :, 0].tolist() == sorted(np.asarray(loaded.image)[1, :, 0].tolist())
    assert any("stretched" in note for note in loaded.notes)
    flat = load_image(encode_image(Image.fromarray(np.full((4, 4), 3.0, dtype=np.float32)), "TIFF"))
    assert flat.image.getextrema() == ((0, 0),) * 3


def test_1_bit_images_become_black_and_white() -> None:
    loaded = load_image(encode_image(Image.fromarray(np.eye(8, dtype=bool)), "PNG"))
    assert loaded.image.getpixel((0, 0)) == (255, 255, 255) and loaded.image.getpixel((1, 0)) == (0, 0, 0)


def test_palette_images_keep_their_colours() -> None:
    stripes = Image.new("RGB", (8, 8), RED)
    stripes.paste(BLUE, (4, 0, 8, 8))
    for kind in ("PNG", "GIF"):
        loaded = load_image(encode_image(stripes.quantize(4), kind))
        assert is_same(loaded.image, stripes) and loaded.notes == []


def test_transparent_parts_become_white_with_a_note() -> None:
    """Hidden pixels under alpha 0 are usually black. A judge must see what a person sees on a white page."""
    layer = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    layer.paste((*RED, 255), (0, 0, 4, 8))
    palette = layer.quantize(4)
    sources = [
        (layer, "PNG"),
        (layer, "WEBP"),
        (palette, "PNG"),
        (layer, "GIF"),
        (layer.convert("LA"), "PNG"),
    ]
    for image, kind in sources:
        options = {"lossless": True} if kind == "WEBP" else {}
        loaded = load_image(encode_image(image, kind, **options))
        assert loaded.image.getpixel((7, 4)) == (255, 255, 255), (image.mode, kind)
        assert loaded.image.getpixel((0, 4)) != (255, 255, 255)
        assert any("white" in note for note in loaded.notes)


def test_an_opaque_alpha_channel_gives_no_note(noise_image: Image.Image) -> None:
    loaded = load_image(encode_image(noise_image.convert("RGBA"), "PNG"))
    assert is_same(loaded.image, noise_image) and loaded.notes == []


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_loaded_with_a_note(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, BLUE)]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encode_image(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    loaded = load_image(data)
    assert loaded.image.getpixel((8, 8)) == RED
    assert any("first frame" in note for note in loaded.notes)
    opened = Image.open(io.BytesIO(data))
    opened.seek(1)
    assert load_image(opened).image.getpixel((8, 8)) == RED


def test_the_first_page_of_a_tiff_is_loaded_with_a_note() -> None:
    pages = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    loaded = load_image(encode_image(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert loaded.image.getpixel((8, 8)) == RED and any("page" in note for note in loaded.notes)


def test_a_photograph_with_a_second_view_is_not_an_animation() -> None:
    views = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    loaded = load_image(encode_image(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert loaded.image.getpixel((8, 8))[0] > 200 and loaded.notes == []


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_images_of_extreme_shapes_are_loaded_and_resized(size: tuple[int, int]) -> None:
    loaded = load_image(encode_image(Image.new("RGB", size, RED), "PNG"))
    assert (loaded.width, loaded.height) == size
    small, (sx, sy) = resize_to_fit(loaded, side=224)
    assert small.size == (224, 224) and (sx * 224, sy * 224) == pytest.approx(size)
    shaped, (sx, sy) = resize_to_fit(loaded, max_pixels=10_000)
    width, height = shaped.size
    assert width * height <= 10_000 and max(width, height) <= 100 * min(width, height)
    assert (sx * width, sy * height) == pytest.approx(size)


# Rejected sources


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("tenth", range(10))
def test_files_truncated_at_any_tenth_are_rejected(noise_image: Image.Image, kind: str, tenth: int) -> None:
    """Half an image that is judged as a whole would get a wrong score with full confidence."""
    data = encode_image(noise_image, kind)
    error = loading_error(data[: len(data) * tenth // 10])
    assert any(word in error.mend for word in ("empty", "truncated", "damaged", "not one of these"))


def test_a_truncated_image_that_pillow_has_opened_is_rejected(noise_image: Image.Image) -> None:
    data = encode_image(noise_image, "PNG")
    assert "truncated" in loading_error(Image.open(io.BytesIO(data[: len(data) // 2]))).mend


def test_several_threads_can_load_one_lazily_opened_image(noise_image: Image.Image) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.002)
            return super().read(size)

    lazy = Image.open(Slow(encode_image(noise_image, "PNG")))
    start = Barrier(4)

    def load_after_start(_: int) -> Image.Image:
        start.wait()
        return load_image(lazy).image

    with ThreadPoolExecutor(4) as pool:
        assert all(is_same(found, noise_image) for found in pool.map(load_after_start, range(4)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"hello, I am a picture",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + b"\0" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"BM" + b"\xff" * 60,
        b"P6 99999999999999999999 1 255\n",
        b"II*\0\xff\xff\xff\x7f",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_data_that_is_not_an_image_is_rejected(data: bytes) -> None:
    loading_error(data)


def test_changed_bytes_raise_no_other_kind_of_error(noise_image: Image.Image) -> None:
    """Decoders raise struct, zlib, index and overflow errors on hostile files; callers catch MediaError."""
    random = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        clean = encode_image(noise_image.resize((16, 12)), kind)
        for _ in range(60):
            data = bytearray(clean)
            for position in random.integers(0, min(len(data), 200), 3):
                data[position] = random.integers(0, 256)
            try:
                loaded = load_image(bytes(data), max_pixels=1_000_000)
            except MediaError:
                continue
            assert loaded.image.mode == "RGB"


@given(st.binary(max_size=300))
def test_any_bytes_give_an_image_or_a_media_error(data: bytes) -> None:
    try:
        load_image(data, max_pixels=1_000_000)
    except MediaError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("size", [(60000, 60000), (12000, 9000), (8001, 8000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_rejected_before_decoding(size: tuple[int, int]) -> None:
    """A header of a few hundred bytes may state gigabytes. Rejecting it must be cheap and silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "at most 64000000 pixels" in loading_error(png_header(*size)).allowed


def test_threads_that_load_at_the_same_time_restore_the_warning_filters(
    noise_image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that enters first leaves first. The other one still loads without warnings."""
    both_inside, first_left = Barrier(2, timeout=60), Event()
    decode, state = image_module._decode, {}

    def slow_decode(*arguments: Any) -> Any:
        both_inside.wait()
        if current_thread().name == "second":
            assert first_left.wait(60)
            state["silent"] = any(rule[3] and rule[3].match("PIL.Image") for rule in warnings.filters)
        return decode(*arguments)

    monkeypatch.setattr(image_module, "_decode", slow_decode)
    before = list(warnings.filters)
    data = encode_image(noise_image, "PNG")
    first, second = (Thread(target=load_image, args=(data,), name=name) for name in ("first", "second"))
    first.start()
    second.start()
    first.join(60)
    first_left.set()
    second.join(60)
    assert state == {"silent": True} and warnings.filters == before


def test_the_pixel_limit_applies_to_every_kind_of_source(noise_image: Image.Image) -> None:
    for source in (encode_image(noise_image, "PNG"), noise_image, np.asarray(noise_image)):
        assert "64 x 48" in loading_error(source, max_pixels=64 * 48 - 1).mend
        assert load_image(source, max_pixels=64 * 48).width == 64


@pytest.mark.parametrize("source", [None, 7, 3.5, ["a.png"], {"image": 1}, object()])
def test_sources_of_other_types_are_rejected(source: Any) -> None:
    assert "path" in loading_error(source).allowed


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((3, 8, 9), dtype=np.uint8),
        np.zeros((1, 4, 4, 3), dtype=np.uint8),
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((), dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_other_shapes_or_types_are_rejected(array: np.ndarray[Any, Any]) -> None:
    """A float array in 0..1 that is read as 0..255 is a black image with a confident verdict."""
    loading_error(array)


# Resizing


def test_small_images_keep_their_size(noise_image: Image.Image) -> None:
    small, factors = resize_to_fit(load_image(noise_image), max_pixels=10_000)
    assert is_same(small, noise_image) and factors == (1.0, 1.0)
    assert small.format == "PNG"


@given(st.integers(1, 300), st.integers(1, 300), st.integers(100, 20_000))
def test_resizing_keeps_the_limit_and_its_factors_convert_back(width: int, height: int, limit: int) -> None:
    loaded = load_image(np.zeros((height, width, 3), dtype=np.uint8))
    small, (sx, sy) = resize_to_fit(loaded, max_pixels=limit)
    assert small.width * small.height <= limit
    assert (small.width * sx, small.height * sy) == pytest.approx((width, height))


def test_resizing_does_not_change_the_original(noise_image: Image.Image) -> None:
    loaded = load_image(noise_image)
    for options in ({"side": 8}, {"max_pixels": 100}, {"side": 64}, {}):
        small, _ = resize_to_fit(loaded, **options)
        small.paste((0, 0, 0), (0, 0, *small.size))
    assert is_same(loaded.image, noise_image)
