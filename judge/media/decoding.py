"""Opening video files and decoding their frames, with FFmpeg through PyAV.

The times of all frames are read without decoding; then any run of frames can be decoded.

Videos are treated as hostile. Only containers that hold their frames themselves are opened (no playlists, no
image sequences), through a file object, so nothing else is read or fetched. Sizes are checked before anything
is decoded. Every error of a demuxer or decoder becomes a `MediaError`, or a note if frames were decoded
before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from typing import Any

from PIL import Image

from judge.errors import MediaError
from judge.media.animations import AnimationFile, detect_animation_format, open_animated_image
from judge.media.frames import DecodedFrame
from judge.media.sources import open_stream
from judge.media.timeline import Packet, Timeline, build_timeline, read_packets
from judge.media.video_colours import describe_colours

MAX_VIDEO_BYTES = 2_000_000_000
"""Default limit on the encoded size."""
MAX_FRAME_PIXELS = 36_000_000
"""Default limit on width times height of a frame."""
MAX_VIDEO_SECONDS = 1800.0
"""Default limit on the duration."""
MAX_VIDEO_FRAMES = 200_000
BEFORE_KEY_FRAME_NOTE = "{} frames cannot be decoded: the key frame before them was cut off"

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .qt .mkv .webm .avi .divx .mpg .mpeg .mpe .vob .ts .mts .m2ts .m2t .flv .ogv .wmv .asf"
    " .3gp .3g2 .ivf .yuv4mpeg .y4m".split()
)
"""Suffixes of the names of video files."""
_CONTAINER_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,ivf,yuv4mpegpipe,m4v"
"""Containers that are opened, as FFmpeg names them."""
_FORMATS_WITH_END = ("matroska,webm", "flv")
"""Containers that state when they end; a part of a recording may begin late on that clock."""
_ALLOWED_FILES = "a video file (MP4, MOV, WebM, MKV, AVI, MPEG, FLV), or an animated GIF, WebP, PNG or AVIF"
_ALLOWED_SOURCES = "a path, bytes or base64 data: URL of a video, an array of frames, or a sequence of images"


@contextmanager
def open_video(
    source: Any,
    field: str,
    max_bytes: int = MAX_VIDEO_BYTES,
    max_seconds: float = MAX_VIDEO_SECONDS,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> Iterator[VideoFile | AnimationFile]:
    """Open a video file or an animated image. Of a video file, nothing is decoded yet.

    Args:
        source: path, encoded bytes, or base64 `data:` URL; or an animated PIL image.
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

    if isinstance(source, Image.Image):
        with open_animated_image(source, field, max_seconds, max_pixels) as animation:
            yield animation
        return
    with open_stream(source, field, "video", _ALLOWED_SOURCES, max_bytes) as (stream, description):
        if detect_animation_format(stream):
            with AnimationFile(stream, field, description, max_seconds, max_pixels) as animation:
                yield animation
            return
        options = {"format_whitelist": _CONTAINER_FORMATS, "protocol_whitelist": "none"}

        def open_container() -> Any:
            try:
                stream.seek(0)
                return av.open(stream, container_options=options, metadata_errors="replace")
            except Exception as error:  # a demuxer may raise anything on hostile bytes
                mend = f"it is no video, or damaged ({_one_line(error)}): export or download it again"
                raise MediaError(field, description, _ALLOWED_FILES, mend) from None

        file = VideoFile(open_container, field, description, max_seconds, max_pixels)
        try:
            yield file
        finally:
            file.close()


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
    with open_stream(source, field, "video", _ALLOWED_SOURCES, max_bytes) as (stream, _):
        data: bytes = stream.read()
    return data


