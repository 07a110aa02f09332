"""Opening encoded images: which formats are read, with which package, and what of a file is not used.

Pillow reads PNG, JPEG, WebP, GIF, BMP, TIFF, PPM and AVIF. HEIC needs `pillow-heif` (the extra `formats`) and
JPEG XL needs `pillow-jxl-plugin` (the extra `jxl`, apart because it is under the GPL). They are imported when
such a file is opened.
"""

from __future__ import annotations

import importlib
import io
import struct
from typing import Any

from PIL import Image, UnidentifiedImageError

from judge.errors import MediaError

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that are always tried, as Pillow names them."""
IMAGE_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pnm", ".avif", ".heic", ".heif", ".hif", ".jxl"),
)
"""Suffixes of the names of image files."""
ALLOWED_FILES = "a complete PNG, JPEG, WebP, GIF, BMP, TIFF, PPM or AVIF image"
_EXTRA_FORMATS = {
    "HEIF": ("HEIC", "pillow-heif", "formats"),
    "JXL": ("JPEG XL", "pillow-jxl-plugin", "jxl"),
}
"""Pillow's name of a format -> its usual name, the package that reads it, and the extra that installs it."""
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heif"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_CODESTREAM = b"\xff\x0a"
_GAIN_MAP_MARKS = (b"hdrgm:", b"urn:iso:std:iso:ts:21496:-1", b"hdrgainmap", b"HDRGainMap")
"""Texts in files with a gain map: Ultra HDR, ISO 21496-1, and Apple's own."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of HDR, ITU-T H.273."""
GAIN_MAP_NOTE = "the HDR gain map was not used: judged by the base image"
DEEP_COLOUR_NOTE = "16-bit colour reduced to 8 bits"


def open_image(data: bytes, field: str, description: str, max_pixels: int) -> Image.Image:
    """Read the header of an encoded image; nothing is decoded yet.

    Args:
        data: the encoded image.
        field: the caller's name of this input; errors name it.
        description: short description of the source for errors.
        max_pixels: largest width times height, for the errors and for formats that decode at once.

    Raises:
        MediaError: it is no image, damaged, too large, or of a format whose package is not installed.
    """
    extra = detect_extra_format(data)
    try:
        if extra:
            _import_plugin(extra)
        if extra == "JXL":
            _check_jxl_size(data, field, description, max_pixels)
        return Image.open(io.BytesIO(data), formats=[extra] if extra else IMAGE_FORMATS)
    except MediaError:
        raise
    except ImportError:
        name, package, installed_by = _EXTRA_FORMATS[extra]
        mend = f'{name} needs {package}: pip install "judge[{installed_by}]", or save it as PNG'
        raise MediaError(field, description, ALLOWED_FILES, mend) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        allowed = f"at most {max_pixels} pixels"
        raise MediaError(field, description, allowed, f"reduce it ({_one_line(error)})") from None
    except UnidentifiedImageError:
        mend = f"its content is not {'readable' if extra else 'one of these'}: check the file"
        raise MediaError(field, description, ALLOWED_FILES, mend) from None
    except Exception as error:  # a decoder may raise anything on hostile bytes
        mend = f"it is damaged ({_one_line(error)}): export it again"
        raise MediaError(field, description, ALLOWED_FILES, mend) from None


def detect_extra_format(data: bytes) -> str:
    """Return "HEIF" or "JXL", as Pillow's plug-ins are called, or "" for every other content."""
    if data.startswith((_JXL_CODESTREAM, _JXL_CONTAINER)):
        return "JXL"
    if data[4:8] != b"ftyp":
        return ""
    size = min(struct.unpack(">I", data[:4])[0], 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    return "HEIF" if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS else ""


def describe_unused_data(image: Image.Image, data: bytes) -> list[str]:
    """Return notes about what a file holds beyond the 8-bit image that is judged.

    Args:
        image: the image, opened but not decoded.
        data: the encoded image.
    """
    notes = []
    # In these formats only: elsewhere the marks could be anything.
    if image.format in ("JPEG", "MPO", "AVIF", "HEIF") and any(mark in data for mark in _GAIN_MAP_MARKS):
        notes.append(GAIN_MAP_NOTE)
    elif image.format == "AVIF" and b"tmap" in data[:4096] or image.format == "JXL" and b"jhgm" in data:
        notes.append(GAIN_MAP_NOTE)
    transfer = _HDR_TRANSFERS.get(_read_transfer(image, data))
    if transfer:
        notes.append(
            f"HDR image ({transfer}): its colours are judged as they are stored, without tone mapping"
        )
    if image.mode[0] != "I" and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        notes.append(DEEP_COLOUR_NOTE)
    return notes


def _read_transfer(image: Image.Image, data: bytes) -> int:
    """Return the transfer characteristics that a file states (H.273), 2 (unspecified) if it states none."""
    if image.format in ("AVIF", "HEIF"):
        at = data.find(b"colrnclx", 0, 1 << 16)
        if 0 <= at <= len(data) - 12:
            return int(struct.unpack(">H", data[at + 10 : at + 12])[0])
    if image.format == "PNG":
        at = data.find(b"cICP", 0, 1 << 16)
        if 0 <= at <= len(data) - 8:
            return data[at + 5]
    return 2


def _import_plugin(name: str) -> None:
    """Let Pillow read a format that needs a package of its own. Raises `ImportError` if it is missing."""
    if name == "HEIF":
        importlib.import_module("pillow_heif").register_heif_opener()
    else:
        importlib.import_module("pillow_jxl")


def _check_jxl_size(data: bytes, field: str, description: str, max_pixels: int) -> None:
    """Check the size in the header, since the plug-in decodes a file when it opens it."""
    width, height = read_jxl_size(data)
    if width * height > max_pixels:
        mend = f"it is {width} x {height}: reduce it or raise max_pixels"
        raise MediaError(field, description, f"at most {max_pixels} pixels", mend)


def read_jxl_size(data: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a JPEG XL file (ISO/IEC 18181-1, SizeHeader).

    Args:
        data: a codestream, or a container (ISO/IEC 18181-2) with one.

    Raises:
        ValueError: it has no such header.
    """
    at = 0 if data.startswith(_JXL_CODESTREAM) else _find_jxl_codestream(data)
    bits = int.from_bytes(data[at + 2 : at + 18].ljust(16, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def take_length(is_small: bool) -> int:
        return (take(5) + 1) * 8 if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    is_small = bool(take(1))
    height, ratio = take_length(is_small), take(3)
    if not ratio:
        return take_length(is_small), height
    up, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * up // down, height


def _find_jxl_codestream(data: bytes) -> int:
    """Return where the codestream begins in a container."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[at + 8 : at + 16])[0], 16
        if kind in (b"jxlc", b"jxlp"):
            start = at + head + (4 if kind == b"jxlp" else 0)
            if data[start : start + 2] == _JXL_CODESTREAM:
                return start
        if size < head:
            break
        at += size
    raise ValueError("it has no codestream")


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
