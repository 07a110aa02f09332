"""Loading images: any source that `Sample.image` takes becomes an upright 8-bit RGB image, or one error.

Images are treated as hostile. Size limits are checked before anything is decoded. Only formats of still
images are tried: no PostScript, no vector formats, no network. Every error of a decoder becomes a
`MediaError` that says what is allowed and what to do. `LoadedImage.notes` lists decisions that had to be
made, for example that transparent areas are shown on white or that only the first frame of an animation is
used.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from judge.errors import MediaError
from judge.media.colours import convert_to_rgb
from judge.media.image_formats import ALLOWED_FILES, describe_unused_data, open_image
from judge.media.sources import check_byte_count, decode_data_url, is_data_url, open_file, resolve_path

MAX_IMAGE_PIXELS = 64_000_000
"""Default limit on width times height."""
MAX_IMAGE_BYTES = 64_000_000
"""Default limit on the encoded size."""

_ALLOWED_SOURCES = (
    "a path, bytes or base64 data: URL of an image, a PIL image, or a uint8 array (height, width, 3)"
)
_FIRST_OF_SEVERAL = {
    "TIFF": "several pages: judged by the first",
    "HEIF": "several images: judged by the main one",
}
_MAX_ASPECT_RATIO = 100
"""The image processors of Qwen-VL reject images more than 200 times as long as wide; resizing stays below."""
_DETAIL_POSITIONS = (
    (0.5, 0.5), (0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8), (0.5, 0.2), (0.5, 0.8), (0.2, 0.5),
)  # fmt: skip
"""Positions of details as shares of the room that a window can move in: centre, then corners, then edges."""


class _SilentPillow:
    """A context manager that suppresses the warnings of Pillow.

    Decoders warn about unusual files (broken metadata, large sizes). Here, such a file is either read or
    rejected, so the warnings are only noise.

    Warning filters belong to the whole process, and several threads may be inside at the same time. The first
    thread to enter saves the filters, and the last thread to leave restores them.
    """

    def __init__(self) -> None:
        self._lock, self._threads_inside, self._saved = Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._threads_inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._threads_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads_inside -= 1
            if self._threads_inside == 0:
                self._saved.__exit__(None, None, None)


SILENT_PILLOW = _SilentPillow()
_IMAGE_LOCKS = [Lock() for _ in range(64)]
"""Pillow reads an image from its file when its pixels are first used. Two threads must not do that at the
same time, so rows that share one image in memory wait for each other. The address of the image selects the
lock."""


def lock_of_image(image: Image.Image) -> Lock:
    """Return the lock under which an image in memory is decoded."""
    return _IMAGE_LOCKS[(id(image) >> 6) % len(_IMAGE_LOCKS)]


@dataclass(frozen=True)
class LoadedImage:
    """A decoded image, upright and opaque."""

    image: Image.Image
    """Mode RGB, 8 bits. `format` is "PNG" for every source, because some libraries require a format."""
    width: int
    """Pixels, after the EXIF orientation was applied. Boxes in verdicts refer to these pixels."""
    height: int
    """Pixels, after the EXIF orientation was applied."""
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about how the file was converted."""


def load_image(
    source: Any, *, field: str = "image", max_pixels: int = MAX_IMAGE_PIXELS, max_bytes: int = MAX_IMAGE_BYTES
) -> LoadedImage:
    """Load an image from any source that `Sample.image` takes.

    Args:
        source: path, encoded bytes, base64 `data:` URL, PIL image, or uint8 array of shape (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4).
        field: the caller's name of this input; errors name it.
        max_pixels: largest width times height, checked before decoding. Pillow also has its own limit for
            files, `Image.MAX_IMAGE_PIXELS` (2 x 89 million).
        max_bytes: largest encoded size in bytes.

    Raises:
        MediaError: the source does not exist, is not an image, is truncated or damaged, or exceeds a limit.
    """
    description: object
    with SILENT_PILLOW:
        if isinstance(source, Image.Image):
            description = f"<{source.mode} image, {source.width} x {source.height}>"
            with lock_of_image(source):
                return _decode(source, field, description, max_pixels)
        if isinstance(source, np.ndarray):
            return _load_array(source, field, max_pixels)
        data, description = _read(source, field, max_bytes)
        image = open_image(data, field, description, max_pixels)
        return _decode(image, field, description, max_pixels, describe_unused_data(image, data))


