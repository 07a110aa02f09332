"""Media: whatever is thrown at it, a right picture or one clear error; never a traceback, never a guess."""

from __future__ import annotations

import base64
import io
import os
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
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from judge.errors import MediaError
from judge.media import image as media
from judge.media.image import MAX_BYTES, fit, load

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no such pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


def error_of(source: Any, **limits: int) -> MediaError:
    with pytest.raises(MediaError) as caught:
        load(source, field="picture", **limits)
    error = caught.value
    assert error.field == "picture" and error.allowed and error.mend
    assert "\n" not in str(error) and len(str(error)) < 500
    return error


def same(image: Image.Image, other: Image.Image) -> bool:
    return image.size == other.size and np.array_equal(np.asarray(image), np.asarray(other))


# What is taken


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_arrive_unchanged(picture: Image.Image, kind: str) -> None:
    read = load(encode(picture, kind))
    assert same(read.image, picture) and read.notes == []
    assert (read.width, read.height) == (64, 48)
    assert read.image.mode == "RGB" and read.image.format == "PNG"


def test_every_way_to_pass_a_picture_gives_the_same(picture: Image.Image, tmp_path: Path) -> None:
    data = encode(picture, "PNG")
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
        picture,
        np.asarray(picture),
    ):
        assert same(load(source).image, picture)


def test_a_link_to_a_picture_is_followed(picture: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert same(load(tmp_path / "b.png").image, picture)


def test_the_callers_own_picture_is_not_touched(picture: Image.Image) -> None:
    before = picture.copy()
    load(picture).image.paste((0, 0, 0), (0, 0, 64, 48))
    assert same(picture, before) and picture.format is None


def test_arrays_may_be_grey_have_one_channel_or_alpha() -> None:
    grey = np.full((5, 7), 90, dtype=np.uint8)
    for array in (
        grey,
        grey[:, :, None],
        np.dstack([grey] * 3),
        np.dstack([grey] * 3 + [np.full_like(grey, 255)]),
    ):
        read = load(array)
        assert (read.width, read.height) == (7, 5) and read.image.getpixel((6, 4)) == (90, 90, 90)
    assert load(np.dstack([grey] * 3)[::-1, ::-1]).image.size == (7, 5)


# What a file may mean


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_boxes_refer_to_the_upright_picture(orientation: int) -> None:
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
    read = load(encode(stored, "PNG", exif=exif))
    assert (read.width, read.height) == (40, 24) and same(read.image, upright)


def test_broken_exif_does_not_make_a_picture_unusable(picture: Image.Image) -> None:
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert load(encode(picture, "JPEG", exif=exif)).width == 64


def test_cmyk_jpeg_becomes_rgb_with_a_note() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    read = load(encode(red, "JPEG", quality=95))
    r, g, b = read.image.getpixel((8, 8))
    assert r > 240 and g < 15 and b < 15
    assert any("CMYK" in note for note in read.notes)


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    """Pillow's own conversion turns all above 255 of 65535 white: a photograph becomes a blank page."""
    ramp = (np.arange(256, dtype=np.uint16) * 257)[None, :].repeat(4, axis=0)
    for kind in ("PNG", "TIFF"):
        read = load(encode(Image.fromarray(ramp), kind))
        assert np.array_equal(np.asarray(read.image)[0, :, 0], np.arange(256))
        assert any("16-bit" in note for note in read.notes)


def test_float_grey_is_stretched_and_said_so() -> None:
    ramp = np.linspace(-2.0, 6.0, 64, dtype=np.float32)[None, :].repeat(4, axis=0)
    ramp[0, 0] = np.nan
    read = load(encode(Image.fromarray(ramp), "TIFF"))
    assert np.asarray(read.image)[1, :, 0].tolist() == sorted(np.asarray(read.image)[1, :, 0].tolist())
    assert any("stretched" in note for note in read.notes)
    flat = load(encode(Image.fromarray(np.full((4, 4), 3.0, dtype=np.float32)), "TIFF"))
    assert flat.image.getextrema() == ((0, 0),) * 3


def test_one_bit_pictures_are_black_and_white() -> None:
    read = load(encode(Image.fromarray(np.eye(8, dtype=bool)), "PNG"))
    assert read.image.getpixel((0, 0)) == (255, 255, 255) and read.image.getpixel((1, 0)) == (0, 0, 0)


def test_palette_keeps_its_colours() -> None:
    stripes = Image.new("RGB", (8, 8), RED)
    stripes.paste(BLUE, (4, 0, 8, 8))
    for kind in ("PNG", "GIF"):
        read = load(encode(stripes.quantize(4), kind))
        assert same(read.image, stripes) and read.notes == []


def test_transparent_parts_are_white_not_black() -> None:
    """Hidden pixels under alpha 0 are usually black; a judge must see what a person sees on a page."""
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
        read = load(encode(image, kind, **options))
        assert read.image.getpixel((7, 4)) == (255, 255, 255), (image.mode, kind)
        assert read.image.getpixel((0, 4)) != (255, 255, 255)
        assert any("white" in note for note in read.notes)


def test_an_opaque_alpha_channel_is_not_worth_a_note(picture: Image.Image) -> None:
    read = load(encode(picture.convert("RGBA"), "PNG"))
    assert same(read.image, picture) and read.notes == []


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_are_judged_by_their_first_frame_and_it_is_said(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, BLUE)]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    read = load(data)
    assert read.image.getpixel((8, 8)) == RED
    assert any("first frame" in note for note in read.notes)
    opened = Image.open(io.BytesIO(data))
    opened.seek(1)
    assert load(opened).image.getpixel((8, 8)) == RED


