"""Colour profiles (ICC.1:2022), made from the numbers that define them, and the sRGB they stand for."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Columns are the XYZ (D50) of red, green and blue.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
PROPHOTO = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82490]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _tag(kind: bytes, body: bytes) -> bytes:
    return (kind + b"\0\0\0\0" + body).ljust(-(-(len(body) + 8) // 4) * 4, b"\0")


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(gamma: float | tuple[float, ...]) -> bytes:
    if isinstance(gamma, tuple):
        return _tag(b"para", struct.pack(">HH", 3, 0) + _fixed(*gamma))
    return _tag(b"para", struct.pack(">HH", 0, 0) + _fixed(gamma))


def _profile(space: bytes, tags: Mapping[bytes, bytes], kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    """Put tags together to a profile of version 4."""
    text = "Test profile".encode("utf-16-be")
    description = _tag(b"mluc", struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, len(text), 28) + text)
    tags = {b"desc": description, b"cprt": description, b"wtpt": _tag(b"XYZ ", _fixed(*D50)), **tags}
    head, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        head += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x04300000, kind, space, pcs) + bytes(12) + b"acsp"
    header = (header.ljust(68, b"\0") + _fixed(*D50)).ljust(128, b"\0")
    return header + struct.pack(">I", len(tags)) + head + body


def rgb_profile(primaries: np.ndarray, gamma: float | tuple[float, ...] = SRGB_CURVE) -> bytes:
    """A profile of three primaries and one curve."""
    colours = {
        name + b"XYZ": _tag(b"XYZ ", _fixed(*primaries[:, n])) for n, name in enumerate((b"r", b"g", b"b"))
    }
    return _profile(b"RGB ", colours | {name + b"TRC": _curve(gamma) for name in (b"r", b"g", b"b")})


def grey_profile(gamma: float) -> bytes:
    """A profile of grey levels with one exponent."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """A profile of an ideal printer whose corners are given as Lab; black ink makes everything black."""
    corners = []
    for number in range(16):
        c, m, y, k = ((number >> shift) & 1 for shift in (3, 2, 1, 0))
        lightness = 0 if k else 100 - 20 * c - 30 * m - 5 * y
        a, b = (0, 0) if k else (-30 * c + 60 * m, -40 * c + 80 * y)
        corners += [round(lightness * 2.55), a + 128, b + 128]
    identity = bytes(range(256))
    lut = struct.pack(">BBBB", 4, 3, 2, 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += identity * 4 + bytes(corners) + identity * 3
    return _profile(b"CMYK", {b"A2B0": _tag(b"mft1", lut)}, b"prtr", b"Lab ")


def to_srgb(pixels: np.ndarray, primaries: np.ndarray, gamma: float | None = None) -> np.ndarray:
    """The sRGB levels that levels of another RGB space stand for; gamma None is the curve of sRGB."""
    values = pixels.astype(np.float64) / 255
    if gamma is None:
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    else:
        linear = values**gamma
    linear = np.clip(linear @ (np.linalg.inv(SRGB) @ primaries).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255)
