"""Pictures in: everything `Sample.image` takes becomes an upright 8-bit RGB picture, or one clear error.

What is judged is hostile. Size limits are checked before anything is decoded, only still-picture formats
are tried (no PostScript, no vector formats, no network), and whatever a decoder raises on a broken file
becomes a `MediaError` that says what is allowed and how to mend it. What had to be decided on the way (a
transparent picture shown on white, an animation judged by its first frame) is told in `Picture.notes`.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from judge.errors import MediaError

MAX_PIXELS = 64_000_000
MAX_BYTES = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")

_KINDS = "a path, bytes or base64 data: URL of a picture, a PIL image, or a uint8 array (height, width, 3)"
_STILL = "a complete PNG, JPEG, WebP, GIF, BMP, TIFF, PPM or AVIF picture"
_LONGEST_SIDE_RATIO = 100
"""Qwen-VL's image processors refuse pictures more than 200 times as long as wide; `fit` stays below."""


class _Silence:
    """No warnings of Pillow's. Decoders warn about oddities of files (broken metadata, large sizes); here
    such a file is either read or refused, and a warning beside the answer would be noise.

    Warnings are silenced for all threads at once, and whoever is done first must not put back what others
    still need, nor whoever is last what the first had put there: so the last one puts back the rules that
    the first has found.
    """

    def __init__(self) -> None:
        self._turn, self._inside, self._kept = Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._turn:
            if self._inside == 0:
                self._kept = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._turn:
            self._inside -= 1
            if self._inside == 0:
                self._kept.__exit__(None, None, None)


_SILENCE = _Silence()
_TURNS = [Lock() for _ in range(64)]
"""Pillow reads a picture from its file when it is first looked at, which two threads must not do at once, so
rows that share one in memory wait for each other. Which lock is whose goes by the object's address."""


def _turn(image: Image.Image) -> Lock:
    return _TURNS[(id(image) >> 6) % len(_TURNS)]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright and opaque."""

    image: Image.Image
    """Mode RGB, 8 bits; `format` is "PNG" whatever the source was, since some libraries insist on one."""
    width: int
    """Pixels, after the EXIF orientation was applied; boxes in verdicts refer to these."""
    height: int
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about how the file became this picture."""