def test_only_the_first_page_of_a_tiff_is_judged() -> None:
    pages = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    read = load(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert read.image.getpixel((8, 8)) == RED and any("page" in note for note in read.notes)


def test_a_photograph_with_a_second_view_behind_it_is_no_animation() -> None:
    views = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    read = load(encode(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert read.image.getpixel((8, 8))[0] > 200 and read.notes == []


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_extreme_shapes_are_read_and_fitted(size: tuple[int, int]) -> None:
    read = load(encode(Image.new("RGB", size, RED), "PNG"))
    assert (read.width, read.height) == size
    small, (sx, sy) = fit(read, side=224)
    assert small.size == (224, 224) and (sx * 224, sy * 224) == pytest.approx(size)
    shaped, (sx, sy) = fit(read, max_pixels=10_000)
    width, height = shaped.size
    assert width * height <= 10_000 and max(width, height) <= 100 * min(width, height)
    assert (sx * width, sy * height) == pytest.approx(size)


# What is refused


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("tenth", range(10))
def test_truncated_files_are_refused_at_every_tenth(picture: Image.Image, kind: str, tenth: int) -> None:
    """Half a picture judged as a whole one would get a wrong score with full confidence."""
    data = encode(picture, kind)
    error = error_of(data[: len(data) * tenth // 10])
    assert any(word in error.mend for word in ("empty", "truncated", "damaged", "none"))


def test_truncated_lazily_opened_pictures_are_refused(picture: Image.Image) -> None:
    data = encode(picture, "PNG")
    assert "truncated" in error_of(Image.open(io.BytesIO(data[: len(data) // 2]))).mend


def test_a_lazily_opened_picture_is_read_once_however_many_threads_want_it(picture: Image.Image) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.002)
            return super().read(size)

    lazy = Image.open(Slow(encode(picture, "PNG")))
    start = Barrier(4)

    def one(_: int) -> Image.Image:
        start.wait()
        return load(lazy).image

    with ThreadPoolExecutor(4) as pool:
        assert all(same(found, picture) for found in pool.map(one, range(4)))


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
def test_what_is_not_a_picture_is_refused(data: bytes) -> None:
    error_of(data)


def test_flipped_bytes_never_leave_another_kind_of_error(picture: Image.Image) -> None:
    """Decoders of hostile files raise struct, zlib, index and overflow errors; callers catch only ours."""
    random = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        clean = encode(picture.resize((16, 12)), kind)
        for _ in range(60):
            data = bytearray(clean)
            for place in random.integers(0, min(len(data), 200), 3):
                data[place] = random.integers(0, 256)
            try:
                read = load(bytes(data), max_pixels=1_000_000)
            except MediaError:
                continue
            assert read.image.mode == "RGB"


@given(st.binary(max_size=300))
def test_any_bytes_give_a_picture_or_a_media_error(data: bytes) -> None:
    try:
        load(data, max_pixels=1_000_000)
    except MediaError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("size", [(60000, 60000), (12000, 9000), (8001, 8000), (2**31 - 1, 2**31 - 1)])
def test_bomb_headers_are_refused_before_decoding(size: tuple[int, int]) -> None:
    """A few hundred bytes may claim gigabytes; the answer must cost nothing and print no second warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "at most 64000000 pixels" in error_of(png_header(*size)).allowed


def test_threads_that_read_at_once_leave_the_rules_for_warnings_as_they_were(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that comes first leaves first: the other still reads in silence, then all is as before."""
    within, left = Barrier(2, timeout=60), Event()
    decode, found = media._decode, {}

    def slowly(*given: Any) -> Any:
        within.wait()
        if current_thread().name == "second":
            assert left.wait(60)
            found["silent"] = any(rule[3] and rule[3].match("PIL.Image") for rule in warnings.filters)
        return decode(*given)

    monkeypatch.setattr(media, "_decode", slowly)
    before = list(warnings.filters)
    data = encode(picture, "PNG")
    first, second = (Thread(target=load, args=(data,), name=name) for name in ("first", "second"))
    first.start()
    second.start()
    first.join(60)
    left.set()
    second.join(60)
    assert found == {"silent": True} and warnings.filters == before


def test_pixel_limit_holds_for_every_kind_of_source(picture: Image.Image) -> None:
    for source in (encode(picture, "PNG"), picture, np.asarray(picture)):
        assert "64 x 48" in error_of(source, max_pixels=64 * 48 - 1).mend
        assert load(source, max_pixels=64 * 48).width == 64


def test_byte_limit_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: takes no disk
    assert str(MAX_BYTES) in error_of(path).allowed
    assert "at most 10 bytes" in error_of(b"x" * 11, max_bytes=10).allowed
    assert "at most 10 bytes" in error_of("data:image/png;base64," + "A" * 400, max_bytes=10).allowed


def test_a_data_url_of_exactly_the_byte_limit_is_read(picture: Image.Image) -> None:
    data = encode(picture, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    assert load(url, max_bytes=len(data)).width == 64
    error_of(url, max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png,abc", "data:image/png;base64,@@", "data:;base64,AAA"]
)
def test_damaged_data_urls_are_refused(url: str) -> None:
    error_of(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.png", "HTTPS://example.org/a.png"])
def test_addresses_are_not_fetched(url: str) -> None:
    """A row of a file must not make the judge call hosts inside somebody's network."""
    assert "download" in error_of(url).mend


def test_directories_and_missing_paths_are_named(tmp_path: Path) -> None:
    assert "directory" in error_of(tmp_path).mend
    missing = error_of(tmp_path / "nothing.png")
    assert "no such file" in missing.mend and "nothing.png" in str(missing)


@pytest.mark.parametrize("path", ["", "a\0b.png", "x" * 5000, "nowhere/at/all.png"])
def test_impossible_paths_are_refused(path: str) -> None:
    error_of(path)


def test_devices_and_pipes_are_not_opened(tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to would hang a run for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular" in error_of(tmp_path / "pipe.png").mend
    assert "regular" in error_of("/dev/zero").mend


@pytest.mark.parametrize("source", [None, 7, 3.5, ["a.png"], {"image": 1}, object()])
def test_other_types_are_refused(source: Any) -> None:
    assert "path" in error_of(source).allowed


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
def test_arrays_of_another_shape_or_type_are_refused(array: np.ndarray[Any, Any]) -> None:
    """A float array in 0..1 taken for 0..255 is a black picture with a confident verdict."""
    error_of(array)


# What the model sees


def test_fit_returns_small_pictures_as_they_are(picture: Image.Image) -> None:
    small, factors = fit(load(picture), max_pixels=10_000)
    assert same(small, picture) and factors == (1.0, 1.0)
    assert small.format == "PNG"


@given(st.integers(1, 300), st.integers(1, 300), st.integers(100, 20_000))
def test_fit_stays_in_its_limit_and_its_factors_lead_back(width: int, height: int, limit: int) -> None:
    read = load(np.zeros((height, width, 3), dtype=np.uint8))
    small, (sx, sy) = fit(read, max_pixels=limit)
    assert small.width * small.height <= limit
    assert (small.width * sx, small.height * sy) == pytest.approx((width, height))


def test_fit_leaves_the_original_for_the_overlay(picture: Image.Image) -> None:
    read = load(picture)
    for options in ({"side": 8}, {"max_pixels": 100}, {"side": 64}, {}):
        small, _ = fit(read, **options)
        small.paste((0, 0, 0), (0, 0, *small.size))
    assert same(read.image, picture)
