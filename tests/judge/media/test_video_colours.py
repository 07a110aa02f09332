"""HDR and wide gamuts: what was white, grey or red to the camera is that to the model."""

from __future__ import annotations

import clips
import numpy as np
import pytest

from judge.media.video import load_video
from judge.media.video_colours import HLG, PQ, SDR_WHITE_NITS

SIDE = 16
RGB_TO_YUV = np.array([[0.2627, 0.6780, 0.0593], [-0.13963, -0.36037, 0.5], [0.5, -0.45979, -0.04021]])
"""ITU-R BT.2020, non-constant luminance."""
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087, from BT.709."""


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 at a peak of 1000 nits, for colours given in its gamut."""
    luminance = nits @ np.array([0.2627, 0.6780, 0.0593])
    scene = nits / 1000 / np.maximum(luminance / 1000, 1e-9)[..., None] ** (0.2 / 1.2)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def encode_patches(signal: np.ndarray, transfer: int, primaries: int, matrix: int = 9) -> bytes:
    """Encode signals (n, 3), 0 to 1, as patches of one 10-bit frame."""
    yuv = signal @ RGB_TO_YUV.T
    levels = [64 + 876 * yuv[:, 0], 512 + 896 * yuv[:, 1], 512 + 896 * yuv[:, 2]]
    planes = [
        np.tile(np.repeat(np.round(values), side), (side, 1)).astype(np.uint16)
        for values, side in zip(levels, (SIDE, SIDE // 2, SIDE // 2), strict=True)
    ]
    return clips.encode_deep(planes, transfer, primaries, matrix)


def shown(data: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the sRGB level of each patch in the frame for the model, its luminance, and the notes."""
    video = load_video(data)
    pixels, luma = np.asarray(video.still), video.bursts[0][0][1]
    middles = np.arange(pixels.shape[1] // SIDE) * SIDE + SIDE // 2
    return pixels[SIDE // 2, middles].astype(int), luma[SIDE // 2, middles].astype(int), video.notes


def srgb(linear: np.ndarray) -> np.ndarray:
    return np.round(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(("transfer", "encode", "name"), [(PQ, pq, "PQ"), (HLG, hlg, "HLG")])
def test_hdr_is_tone_mapped_and_noted(transfer: int, encode: object, name: str) -> None:
    nits = np.array([0.0, 5.0, 20.0, 60.0, SDR_WHITE_NITS, 500.0, 1000.0])[:, None].repeat(3, 1)
    levels, luma, notes = shown(encode_patches(encode(nits), transfer, 9))  # type: ignore[operator]
    grey = levels[:, 1]
    assert np.abs(levels - grey[:, None]).max() <= 3, "greys stay grey"
    # Up to half of SDR white nothing changes; above, the order stays, and the peak is white.
    assert np.abs(grey[:4] - srgb(nits[:4, 0] / SDR_WHITE_NITS)).max() <= 4
    assert 190 < grey[4] < 240 < grey[6] and list(grey) == sorted(grey)
    assert np.abs(luma - grey).max() <= 3, "motion is measured on the same picture"
    assert notes == [f"HDR video ({name}, up to 1000 nits): tone-mapped to SDR (BT.2390)"]


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hues_of_hdr_stay(transfer: int) -> None:
    linear = np.array([[0.6, 0.05, 0.05], [0.05, 0.5, 0.05], [0.05, 0.05, 0.7], [0.5, 0.4, 0.05]]) * 0.5
    wide = linear @ TO_BT2020.T * SDR_WHITE_NITS
    levels, _, _ = shown(encode_patches(pq(wide) if transfer == PQ else hlg(wide), transfer, 9))
    assert np.abs(levels - srgb(linear)).max() <= 10


@pytest.mark.parametrize("transfer", [14, 15, 1])
def test_bt2020_without_hdr_is_converted_and_noted(transfer: int) -> None:
    colours = np.array(
        [[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8], [0.5, 0.5, 0.5], [1, 1, 1], [0, 0, 0]]
    )
    wide = (colours**2.4 @ TO_BT2020.T) ** (1 / 2.4)
    levels, _, notes = shown(encode_patches(wide, transfer, 9))
    assert np.abs(levels - np.round(colours * 255)).max() <= 5
    assert notes == ["colours converted from BT.2020 to sRGB"]


@pytest.mark.parametrize(("transfer", "primaries"), [(1, 1), (2, 2), (6, 6), (13, 1)])
def test_usual_colours_stay_as_they_are(transfer: int, primaries: int) -> None:
    colours = np.array([[0.8, 0.2, 0.2], [0.5, 0.5, 0.5], [1, 1, 1]])
    levels, _, notes = shown(encode_patches(colours, transfer, primaries))
    assert np.abs(levels - np.round(colours * 255)).max() <= 3 and notes == []
