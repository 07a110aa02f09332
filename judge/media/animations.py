"""Animated images as videos: GIF, WebP, PNG (APNG) and AVIF, read by Pillow.

FFmpeg reads only some of them, and shows transparent parts as black. The frames are decoded once for their
times and a second time for their pixels, so that never more than one is in memory.

A frame that is to be shown for 10 milliseconds or less is shown for 100, as browsers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from judge.errors import MediaError
from judge.media.frames import DecodedFrame
from judge.media.image import MAX_IMAGE_BYTES, SILENT_PILLOW, lock_of_image, to_upright_rgb
from judge.media.sources import open_stream

ANIMATION_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
"""Formats that may be animated, as Pillow names them."""
SHORTEST_MILLISECONDS = 10.0
USUAL_MILLISECONDS = 100.0
MAX_ANIMATION_FRAMES = 5000
MAX_ANIMATION_PIXELS = 4_000_000_000
"""Of all frames together: they have to be decoded one after the other."""
_ALLOWED = "a video, or an animated GIF, WebP, PNG or AVIF"


def detect_animation_format(file: BinaryIO) -> str:
    """Return which of `ANIMATION_FORMATS` a file begins as, animated or not; "" for every other file."""
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    return "AVIF" if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis") else ""


def is_animation(source: object) -> bool:
    """Return whether an image, in any form that `Sample.image` takes, is animated and can be read."""
    with SILENT_PILLOW:
        try:
            if isinstance(source, Image.Image):
                return source.format in ANIMATION_FORMATS and _is_animated(source)
            with open_stream(source, "image", "image", _ALLOWED, MAX_IMAGE_BYTES) as (file, _):
                name = detect_animation_format(file)
                return bool(name) and _is_animated(Image.open(file, formats=[name]))
        except Exception:  # what reads it later says what is wrong with it
            return False


def _open(source: BinaryIO | Image.Image) -> Image.Image:
    """Open a file from its beginning; return an image as it is."""
    if isinstance(source, Image.Image):
        return source
    source.seek(0)
    return Image.open(source, formats=ANIMATION_FORMATS)


def _is_animated(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


@contextmanager
def open_animated_image(
    image: Image.Image, field: str, max_seconds: float, max_pixels: int
) -> Iterator[AnimationFile]:
    """Open an animated PIL image as a video. Its current frame is the same afterwards.

    Args:
        image: the image.
        field: the caller's name of this input; errors name it.
        max_seconds: longest duration.
        max_pixels: largest width times height of a frame.

    Raises:
        MediaError: it is not animated, or exceeds a limit.
    """
    description = f"<{image.mode} image, {image.width} x {image.height}>"
    with lock_of_image(image):
        before = image.tell() if _is_animated(image) else 0
        try:
            with AnimationFile(image, field, description, max_seconds, max_pixels) as animation:
                yield animation
        finally:
            if _is_animated(image):
                image.seek(before)


class AnimationFile:
    """An open animated image, with the same interface as `judge.media.decoding.VideoFile`.

    Args:
        source: an open file, or an image that Pillow has opened.
        field: the caller's name of this input; errors name it.
        description: short description of the source for errors.
        max_seconds: longest duration.
        max_pixels: largest width times height of a frame.

    Raises:
        MediaError: the image is a still one, damaged, or exceeds a limit.
    """

    def __init__(
        self,
        source: BinaryIO | Image.Image,
        field: str,
        description: str,
        max_seconds: float,
        max_pixels: int,
    ) -> None:
        self.field, self.description = field, description
        self.notes: list[str] = []
        """What the reader of a verdict should know about the file."""
        try:
            with SILENT_PILLOW:
                self._image: Any = _open(source)
                count = self._check(max_pixels)
                if count is None:
                    self._image = _open(source)  # counting has left it at the damaged frame
                milliseconds = self._read_durations(count or self._most_frames)
        except MediaError:
            raise
        except Exception as error:  # a decoder may raise anything on hostile bytes
            raise self.error(f"it is damaged ({_one_line(error)})") from None
        ends = np.cumsum(milliseconds) / 1000
        self.duration = float(ends[-1])
        """Seconds from the first frame to the end of the last."""
        self.times = [0.0, *ends[:-1].tolist()]
        """Display time of each frame in seconds from the first."""
        self.frame_interval = float(np.median(milliseconds)) / 1000
        """Usual time between frames in seconds."""
        self.key_frames = list(range(len(self.times)))
        """Numbers of the frames at which a burst may begin: all of them."""
        if self.duration > max_seconds:
            allowed = f"videos of at most {max_seconds:g} seconds"
            raise MediaError(field, description, allowed, f"it has {self.duration:.0f} seconds: cut it")

    def __enter__(self) -> AnimationFile:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close: the file belongs to the caller."""

    @cached_property
    def _first(self) -> int:
        """Number of the first frame for Pillow: a PNG may have a still image before its animation."""
        return int(bool(self._image.info.get("default_image")))

    @property
    def _most_frames(self) -> int:
        pixels: int = self._image.width * self._image.height
        return min(MAX_ANIMATION_FRAMES, MAX_ANIMATION_PIXELS // pixels)

    def _check(self, max_pixels: int) -> int | None:
        """Return the number of frames; None if a damaged file does not tell.

        Raises:
            MediaError: for a still image or one beyond the limits.
        """
        image = self._image
        if not _is_animated(image) and image.format != "GIF":
            raise MediaError(self.field, self.description, _ALLOWED, "it is a still image: pass it as image")
        pixels = image.width * image.height
        if pixels > max_pixels:
            mend = f"it is {image.width} x {image.height}: reduce it"
            raise MediaError(self.field, self.description, f"at most {max_pixels} pixels a frame", mend)
        try:
            count = int(getattr(image, "n_frames", 1))
        except Exception as error:
            self.note_damage(_one_line(error))
            return None
        if count > self._most_frames:
            allowed = f"animations of at most {MAX_ANIMATION_FRAMES} frames and {MAX_ANIMATION_PIXELS} pixels"
            mend = f"it has {count} of {image.width} x {image.height}: save it as MP4"
            raise MediaError(self.field, self.description, allowed, mend)
        return count

    def _read_durations(self, count: int) -> list[float]:
        """Return how long each frame is shown, in milliseconds. Frames after a damaged one are left out."""
        durations: list[float] = []
        for number in range(self._first, count):
            try:
                self._image.seek(number)
                self._image.load()  # some formats know the duration only then
            except Exception as error:
                if not durations:
                    raise
                self.note_damage(_one_line(error))
                break
            stated = float(self._image.info.get("duration") or 0)
            durations.append(stated if stated > SHORTEST_MILLISECONDS else USUAL_MILLISECONDS)
        return durations

    def decode(self, first: int, count: int) -> Iterator[DecodedFrame]:
        """Decode consecutive frames, as far as that is possible.

        Args:
            first: number of the first frame.
            count: number of frames.

        Yields:
            The frames in order, in RGB, upright and with transparent parts on white.
        """
        for number in range(first, min(first + count, len(self.times))):
            notes: list[str] = []
            try:
                with SILENT_PILLOW:
                    self._image.seek(number + self._first)
                    frame = to_upright_rgb(self._image, notes)
            except Exception as error:  # a decoder may raise anything on hostile bytes
                self.note_damage(_one_line(error))
                return
            self.notes += [note for note in notes if note not in self.notes]
            yield DecodedFrame(number, self.times[number], frame)

    def note_damage(self, reason: str) -> None:
        """Add a note, once, that the file is truncated or damaged."""
        if not any(note.startswith("truncated") for note in self.notes):
            self.notes.append(f"truncated or damaged ({reason}): judged by what can be decoded")

    def error(self, reason: str) -> MediaError:
        """Return an error that says why the file has no usable frames."""
        mend = f"{reason}: export or download it again"
        return MediaError(self.field, self.description, "a video with frames", mend)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