def read_image_bytes(source: Any, *, field: str = "image", max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return an image as the bytes of a file, for example to send it to a server.

    Files, bytes and `data:` URLs are returned as they are; only their size is checked. Images in memory are
    encoded as PNG.

    Args:
        source: as in `load_image`.
        field: the caller's name of this input; errors name it.
        max_bytes: largest encoded size in bytes.

    Raises:
        MediaError: as in `load_image`.
    """
    if isinstance(source, Image.Image | np.ndarray):
        buffer = io.BytesIO()
        load_image(source, field=field).image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return _read(source, field, max_bytes)[0]


def resize_to_fit(
    loaded: LoadedImage, *, side: int | None = None, max_pixels: int | None = None
) -> tuple[Image.Image, tuple[float, float]]:
    """Resize an image to the input size of a model.

    Args:
        loaded: an image from `load_image`.
        side: for models with one fixed input size: the result is a square of this many pixels, without
            keeping the aspect ratio.
        max_pixels: otherwise: the result has at most this many pixels and keeps the aspect ratio. Smaller
            images keep their size. Images with an aspect ratio above 100 are squeezed to that ratio.

    Returns:
        The RGB image for the model, and (sx, sy): a pixel of the model times s is a pixel of the original.
    """
    width, height = loaded.width, loaded.height
    target = compute_fitted_size(width, height, side=side, max_pixels=max_pixels)
    image = loaded.image
    if target != (width, height):
        image = image.resize(target, Image.Resampling.BICUBIC)
    else:
        image = image.copy()
    image.format = "PNG"
    return image, (width / target[0], height / target[1])


def compute_fitted_size(
    width: int, height: int, *, side: int | None = None, max_pixels: int | None = None
) -> tuple[int, int]:
    """Return the width and height that `resize_to_fit` gives an image of this size.

    Args:
        width: pixels of the original.
        height: pixels of the original.
        side: as in `resize_to_fit`.
        max_pixels: as in `resize_to_fit`.
    """
    if side is not None:
        return side, side
    ratio = math.sqrt(_MAX_ASPECT_RATIO)
    longest, area = max(width, height), width * height
    if longest > _MAX_ASPECT_RATIO * min(width, height):
        # As many pixels in the longest shape that is allowed.
        long, short = math.sqrt(area) * ratio, math.sqrt(area) / ratio
    else:
        long, short = longest, min(width, height)
    scale = 1.0 if max_pixels is None else min(1.0, math.sqrt(max_pixels / area))
    long, short = max(1, math.floor(long * scale)), max(1, math.floor(short * scale))
    return (long, short) if width >= height else (short, long)


def crop_details(loaded: LoadedImage, side: int, count: int) -> list[Image.Image]:
    """Crop parts of an image at full resolution.

    They show what is lost when the whole image is reduced: noise, slight blur, compression blocks.

    Args:
        loaded: an image from `load_image`.
        side: side of each part in pixels. A smaller image gives its largest square, enlarged.
        count: number of parts, 0 to 8, at fixed positions.

    Returns:
        `count` RGB images of side x side.
    """
    parts = []
    for box in list_detail_boxes(loaded.width, loaded.height, side, count):
        part = loaded.image.crop(box)
        if part.width != side:
            part = part.resize((side, side), Image.Resampling.BICUBIC)
        part.format = "PNG"
        parts.append(part)
    return parts


def list_detail_boxes(width: int, height: int, side: int, count: int) -> list[tuple[int, int, int, int]]:
    """Return the boxes that `crop_details` cuts out of an image of this size.

    Args:
        width: pixels of the original.
        height: pixels of the original.
        side: as in `crop_details`.
        count: as in `crop_details`.

    Returns:
        x1, y1, x2, y2 of each part in pixels.
    """
    window = min(side, width, height)
    corners = [
        (round(x * (width - window)), round(y * (height - window))) for x, y in _DETAIL_POSITIONS[:count]
    ]
    return [(left, top, left + window, top + window) for left, top in corners]


def _read(source: Any, field: str, max_bytes: int) -> tuple[bytes, str]:
    """Return the encoded image, and a short description of the source for errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, description = bytes(source), f"<{len(source)} bytes>"
        check_byte_count(len(data), field, description, max_bytes)
    elif is_data_url(source):
        data, description = decode_data_url(source, field, max_bytes)
    elif isinstance(source, str | os.PathLike):
        path = resolve_path(source, field, _ALLOWED_SOURCES)
        data, description = _read_file(path, field, max_bytes), str(source)
    else:
        raise MediaError(field, source, _ALLOWED_SOURCES, "pass one of these")
    if not data:
        raise MediaError(field, description, ALLOWED_FILES, "it is empty: export or download it again")
    return data, description


def _read_file(path: Path, field: str, max_bytes: int) -> bytes:
    with open_file(path, field, "image", max_bytes) as file:
        try:
            data = file.read(max_bytes + 1)
        except OSError as error:
            mend = f"{error.strerror or error}: check the path"
            raise MediaError(field, str(path), "the path of one image", mend) from None
    check_byte_count(len(data), field, str(path), max_bytes)
    return data


def _check_pixels(size: tuple[int, int], field: str, description: object, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise MediaError(field, description, "images of at least 1 x 1 pixels", f"it is {width} x {height}")
    if width * height > max_pixels:
        mend = f"it is {width} x {height}: reduce it or raise max_pixels"
        raise MediaError(field, description, f"at most {max_pixels} pixels", mend)


def _decode(
    source: Image.Image, field: str, description: object, max_pixels: int, notes: Sequence[str] = ()
) -> LoadedImage:
    _check_pixels(source.size, field, description, max_pixels)
    notes = list(notes)
    try:
        # `is_animated` only says that there are more frames; counting them would read the whole file.
        # Phones store a second view or a preview behind a photograph (MPO). That is not an animation.
        if source.format != "MPO" and getattr(source, "is_animated", False):
            notes.append(_FIRST_OF_SEVERAL.get(str(source.format), "animation: judged by its first frame"))
            if source.format != "HEIF":  # its main image need not be the first
                source.seek(0)
        _check_strips(source)
        image = to_upright_rgb(source, notes)
    except Exception as error:  # a decoder may raise anything on hostile bytes
        mend = f"it is truncated or damaged ({_one_line(error)}): export or download it again"
        raise MediaError(field, description, ALLOWED_FILES, mend) from None
    image.format = "PNG"
    return LoadedImage(image, image.width, image.height, notes)


def _check_strips(image: Image.Image) -> None:
    """Raise `ValueError` for a TIFF whose strips or tiles do not cover it; Pillow would leave the rest black.

    A damaged header can claim thousands of times as many rows as the file holds.
    """
    if image.format != "TIFF":
        return
    boxes = [extents for _, extents, *_ in getattr(image, "tile", ()) if extents is not None]
    covered = sum(
        max(0, min(x2, image.width) - x1) * max(0, min(y2, image.height) - y1) for x1, y1, x2, y2 in boxes
    )
    if boxes and covered < image.width * image.height:
        share = covered / (image.width * image.height)
        raise ValueError(f"its strips hold {share:.1%} of {image.width} x {image.height} pixels")


def to_upright_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Decode an image, turn it upright and convert it to sRGB.

    Args:
        image: an opened image, at the frame that is wanted.
        notes: what the reader of a verdict should know is appended.
    """
    image.load()
    return convert_to_rgb(_to_upright(image, notes), notes)


def _to_upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation. An image with unreadable metadata is still used."""
    if image.format == "JXL":
        return image  # its decoder has turned it already; the EXIF value is not meant to count
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        notes.append("EXIF data unreadable: orientation taken as it is stored")
        return image


def _load_array(array: np.ndarray[Any, Any], field: str, max_pixels: int) -> LoadedImage:
    description = f"<{array.dtype} array of shape {array.shape}>"
    if array.dtype != np.uint8:
        allowed = "uint8 arrays with values 0 to 255"
        mend = "scale to 0..255 and cast: (x * 255).round().astype('uint8')"
        raise MediaError(field, description, allowed, mend)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        allowed = "arrays of shape (height, width), (height, width, 3) or (height, width, 4)"
        raise MediaError(field, description, allowed, "move the channels to the end, one image at a time")
    _check_pixels((array.shape[1], array.shape[0]), field, description, max_pixels)
    return _decode(Image.fromarray(np.ascontiguousarray(array)), field, description, max_pixels)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