def load(
    source: Any, *, field: str = "image", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Picture:
    """Read a picture from whatever `Sample.image` takes.

    Args:
        source: path, encoded bytes, base64 `data:` URL, PIL image, or uint8 array of shape (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4).
        field: what the caller calls this input; errors name it.
        max_pixels: largest width times height, checked before decoding. Pillow refuses files beyond
            its own `Image.MAX_IMAGE_PIXELS` (2 x 89 million) whatever is asked for here.
        max_bytes: largest encoded size in bytes.

    Raises:
        MediaError: nothing there, not a picture, truncated, damaged, or beyond a limit.
    """
    shown: object = source
    with _SILENCE:
        if isinstance(source, Image.Image):
            shown = f"<{source.mode} image, {source.width} x {source.height}>"
            with _turn(source):
                return _decode(source, field, shown, max_pixels)
        if isinstance(source, np.ndarray):
            return _from_array(source, field, max_pixels)
        data, shown = _read(source, field, max_bytes)
        return _decode(_open(data, field, shown, max_pixels), field, shown, max_pixels)


def encoded(source: Any, *, field: str = "image", max_bytes: int = MAX_BYTES) -> bytes:
    """A picture as a file's bytes, to be sent somewhere: files, bytes and `data:` URLs as they are, pictures
    in memory as PNG.

    Raises:
        MediaError: as `load`; of files only the size is checked here.
    """
    if isinstance(source, Image.Image | np.ndarray):
        buffer = io.BytesIO()
        load(source, field=field).image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return _read(source, field, max_bytes)[0]


def fit(
    picture: Picture, *, side: int | None = None, max_pixels: int | None = None
) -> tuple[Image.Image, tuple[float, float]]:
    """Reduce a picture to what the model sees, and keep the factors back.

    Args:
        picture: from `load`.
        side: squash to this many pixels square (models with one fixed input size).
        max_pixels: otherwise shrink, keeping the shape, to at most this many pixels; smaller pictures stay
            as they are. Pictures over 100 times as long as wide are squashed to that ratio.

    Returns:
        The RGB picture for the model, and (sx, sy): a model pixel times s is an original pixel.
    """
    width, height = picture.width, picture.height
    target = fitted(width, height, side=side, max_pixels=max_pixels)
    image = picture.image
    if target != (width, height):
        image = image.resize(target, Image.Resampling.BICUBIC)
    else:
        image = image.copy()
    image.format = "PNG"
    return image, (width / target[0], height / target[1])


_PLACES = ((0.5, 0.5), (0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8), (0.5, 0.2), (0.5, 0.8), (0.2, 0.5))
"""Where details lie, as shares of the room that a window has: the middle, then corners, then edges."""


def details(picture: Picture, side: int, count: int) -> list[Image.Image]:
    """Parts of a picture pixel for pixel: what reducing the whole hides (noise, fine blur, blocks).

    Args:
        picture: from `load`.
        side: side of each part in pixels. A picture that is smaller gives its largest square, enlarged.
        count: 0 to 8 parts, at fixed places.

    Returns:
        `count` RGB pictures of side x side.
    """
    parts = []
    for box in windows(picture.width, picture.height, side, count):
        part = picture.image.crop(box)
        if part.width != side:
            part = part.resize((side, side), Image.Resampling.BICUBIC)
        part.format = "PNG"
        parts.append(part)
    return parts


def windows(width: int, height: int, side: int, count: int) -> list[tuple[int, int, int, int]]:
    """What `details` cuts out of a picture of this size: left, top, right and lower edge of each part."""
    window = min(side, width, height)
    corners = [(round(x * (width - window)), round(y * (height - window))) for x, y in _PLACES[:count]]
    return [(left, top, left + window, top + window) for left, top in corners]


def fitted(
    width: int, height: int, *, side: int | None = None, max_pixels: int | None = None
) -> tuple[int, int]:
    """Width and height that `fit` reduces a picture of this size to."""
    if side is not None:
        return side, side
    ratio = math.sqrt(_LONGEST_SIDE_RATIO)
    # Beyond the ratio: as many pixels in the longest shape allowed.
    longest, area = max(width, height), width * height
    if longest > _LONGEST_SIDE_RATIO * min(width, height):
        long, short = math.sqrt(area) * ratio, math.sqrt(area) / ratio
    else:
        long, short = longest, min(width, height)
    shrink = 1.0 if max_pixels is None else min(1.0, math.sqrt(max_pixels / area))
    long, short = max(1, math.floor(long * shrink)), max(1, math.floor(short * shrink))
    return (long, short) if width >= height else (short, long)


def _read(source: Any, field: str, max_bytes: int) -> tuple[bytes, str]:
    """The encoded picture and a short name of the source for errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, shown = bytes(source), f"<{len(source)} bytes>"
        check_bytes(len(data), field, shown, max_bytes)
    elif isinstance(source, str) and source[:5].lower() == "data:":
        data, shown = from_data_url(source, field, max_bytes)
    elif isinstance(source, str) and source[:8].lower().startswith(("http://", "https://")):
        raise MediaError(field, source, _KINDS, "download it first: nothing is fetched while judging")
    elif isinstance(source, str | os.PathLike):
        data, shown = _read_file(Path(source), field, max_bytes), str(source)
    else:
        raise MediaError(field, source, _KINDS, "pass one of these")
    if not data:
        raise MediaError(field, shown, _STILL, "it is empty: export or download it again")
    return data, shown


def _read_file(path: Path, field: str, max_bytes: int) -> bytes:
    with opened(path, field, "picture", max_bytes) as file:
        try:
            data = file.read(max_bytes + 1)
        except OSError as error:
            mend = f"{error.strerror or error}: check the path"
            raise MediaError(field, str(path), "the path of one picture", mend) from None
    check_bytes(len(data), field, str(path), max_bytes)
    return data


@contextmanager
def opened(path: Path, field: str, what: str, max_bytes: int) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Args:
        path: of the file.
        field: what errors call the input.
        what: what the file should be, for errors: "picture" or "video".
        max_bytes: largest size.

    Raises:
        MediaError: there is none, it cannot be read, is no regular file, or is too large.
    """
    shown, allowed = str(path), f"the path of one {what}"
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise MediaError(field, shown, allowed, "it is a directory: name a file in it")
        # A pipe or a device may never end, so only regular files are opened.
        if not stat.S_ISREG(about.st_mode):
            raise MediaError(field, shown, allowed, "it is not a regular file: copy it into one")
        check_bytes(about.st_size, field, shown, max_bytes)
        file = path.open("rb")
    except MediaError:
        raise
    except FileNotFoundError:
        mend = f"no such file (from {Path.cwd()}): check the path"
        raise MediaError(field, shown, allowed, mend) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(field, shown, allowed, f"{reason}: check the path") from None
    with file:
        yield file


def from_data_url(url: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    head, comma, body = url.partition(",")
    shown = f"<{head[:40]}, {len(url)} characters>"
    allowed = "data:image/...;base64,... URLs"
    if not comma or not head.lower().endswith(";base64"):
        raise MediaError(field, shown, allowed, "encode the file's bytes with base64")
    check_bytes(len(body) * 3 // 4 - body[-2:].count("="), field, shown, max_bytes)
    try:
        return base64.b64decode(body, validate=True), shown
    except (binascii.Error, ValueError) as error:
        raise MediaError(field, shown, allowed, f"the base64 is damaged ({error}): encode it again") from None


def check_bytes(count: int, field: str, shown: str, max_bytes: int) -> None:
    if count > max_bytes:
        mend = f"it has {count}: save it smaller or raise max_bytes"
        raise MediaError(field, shown, f"at most {max_bytes} bytes", mend)


def _check_pixels(size: tuple[int, int], field: str, shown: object, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise MediaError(field, shown, "pictures of at least 1 x 1 pixels", f"it is {width} x {height}")
    if width * height > max_pixels:
        mend = f"it is {width} x {height}: reduce it or raise max_pixels"
        raise MediaError(field, shown, f"at most {max_pixels} pixels", mend)


def _open(data: bytes, field: str, shown: str, max_pixels: int) -> Image.Image:
    """Read the header only; nothing is decoded yet."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        allowed = f"at most {max_pixels} pixels"
        raise MediaError(field, shown, allowed, f"reduce it ({_one_line(error)})") from None
    except UnidentifiedImageError:
        raise MediaError(field, shown, _STILL, "it is none: check what the file holds") from None
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        mend = f"it is damaged ({_one_line(error)}): export it again"
        raise MediaError(field, shown, _STILL, mend) from None


def _decode(source: Image.Image, field: str, shown: object, max_pixels: int) -> Picture:
    _check_pixels(source.size, field, shown, max_pixels)
    notes: list[str] = []
    try:
        # Only says that there are more frames; their number would take a walk through the whole file.
        # Phones store a second view or a preview behind a photograph (MPO), which makes it no animation.
        if source.format != "MPO" and getattr(source, "is_animated", False):
            still = source.format == "TIFF"
            notes.append(
                "several pages: judged by the first" if still else "animation: judged by its first frame"
            )
            source.seek(0)
        source.load()
        image = _to_rgb(_upright(source, notes), notes)
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        mend = f"it is truncated or damaged ({_one_line(error)}): export or download it again"
        raise MediaError(field, shown, _STILL, mend) from None
    image.format = "PNG"
    return Picture(image, image.width, image.height, notes)


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the camera's orientation; unreadable metadata does not make a readable picture unusable."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        notes.append("EXIF data unreadable: orientation taken as it is stored")
        return image


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image, notes)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        if layer.getchannel("A").getextrema() == (255, 255):
            return layer.convert("RGB")
        notes.append("transparent parts shown on white")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB without a colour profile")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image, notes: list[str]) -> Image.Image:
    """Grey pictures of more than 8 bits. Pillow's own conversion clips them to white."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if sixteen:
        low, high = 0.0, 65535.0
        notes.append("16-bit grey reduced to 8 bits")
    else:
        # 32-bit and float pictures have no agreed white, so their own range is shown.
        low, high = float(values.min()), float(values.max())
        notes.append("32-bit grey stretched from its darkest to its brightest value")
    grey = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    return Image.fromarray(np.round(grey * 255.0).astype(np.uint8)).convert("RGB")


def _from_array(array: np.ndarray[Any, Any], field: str, max_pixels: int) -> Picture:
    shown = f"<{array.dtype} array of shape {array.shape}>"
    if array.dtype != np.uint8:
        allowed = "uint8 arrays with values 0 to 255"
        raise MediaError(field, shown, allowed, "scale to 0..255 and cast: (x * 255).round().astype('uint8')")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        allowed = "arrays of shape (height, width), (height, width, 3) or (height, width, 4)"
        raise MediaError(field, shown, allowed, "move the channels to the end, one picture at a time")
    _check_pixels((array.shape[1], array.shape[0]), field, shown, max_pixels)
    return _decode(Image.fromarray(np.ascontiguousarray(array)), field, shown, max_pixels)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
