"""Opening video files and decoding their frames, with FFmpeg through PyAV.

The times of all frames are read without decoding; then any run of frames can be decoded.

Videos are treated as hostile. Only containers that hold their frames themselves are opened (no playlists, no
image sequences), through a file object, so nothing else is read or fetched. Sizes are checked before anything
is decoded. Every error of a demuxer or decoder becomes a `MediaError`, or a note if frames were decoded
before it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import MediaError
from judge.media.sources import check_byte_count, decode_data_url, is_data_url, open_file, resolve_path

MAX_VIDEO_BYTES = 2_000_000_000
"""Default limit on the encoded size."""
MAX_FRAME_PIXELS = 36_000_000
"""Default limit on width times height of a frame."""
MAX_VIDEO_SECONDS = 1800.0
"""Default limit on the duration."""
MAX_VIDEO_FRAMES = 200_000

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .ogv .wmv .3gp .yuv4mpeg .y4m".split()
)
"""Suffixes of the names of video files."""
_CONTAINER_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,ivf,yuv4mpegpipe,m4v"
"""Containers that are opened, as FFmpeg names them."""
_ALLOWED_FILES = "a video file (MP4, MOV, WebM, MKV, AVI, MPEG, FLV, GIF)"
_ALLOWED_SOURCES = "a path, bytes or base64 data: URL of a video, an array of frames, or a sequence of images"
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
        grey = self._stored_luma()
        scale = min(1.0, side / min(self.size))
        width, height = (max(1, round(edge * scale)) for edge in self._as_stored(self.size))
        if (width, height) != (grey.shape[1], grey.shape[0]):
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return np.ascontiguousarray(np.rot90(grey, -self.rotation // 90))

    def to_image(self, size: tuple[int, int]) -> Image.Image:
        """Return the upright frame in RGB, resized to (width, height)."""
        if isinstance(self.source, Image.Image):
            is_same = self.source.size == size
            image = self.source if is_same else self.source.resize(size, Image.Resampling.BICUBIC)
        else:
            width, height = self._as_stored(size)
            rgb = self.source.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
            image = Image.fromarray(np.ascontiguousarray(np.rot90(rgb, -self.rotation // 90)))
        image.format = "PNG"  # some libraries require a format
        return image

    def _as_stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """Convert an upright size to that of the stored frame."""
        return (size[1], size[0]) if self.rotation % 180 else size

    def _stored_luma(self) -> NDArray[np.uint8]:
        if isinstance(self.source, Image.Image):
            return np.asarray(self.source.convert("L"))
        if self.source.format.name not in _LUMA_FIRST_FORMATS:
            grey: NDArray[np.uint8] = self.source.reformat(format="gray").to_ndarray()
            return grey
        plane = self.source.planes[0]
        rows = np.frombuffer(plane, np.uint8, plane.line_size * plane.height).reshape(plane.height, -1)
        return rows[:, : plane.width]


@contextmanager
def open_video(
    source: Any,
    field: str,
    max_bytes: int = MAX_VIDEO_BYTES,
    max_seconds: float = MAX_VIDEO_SECONDS,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> Iterator[VideoFile]:
    """Open a video file. Nothing is decoded yet.

    Args:
        source: path, encoded bytes, or base64 `data:` URL.
        field: the caller's name of this input; errors name it.
        max_bytes: largest encoded size.
        max_seconds: longest duration.
        max_pixels: largest width times height of a frame.

    Yields:
        The open file.

    Raises:
        MediaError: the source is not a video, cannot be read, or exceeds a limit.
    """
    import av

    with _open_stream(source, field, max_bytes) as (stream, description):
        options = {"format_whitelist": _CONTAINER_FORMATS, "protocol_whitelist": "none"}
        try:
            container = av.open(stream, container_options=options, metadata_errors="replace")
        except Exception as error:  # a demuxer may raise anything on hostile bytes
            mend = f"it is no video, or damaged ({_one_line(error)}): export or download it again"
            raise MediaError(field, description, _ALLOWED_FILES, mend) from None
        with container:
            yield VideoFile(container, field, description, max_seconds, max_pixels)


def read_video_bytes(source: Any, field: str = "video", max_bytes: int = MAX_VIDEO_BYTES) -> bytes:
    """Return a video as the bytes of its file, for example to send it to a server.

    Args:
        source: path, encoded bytes, or base64 `data:` URL.
        field: the caller's name of this input; errors name it.
        max_bytes: largest encoded size. Nothing else is checked.

    Raises:
        MediaError: the source cannot be read, or is too large.
    """
    if not isinstance(source, str | bytes | bytearray | memoryview | os.PathLike):
        allowed = "a path, bytes or base64 data: URL of a video where it is sent to a server"
        raise MediaError(field, f"<{type(source).__name__}>", allowed, "save the frames as a video file")
    with _open_stream(source, field, max_bytes) as (stream, _):
        data: bytes = stream.read()
    return data


class VideoFile:
    """An open video file. Its frames are numbered in display order.

    Args:
        container: the container that PyAV has opened.
        field: the caller's name of this input; errors name it.
        description: short description of the source for errors.
        max_seconds: longest duration.
        max_pixels: largest width times height of a frame.

    Raises:
        MediaError: the file has no usable video stream, or exceeds a limit.
    """

    def __init__(
        self, container: Any, field: str, description: str, max_seconds: float, max_pixels: int
    ) -> None:
        self.container, self.field, self.description = container, field, description
        self.notes: list[str] = []
        """What the reader of a verdict should know about the file."""
        streams = [stream for stream in container.streams.video if not _is_cover_art(stream)]
        if not streams:
            reason = "it holds sound only" if container.streams.audio else "it holds no video"
            raise MediaError(field, description, _ALLOWED_FILES, f"{reason}: check the file")
        self.stream = streams[0]
        codec = self.stream.codec_context
        if codec is None:
            raise MediaError(field, description, _ALLOWED_FILES, "its codec is unknown: encode it as H.264")
        if codec.width * codec.height > max_pixels:
            mend = f"it is {codec.width} x {codec.height}: reduce it"
            raise MediaError(field, description, f"at most {max_pixels} pixels a frame", mend)
        self.stream.thread_type = "AUTO"
        self._time_base = float(self.stream.time_base or 1 / 90_000)
        self._list_frames(max_seconds)

    def _list_frames(self, max_seconds: float) -> None:
        """Read the presentation time of every frame, and which frames are key frames, from the packets."""
        allowed = f"videos of at most {max_seconds:g} seconds and {MAX_VIDEO_FRAMES} frames"
        if (claimed := self._claimed_seconds()) > max_seconds:
            raise MediaError(self.field, self.description, allowed, f"it has {claimed:.0f} seconds: cut it")
        is_key = self._demux(max_seconds, allowed)
        if not is_key:
            raise self.error("it holds no frame")
        if len(is_key) < (self.stream.frames or 0):
            self.note_damage(f"{len(is_key)} of {self.stream.frames} frames are there")
        self._timestamps = sorted(is_key)
        if self.duration < 0.95 * claimed - 2 * self.frame_interval:
            self.note_damage(f"{self.duration:.1f} of {claimed:.1f} seconds are there")
        self.key_frames = [number for number, at in enumerate(self._timestamps) if is_key[at]]
        """Numbers of the frames that can be decoded on their own."""

    def _demux(self, max_seconds: float, allowed: str) -> dict[int, bool]:
        """Return the timestamp of every frame, and whether the frame is a key frame."""
        is_key: dict[int, bool] = {}
        low = high = 0
        try:
            for packet in self.container.demux(self.stream):
                at = packet.pts if packet.pts is not None else packet.dts
                if at is None:
                    continue
                low, high = (min(low, at), max(high, at)) if is_key else (at, at)
                is_key[at] = is_key.get(at, False) or packet.is_keyframe
                if len(is_key) > MAX_VIDEO_FRAMES or (high - low) * self._time_base > max_seconds:
                    raise MediaError(self.field, self.description, allowed, "it is longer: cut it")
        except MediaError:
            raise
        except Exception as error:  # a demuxer may raise anything on hostile bytes
            self.note_damage(_one_line(error))
        return is_key

    def _claimed_seconds(self) -> float:
        """Return the duration that the file states, in seconds; 0 if it states none."""
        if self.stream.duration:
            return float(self.stream.duration) * self._time_base
        # The duration of the container may be that of its sound.
        is_only_stream = len(self.container.streams) == 1 and self.container.duration
        return float(self.container.duration) / 1e6 if is_only_stream else 0.0

    @cached_property
    def times(self) -> list[float]:
        """Display time of each frame in seconds from the first."""
        return [(at - self._timestamps[0]) * self._time_base for at in self._timestamps]

    @cached_property
    def frame_interval(self) -> float:
        """Usual time between frames in seconds."""
        usual = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        return usual or 1 / float(self.stream.average_rate or 24)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.times[-1] + self.frame_interval

    def decode(self, first: int, count: int) -> Iterator[DecodedFrame]:
        """Decode consecutive frames, as far as that is possible.

        Args:
            first: number of the first frame.
            count: number of frames.

        Yields:
            The frames in order. If the file is damaged, the iteration stops early and a note is added.
        """
        begin, last = self._timestamps[first], self._timestamps[min(first + count, len(self._timestamps)) - 1]
        number_of = {at: number for number, at in enumerate(self._timestamps)}
        number = first - 1
        try:
            self.container.seek(begin, stream=self.stream, backward=True)
            for frame in self.container.decode(self.stream):
                at = frame.pts if frame.pts is not None else frame.dts
                number = number + 1 if at is None else number_of.get(at, number + 1)
                if number < first:
                    continue
                rotation = -int(frame.rotation or 0) % 360
                if rotation and not any(note.startswith("turned") for note in self.notes):
                    self.notes.append(f"turned by {rotation} degrees, as the file says")
                time = self.times[min(number, len(self.times) - 1)]
                yield DecodedFrame(number, time, frame, rotation, self._pixel_aspect)
                if at is not None and at >= last:
                    return
        except Exception as error:  # a decoder may raise anything on hostile bytes
            self.note_damage(_one_line(error))

    @cached_property
    def _pixel_aspect(self) -> float:
        aspect = self.stream.sample_aspect_ratio
        return float(aspect) if aspect and 0.1 < float(aspect) < 10 else 1.0

    def note_damage(self, reason: str) -> None:
        """Add a note, once, that the file is truncated or damaged."""
        if not any(note.startswith("truncated") for note in self.notes):
            self.notes.append(f"truncated or damaged ({reason}): judged by what can be decoded")

    def error(self, reason: str) -> MediaError:
        """Return an error that says why the file has no usable frames."""
        mend = f"{reason}: export or download it again"
        return MediaError(self.field, self.description, "a video with frames", mend)


def _is_cover_art(stream: Any) -> bool:
    """Return whether a stream is the cover image of an audio file."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


@contextmanager
def _open_stream(source: Any, field: str, max_bytes: int) -> Iterator[tuple[Any, str]]:
    """Open an encoded video as a file object; yield it with a short description for errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        description = f"<{len(source)} bytes>"
        check_byte_count(len(source), field, description, max_bytes)
        yield io.BytesIO(source), description
    elif is_data_url(source):
        data, description = decode_data_url(source, field, max_bytes)
        yield io.BytesIO(data), description
    elif isinstance(source, str | os.PathLike):
        path = resolve_path(source, field, _ALLOWED_SOURCES)
        with open_file(path, field, "video", max_bytes) as file:
            yield file, str(source)
    else:
        raise MediaError(field, source, _ALLOWED_SOURCES, "pass one of these")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
