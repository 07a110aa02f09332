"""Decoded frames of videos: upright, with square pixels, in sRGB, and their luminance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.media.video_colours import VideoColours

_LUMA_FIRST_FORMATS = frozenset("yuv420p yuvj420p yuv422p yuvj422p yuv444p yuvj444p nv12 gray".split())
"""Pixel formats whose first plane is the luminance in 8 bits."""


@dataclass
class DecodedFrame:
    """One frame of a file, or one image of a sequence."""

    number: int
    """Index among all frames in display order."""
    time: float
    """Seconds from the first frame."""
    source: Any
    """A PyAV frame, or an upright RGB image."""
    rotation: int = 0
    """Degrees clockwise by which it has yet to be turned: 0, 90, 180 or 270."""
    pixel_aspect: float = 1.0
    """Width of a pixel divided by its height."""
    colours: VideoColours | None = None
    """How its colours have to be converted; None if they stay as they are."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright frame with square pixels."""
        width, height = max(1, round(self.source.width * self.pixel_aspect)), self.source.height
        return (height, width) if self.rotation % 180 else (width, height)

    def to_luma(self, side: int) -> NDArray[np.uint8]:
        """Return the luminance (h, w) of the upright frame.

        Args:
            side: pixels to which the shorter side is reduced; a shorter one keeps its length.
        """
        scale = min(1.0, side / min(self.size))
        width, height = (max(1, round(edge * scale)) for edge in self._as_stored(self.size))
        if self.colours is not None:
            grey = cv2.cvtColor(self._stored_rgb(width, height), cv2.COLOR_RGB2GRAY).astype(np.uint8)
        else:
            grey = self._stored_luma()
        if (width, height) != (grey.shape[1], grey.shape[0]):
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return np.ascontiguousarray(np.rot90(grey, -self.rotation // 90))

    def to_image(self, size: tuple[int, int]) -> Image.Image:
        """Return the upright frame in RGB, resized to (width, height)."""
        if isinstance(self.source, Image.Image):
            is_same = self.source.size == size
            image = self.source if is_same else self.source.resize(size, Image.Resampling.BICUBIC)
        else:
            rgb = self._stored_rgb(*self._as_stored(size))
            image = Image.fromarray(np.ascontiguousarray(np.rot90(rgb, -self.rotation // 90)))
        image.format = "PNG"  # some libraries require a format
        return image

    def _as_stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """Convert an upright size to that of the stored frame."""
        return (size[1], size[0]) if self.rotation % 180 else size

    def _stored_rgb(self, width: int, height: int) -> NDArray[np.uint8]:
        """Return a PyAV frame in RGB (h, w, 3), resized, as it is stored."""
        kind = "rgb24" if self.colours is None else "rgb48le"
        pixels: NDArray[Any] = self.source.reformat(width, height, kind, interpolation="AREA").to_ndarray()
        return pixels if self.colours is None else self.colours.to_srgb(pixels)

    def _stored_luma(self) -> NDArray[np.uint8]:
        if isinstance(self.source, Image.Image):
            return np.asarray(self.source.convert("L"))
        if self.source.format.name not in _LUMA_FIRST_FORMATS:
            grey: NDArray[np.uint8] = self.source.reformat(format="gray").to_ndarray()
            return grey
        plane = self.source.planes[0]
        rows = np.frombuffer(plane, np.uint8, plane.line_size * plane.height).reshape(plane.height, -1)
        return rows[:, : plane.width]