class VideoFile:
    """An open video file. Its frames are numbered in display order.

    Args:
        open_container: opens the file with PyAV, from its beginning.
        field: the caller's name of this input; errors name it.
        description: short description of the source for errors.
        max_seconds: longest duration.
        max_pixels: largest width times height of a frame.

    Raises:
        MediaError: the file has no usable video stream, or exceeds a limit.
    """

    def __init__(
        self,
        open_container: Callable[[], Any],
        field: str,
        description: str,
        max_seconds: float,
        max_pixels: int,
    ) -> None:
        self._open_container, self.field, self.description = open_container, field, description
        self.notes: list[str] = []
        """What the reader of a verdict should know about the file."""
        self._pass: Iterator[Any] | None = None
        """Frames of one pass through the file, where seeking is not reliable."""
        self._pass_number = -1
        """Number of the last frame of that pass."""
        self._open()
        try:
            codec = self.stream.codec_context
            if codec.width * codec.height > max_pixels:
                mend = f"it is {codec.width} x {codec.height}: reduce it"
                raise MediaError(field, description, f"at most {max_pixels} pixels a frame", mend)
            self.timeline = self._read_timeline(max_seconds)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Open the container and its first video stream."""
        self.container = self._open_container()
        try:
            streams = [stream for stream in self.container.streams.video if not _is_cover_art(stream)]
            if not streams:
                reason = "it holds sound only" if self.container.streams.audio else "it holds no video"
                raise MediaError(self.field, self.description, _ALLOWED_FILES, f"{reason}: check the file")
            self.stream = streams[0]
            if self.stream.codec_context is None:
                mend = "its codec is unknown: encode it as H.264"
                raise MediaError(self.field, self.description, _ALLOWED_FILES, mend)
        except MediaError:
            self.container.close()
            raise
        self.stream.thread_type = "AUTO"

    def close(self) -> None:
        """Close the file."""
        self._pass = None
        self.container.close()

    @cached_property
    def _time_base(self) -> float:
        return float(self.stream.time_base or 1 / 90_000)

    def _read_timeline(self, max_seconds: float) -> Timeline:
        """Read from the packets when every frame is shown, and note what is missing."""
        allowed = f"videos of at most {max_seconds:g} seconds and {MAX_VIDEO_FRAMES} frames"
        if (claimed := self._claimed_seconds()) > max_seconds:
            raise MediaError(self.field, self.description, allowed, f"it has {claimed:.0f} seconds: cut it")
        packets: list[Packet] = []
        try:
            packets.extend(islice(read_packets(self.container.demux(self.stream)), MAX_VIDEO_FRAMES + 1))
        except Exception as error:  # a demuxer may raise anything on hostile bytes
            self.note_damage(_one_line(error))
        if not packets:
            raise self.error("it holds no frame")
        is_reordered = bool(self.stream.codec_context.has_b_frames)
        timeline = build_timeline(packets, self.container.format.name, self._time_base, is_reordered)
        if len(packets) > MAX_VIDEO_FRAMES or timeline.times[-1] > max_seconds:
            raise MediaError(self.field, self.description, allowed, "it is longer: cut it")
        interval = timeline.frame_interval or self._stated_interval
        length = timeline.times[-1] + (1 + timeline.cut_off) * interval
        if length < 0.95 * claimed - 2 * interval:
            self.note_damage(f"{length:.1f} of {claimed:.1f} seconds are there")
        elif len(packets) < self._stated_frames() and length < claimed - interval / 2:
            self.note_damage(f"{len(packets)} of {self._stated_frames()} frames are there")
        if timeline.jumps:
            self.notes.append(f"its times start again {timeline.jumps} times: its parts follow each other")
        if timeline.cut_off:
            self.notes.append(BEFORE_KEY_FRAME_NOTE.format(timeline.cut_off))
        return timeline

    def _stated_frames(self) -> int:
        """Return the number of frames that the file states; 0 if it states none."""
        # AVI states units of time, which are frames only by accident.
        return 0 if self.container.format.name == "avi" else int(self.stream.frames or 0)

    def _claimed_seconds(self) -> float:
        """Return the duration that the file states, in seconds; 0 if it states none."""
        if self.stream.duration:
            return float(self.stream.duration) * self._time_base
        # The duration of the container may be that of its sound.
        if len(self.container.streams) != 1 or not self.container.duration:
            return 0.0
        seconds = float(self.container.duration) / 1e6
        if self.container.format.name in _FORMATS_WITH_END:
            seconds -= max(0.0, float(self.container.start_time or 0) / 1e6)
        return max(0.0, seconds)

    @property
    def times(self) -> list[float]:
        """Display time of each frame in seconds from the first."""
        return self.timeline.times

    @property
    def key_frames(self) -> list[int]:
        """Numbers of the frames that can be decoded on their own."""
        return self.timeline.key_frames

    @property
    def _stated_interval(self) -> float:
        return 1 / float(self.stream.average_rate or 24)

    @cached_property
    def frame_interval(self) -> float:
        """Usual time between frames in seconds."""
        return self.timeline.frame_interval or self._stated_interval

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
        last = min(first + count, len(self.times)) - 1
        if first > last:
            return
        try:
            for number, frame in self._frames_near(first):
                if number > last:
                    return
                if number >= first:
                    yield self._to_decoded(number, frame)
                if number == last:
                    return
        except Exception as error:  # a decoder may raise anything on hostile bytes
            self._pass = None
            self.note_damage(_one_line(error))

    def _frames_near(self, first: int) -> Iterator[tuple[int, Any]]:
        """Yield number and frame, from a frame that is not after `first` on."""
        if self._pass is None:
            key = self.timeline.last_key_frame(first)
            packets = self._seek(key)
            if packets is not None:
                yield from self._numbered(packets, key.position - self.timeline.cut_off)
                return
        if self._pass is None or self._pass_number >= first:
            self.container.close()
            self._open()
            self._pass, self._pass_number = self._numbered(self.container.demux(self.stream), 0), -1
        for number, frame in self._pass:
            self._pass_number = number
            yield number, frame

    def _seek(self, key: Packet) -> Iterator[Any] | None:
        """Seek to a key frame.

        Returns:
            The packets from there on, or None if no seek is known to land at the key frame or before it. In
            files without an index, seeks land behind it at times, and lose all frames up to the next one.
        """
        timeline = self.timeline
        if not timeline.packet_at:
            return None
        ways: list[dict[str, Any]] = [{"offset": timeline.stamp_of(key), "stream": self.stream}]
        if key.byte is not None:
            ways.append({"offset": key.byte, "unsupported_byte_offset": True})
        for way in ways:
            try:
                self.container.seek(backward=True, **way)
                packets = self.container.demux(self.stream)
                landed = next(packets)
            except Exception:  # not every demuxer can seek in every way
                continue
            known = timeline.packet_at.get(timeline.stamp_of(landed) or 0)
            # Where frames are counted, only the key frame itself says which number it has.
            last = key.position if not timeline.is_counted else -1
            if known is not None and known.size == landed.size and (known == key or known.position <= last):
                return chain([landed], packets)
        return None

    def _numbered(self, packets: Iterator[Any], number: int) -> Iterator[tuple[int, Any]]:
        """Decode packets and number the frames; `number` is that of the first where frames are counted."""
        number_of, last = self.timeline.number_of, len(self.times) - 1
        number -= 1
        for packet in packets:
            for frame in packet.decode():
                at = frame.pts if frame.pts is not None else frame.dts
                number = min(number + 1 if at is None else number_of.get(at, number + 1), last)
                yield number, frame

    def _to_decoded(self, number: int, frame: Any) -> DecodedFrame:
        """Return a frame with what the file says about its display, and note that once."""
        rotation = -int(frame.rotation or 0) % 360
        colours = describe_colours(frame)
        for note in (
            f"turned by {rotation} degrees, as the file says" if rotation else "",
            colours.note if colours else "",
        ):
            if note and note not in self.notes:
                self.notes.append(note)
        return DecodedFrame(number, self.times[number], frame, rotation, self._pixel_aspect, colours)

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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
