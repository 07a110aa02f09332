"""Colours of video frames: HDR and wide gamuts become the SDR and the gamut that models know.

- HDR (PQ of SMPTE ST 2084, HLG of ITU-R BT.2100) is mapped to SDR by the curve of ITU-R BT.2390, section 5.4:
  luminances up to about half of SDR white stay, higher ones are compressed, and the peak of the video becomes
  white. SDR white is 203 nits, the reference white of ITU-R BT.2408.
- BT.2020 and Display P3 are converted to the gamut of BT.709, which is that of sRGB; colours outside it are
  clipped.

FFmpeg's own conversions are not used: its builds for Python lack zscale, and swscale takes seconds for the
table of each new pair of formats. Videos in BT.709, or without any statement, stay as they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
BT2020, DISPLAY_P3 = 9, 12
"""Transfer characteristics and colour primaries of ITU-T H.273."""
SDR_WHITE_NITS = 203.0
DEFAULT_PEAK_NITS = 1000.0
"""Peak of a video that states none, and nominal peak of HLG."""
MAX_PEAK_NITS = 10_000.0
_TRANSFER_NAMES = {PQ: "PQ", HLG: "HLG"}
_PRIMARIES_NAMES = {BT2020: "BT.2020", DISPLAY_P3: "Display P3"}
_TO_BT709 = {
    # ITU-R BT.2087 for BT.2020; from the chromaticities of SMPTE EG 432-1 for Display P3. Rows give R, G, B.
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    DISPLAY_P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
_DISPLAY_EXPONENT = 2.4
"""Of SDR displays, ITU-R BT.1886."""
_STEPS = 1 << 14
"""Entries of the tables."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class VideoColours:
    """What a video frame's numbers stand for, where that is not the usual."""

    transfer: int
    """PQ, HLG, or any other for SDR."""
    primaries: int
    """BT2020, DISPLAY_P3, or any other for BT.709."""
    peak: float
    """Luminance of the brightest pixels in nits, for HDR."""

    @property
    def note(self) -> str:
        """What the reader of a verdict should know."""
        if self.transfer in _TRANSFER_NAMES:
            name = _TRANSFER_NAMES[self.transfer]
            return f"HDR video ({name}, up to {self.peak:.0f} nits): tone-mapped to SDR (BT.2390)"
        return f"colours converted from {_PRIMARIES_NAMES[self.primaries]} to sRGB"

    def to_srgb(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Convert pixels (h, w, 3) of 16 bits, full range, to sRGB."""
        codes = (pixels >> 2).astype(np.uint16)  # as many values as the tables have
        if self.transfer in _TRANSFER_NAMES:
            linear = _tone_map(self._to_nits(codes), self.peak)
        else:
            linear = _table("sdr")[codes]
        if self.primaries in _TO_BT709:
            linear = linear @ np.asarray(_TO_BT709[self.primaries], np.float32).T
        indices = (np.clip(linear, 0.0, 1.0) * (_STEPS - 1) + 0.5).astype(np.uint16)
        table = _encode_table(self.transfer in _TRANSFER_NAMES)
        return table[indices]

    def _to_nits(self, codes: NDArray[np.uint16]) -> Floats:
        """Return the luminance that a display shows for each channel."""
        if self.transfer == PQ:
            return _table("pq")[codes]
        scene = _table("hlg")[codes]
        luminance = scene @ np.asarray(_BT2020_LUMINANCE, np.float32)
        # The system gamma of BT.2100 at 1000 nits is 1.2.
        gain = DEFAULT_PEAK_NITS * np.maximum(luminance, 1e-6)[..., None] ** 0.2
        return scene * gain.astype(np.float32)


def describe_colours(frame: Any) -> VideoColours | None:
    """Return how the colours of a frame of PyAV have to be converted; None if they stay as they are."""
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    if transfer not in _TRANSFER_NAMES and primaries not in _TO_BT709:
        return None
    peak = DEFAULT_PEAK_NITS if transfer != PQ else _read_peak(frame)
    return VideoColours(transfer, primaries, peak)


def _read_peak(frame: Any) -> float:
    """Return the peak luminance that a frame's metadata state, in nits."""
    stated = {}
    for data in frame.side_data:
        if data.type.name == "CONTENT_LIGHT_LEVEL":  # AVContentLightMetadata: MaxCLL, MaxFALL
            stated["content"] = float(struct.unpack_from("=I", bytes(data))[0])
        elif data.type.name == "MASTERING_DISPLAY_METADATA":  # AVMasteringDisplayMetadata: max_luminance
            numerator, denominator = struct.unpack_from("=ii", bytes(data), 72)
            stated["display"] = numerator / denominator if denominator > 0 else 0.0
    peak = stated.get("content") or stated.get("display") or DEFAULT_PEAK_NITS
    return min(max(peak, SDR_WHITE_NITS), MAX_PEAK_NITS)


def _tone_map(nits: Floats, peak: float) -> Floats:
    """Compress luminances to SDR, 0 to 1. The brightest channel of a pixel decides, so that hues stay."""
    grid, mapped = _tone_curve(peak)
    brightest = nits.max(axis=-1)
    gain = np.interp(brightest, grid, mapped) / np.maximum(brightest, 1e-4)
    mapped_nits: Floats = nits * (gain[..., None] / SDR_WHITE_NITS).astype(np.float32)
    return mapped_nits


@lru_cache(maxsize=8)
def _tone_curve(peak: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return luminances and what they become, in nits: the EETF of ITU-R BT.2390, with black at 0."""
    top = _to_pq(np.array(peak))
    white = float(_to_pq(np.array(SDR_WHITE_NITS)) / top)
    knee = 1.5 * white - 0.5
    signal = np.linspace(0.0, 1.0, 2048)
    t = np.clip((signal - knee) / max(1 - knee, 1e-6), 0.0, 1.0)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    )
    mapped = np.where(signal < knee, signal, spline)
    return _from_pq(signal * top), _from_pq(mapped * top)


def _from_pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the luminance in nits of PQ signals 0 to 1, SMPTE ST 2084."""
    power = np.clip(signal, 0.0, 1.0) ** (1 / 78.84375)
    base = np.maximum(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)
    nits: NDArray[np.float64] = 10_000.0 * base ** (1 / 0.1593017578125)
    return nits


def _to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the PQ signal 0 to 1 of luminances in nits, SMPTE ST 2084."""
    power = (nits / 10_000.0) ** 0.1593017578125
    signal: NDArray[np.float64] = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return signal


@lru_cache(maxsize=4)
def _table(name: str) -> Floats:
    """Return the linear value of each code: nits for "pq", 0 to 1 for "hlg" (scene light) and "sdr"."""
    signal = np.arange(_STEPS) / (_STEPS - 1)
    if name == "pq":
        values = _from_pq(signal)
    elif name == "hlg":  # ITU-R BT.2100, table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        values = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        values = signal**_DISPLAY_EXPONENT
    return values.astype(np.float32)


@lru_cache(maxsize=2)
def _encode_table(is_hdr: bool) -> NDArray[np.uint8]:
    """Return the 8-bit level of each linear value; SDR gets back the exponent it was decoded with."""
    linear = np.arange(_STEPS) / (_STEPS - 1)
    if is_hdr:  # IEC 61966-2-1
        levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    else:
        levels = linear ** (1 / _DISPLAY_EXPONENT)
    return np.round(levels * 255.0).astype(np.uint8)
