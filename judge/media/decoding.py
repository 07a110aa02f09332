"""Video files in: their frames' times without decoding, then any run of frames, by FFmpeg through PyAV.

What is judged is hostile. Only containers that hold their pictures themselves are opened (no playlists, no
image sequences), through a file object, so that nothing else is read or fetched; sizes are checked before
anything is decoded; whatever a demuxer or decoder raises becomes one `MediaError`, or a note where frames
came before it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import MediaError
from judge.media import image as media

MAX_BYTES = 2_000_000_000
MAX_PIXELS = 36_000_000
"""Largest width times height of a frame."""
MAX_SECONDS = 1800.0
MAX_FRAMES = 200_000

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .ogv .wmv .3gp .yuv4mpeg .y4m".split()
)
"""How video files are called."""
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,ivf,yuv4mpegpipe,m4v"
"""FFmpeg's names of the containers that are opened."""
_ALLOWED = "a video file (MP4, MOV, WebM, MKV, AVI, MPEG, FLV, GIF)"
_KINDS = "a path, bytes or base64 data: URL of a video, an array of frames, or a sequence of pictures"
_GREY_FIRST = frozenset("yuv420p yuvj420p yuv422p yuvj422p yuv444p yuvj444p nv12 gray".split())
"""Pixel formats whose first plane is the luminance in 8 bits."""


@dataclass
class Shot:
    """One frame: of a file, or a picture that was given."""

    number: int
    """Its place among the frames in the order they are shown."""
    time: float
    """Seconds from the first frame."""
    frame: Any
    """A PyAV frame, or an upright RGB picture."""
    turn: int = 0
    """Degrees clockwise that it is still to be turned by: 0, 90, 180 or 270."""
    stretch: float = 1.0
    """Width of a pixel over its height."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright frame with square pixels."""
        width, height = max(1, round(self.frame.width * self.stretch)), self.frame.height
        return (height, width) if self.turn % 180 else (width, height)

    def luma(self, side: int) -> NDArray[np.uint8]:
        """Luminance (h, w), the shorter side reduced to `side`; one that is shorter stays."""
        grey = self._grey()
        scale = min(1.0, side / min(self.size))
        width, height = (max(1, round(edge * scale)) for edge in self._lying(self.size))
        if (width, height) != (grey.shape[1], grey.shape[0]):
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return np.ascontiguousarray(np.rot90(grey, -self.turn // 90))

    def picture(self, size: tuple[int, int]) -> Image.Image:
        """The upright frame in RGB, scaled to width and height."""
        if isinstance(self.frame, Image.Image):
            picture = (
                self.frame if self.frame.size == size else self.frame.resize(size, Image.Resampling.BICUBIC)
            )
        else:
            width, height = self._lying(size)
            rgb = self.frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
            picture = Image.fromarray(np.ascontiguousarray(np.rot90(rgb, -self.turn // 90)))
        picture.format = "PNG"  # some libraries insist on one
        return picture

    def _lying(self, size: tuple[int, int]) -> tuple[int, int]:
        """An upright size as the stored frame has it."""
        return (size[1], size[0]) if self.turn % 180 else size

    def _grey(self) -> NDArray[np.uint8]:
        if isinstance(self.frame, Image.Image):
            return np.asarray(self.frame.convert("L"))
        if self.frame.format.name not in _GREY_FIRST:
            grey: NDArray[np.uint8] = self.frame.reformat(format="gray").to_ndarray()
            return grey
        plane = self.frame.planes[0]
        rows = np.frombuffer(plane, np.uint8, plane.line_size * plane.height).reshape(plane.height, -1)
        return rows[:, : plane.width]


@contextmanager
def opened(
    source: Any,
    field: str,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[File]:
    """Open a video file; nothing is decoded yet. Raises `MediaError`, also for one beyond a limit."""
    import av

    with _stream(source, field, max_bytes) as (stream, shown):
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
        try:
            container = av.open(stream, container_options=options, metadata_errors="replace")
        except Exception as error:  # a demuxer fed with hostile bytes may raise anything
            mend = f"it is none, or damaged ({_line(error)}): export or download it again"
            raise MediaError(field, shown, _ALLOWED, mend) from None
        with container:
            yield File(container, field, shown, max_seconds, max_pixels)


def encoded(source: Any, field: str = "video", max_bytes: int = MAX_BYTES) -> bytes:
    """A video as a file's bytes, as they are, to be sent somewhere. Raises `MediaError`; only the size is
    checked."""
    if not isinstance(source, str | bytes | bytearray | memoryview | os.PathLike):
        allowed = "a path, bytes or base64 data: URL of a video where it is sent to a server"
        raise MediaError(field, f"<{type(source).__name__}>", allowed, "save the frames as a video file")
    with _stream(source, field, max_bytes) as (stream, _):
        data: bytes = stream.read()
    return data


class File:
    """An open file. Its frames are numbered in the order they are shown."""

    def __init__(self, container: Any, field: str, shown: str, max_seconds: float, max_pixels: int) -> None:
        self.container, self.field, self.shown = container, field, shown
        self.notes: list[str] = []
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            what = "it holds sound only" if container.streams.audio else "it holds no video"
            raise MediaError(field, shown, _ALLOWED, f"{what}: check the file")
        self.stream = streams[0]
        codec = self.stream.codec_context
        if codec is None:
            raise MediaError(field, shown, _ALLOWED, "its codec is unknown: encode it as H.264")
        if codec.width * codec.height > max_pixels:
            mend = f"it is {codec.width} x {codec.height}: reduce it"
            raise MediaError(field, shown, f"at most {max_pixels} pixels a frame", mend)
        self.stream.thread_type = "AUTO"
        self._base = float(self.stream.time_base or 1 / 90_000)
        self._list(max_seconds)

    def _list(self, max_seconds: float) -> None:
        """Read the packets' times: presentation times of all frames, in order, and which are key frames."""
        found: dict[int, bool] = {}
        allowed = f"videos of at most {max_seconds:g} seconds and {MAX_FRAMES} frames"
        if (claimed := self._claimed()) > max_seconds:
            raise MediaError(self.field, self.shown, allowed, f"it has {claimed:.0f} seconds: cut it")
        low = high = 0
        try:
            for packet in self.container.demux(self.stream):
                at = packet.pts if packet.pts is not None else packet.dts
                if at is None:
                    continue
                low, high = (min(low, at), max(high, at)) if found else (at, at)
                found[at] = found.get(at, False) or packet.is_keyframe
                if len(found) > MAX_FRAMES or (high - low) * self._base > max_seconds:
                    raise MediaError(self.field, self.shown, allowed, "it is longer: cut it")
        except MediaError:
            raise
        except Exception as error:
            self.say_broken(_line(error))
        if not found:
            raise self.error("it holds no frame")
        if len(found) < (self.stream.frames or 0):
            self.say_broken(f"{len(found)} of {self.stream.frames} frames are there")
        self._pts = sorted(found)
        if self.duration < 0.95 * claimed - 2 * self.step:
            self.say_broken(f"{self.duration:.1f} of {claimed:.1f} seconds are there")
        self.keys = [number for number, at in enumerate(self._pts) if found[at]]
        """Numbers of the frames that can be decoded on their own."""

    def _claimed(self) -> float:
        """How many seconds of pictures the file says it has; 0 where it does not say."""
        if self.stream.duration:
            return float(self.stream.duration) * self._base
        # The whole file's length may be that of its sound.
        alone = len(self.container.streams) == 1 and self.container.duration
        return float(self.container.duration) / 1e6 if alone else 0.0

    @cached_property
    def times(self) -> list[float]:
        """When each frame is shown, in seconds from the first."""
        return [(at - self._pts[0]) * self._base for at in self._pts]

    @cached_property
    def step(self) -> float:
        """Usual time between frames in seconds."""
        usual = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        return usual or 1 / float(self.stream.average_rate or 24)

    @property
    def duration(self) -> float:
        return self.times[-1] + self.step

    def decoded(self, first: int, count: int) -> Iterator[Shot]:
        """Frames `first`, `first + 1`, ... as far as they can be decoded."""
        begin, last = self._pts[first], self._pts[min(first + count, len(self._pts)) - 1]
        known = {at: number for number, at in enumerate(self._pts)}
        number = first - 1
        try:
            self.container.seek(begin, stream=self.stream, backward=True)
            for frame in self.container.decode(self.stream):
                at = frame.pts if frame.pts is not None else frame.dts
                number = number + 1 if at is None else known.get(at, number + 1)
                if number < first:
                    continue
                turn = -int(frame.rotation or 0) % 360
                if turn and not any(note.startswith("turned") for note in self.notes):
                    self.notes.append(f"turned by {turn} degrees, as the file says")
                yield Shot(number, self.times[min(number, len(self.times) - 1)], frame, turn, self._stretch)
                if at is not None and at >= last:
                    return
        except Exception as error:  # a decoder fed with hostile bytes may raise anything
            self.say_broken(_line(error))

    @cached_property
    def _stretch(self) -> float:
        shape = self.stream.sample_aspect_ratio
        return float(shape) if shape and 0.1 < float(shape) < 10 else 1.0

    def say_broken(self, how: str) -> None:
        """Note, once, that the file breaks off."""
        if not any(note.startswith("truncated") for note in self.notes):
            self.notes.append(f"truncated or damaged ({how}): judged by what can be decoded")

    def error(self, how: str) -> MediaError:
        return MediaError(
            self.field, self.shown, "a video with frames", f"{how}: export or download it again"
        )


def _is_cover(stream: Any) -> bool:
    """Whether a stream is the picture on the sleeve of a piece of music."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


@contextmanager
def _stream(source: Any, field: str, max_bytes: int) -> Iterator[tuple[Any, str]]:
    """The encoded video as a file object, and a short name of it for errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        shown = f"<{len(source)} bytes>"
        media.check_bytes(len(source), field, shown, max_bytes)
        yield io.BytesIO(source), shown
    elif isinstance(source, str) and source[:5].lower() == "data:":
        data, shown = media.from_data_url(source, field, max_bytes)
        yield io.BytesIO(data), shown
    elif isinstance(source, str) and source[:8].lower().startswith(("http://", "https://")):
        raise MediaError(field, source, _KINDS, "download it first: nothing is fetched while judging")
    elif isinstance(source, str | os.PathLike):
        with media.opened(Path(source), field, "video", max_bytes) as file:
            yield file, str(source)
    else:
        raise MediaError(field, source, _KINDS, "pass one of these")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
