"""Small video files, written when a test needs them."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction

import av
import numpy as np


def make_frames(count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> list[np.ndarray]:
    """Make frames of a square that moves two pixels per frame over a ground with a pattern."""
    width, height = size
    ground = np.random.default_rng(seed).integers(60, 120, (height // 4, width // 4, 3), dtype=np.uint8)
    ground = ground.repeat(4, 0).repeat(4, 1)[:height, :width]
    frames = []
    for n in range(count):
        frame = ground.copy()
        x = (2 * n) % (width - 16)
        frame[16:32, x : x + 16] = (220, 40 + seed % 150, 60)
        frames.append(frame)
    return frames


def encode_clip(
    frames: Sequence[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    rate: int = 10,
    container: str = "mp4",
    sound: bool = False,
    **options: str,
) -> bytes:
    """Encode frames as a video file; `times` are hundredths of a second, default: `rate` a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=options) as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        audio = file.add_stream("aac", rate=16000, layout="mono") if sound else None
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times[n] if times else n * 100 // rate
            frame.time_base = Fraction(1, 100)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if audio is not None:
            file.mux(_encode_silence(audio))
    return buffer.getvalue()


X264 = {
    "preset": "ultrafast", "crf": "12", "g": "24", "bf": "2",
    "x264-params": "b-adapt=0:open-gop=1:scenecut=0",
}  # fmt: skip
"""Groups of frames that begin with frames of the one before (open GOP)."""
MPEG = {"g": "12", "bf": "2", "b": "2000000"}


def encode_stream(
    frames: Sequence[np.ndarray],
    container: str,
    codec: str = "libx264",
    *,
    rate: int = 25,
    start: float = 0.0,
    options: Mapping[str, str] = X264,
    muxer: Mapping[str, str] | None = None,
    aspect: Fraction | None = None,
) -> bytes:
    """Encode frames with any codec and container; `start` are the seconds of the first frame."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=dict(muxer or {})) as file:
        stream = file.add_stream(codec, rate=rate, options=dict(options))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number + round(start * rate), Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def encode_deep(planes: Sequence[np.ndarray], transfer: int, primaries: int, matrix: int = 9) -> bytes:
    """Encode one 10-bit frame, given as Y, U and V of 4:2:0, without loss, with its colours stated."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        stream = file.add_stream("ffv1", rate=10)
        height, width = planes[0].shape
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, primaries
        context.colorspace, context.color_range = matrix, 1
        frame = av.VideoFrame(width, height, "yuv420p10le")
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = (
            transfer, primaries, matrix, 1,
        )  # fmt: skip
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def encode_sound_only() -> bytes:
    """Encode an MP4 file with sound and no video."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        audio = file.add_stream("aac", rate=16000, layout="mono")
        file.mux(_encode_silence(audio))
    return buffer.getvalue()


def _encode_silence(stream: av.AudioStream) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 16000, 0
    return [*stream.encode(frame), *stream.encode(None)]


def set_rotation(data: bytes) -> bytes:
    """Return an MP4 file whose header asks for a rotation by 90 degrees clockwise."""
    start = data.index(b"tkhd") + 4
    matrix = start + (52 if data[start] else 40)
    width = struct.unpack(">I", data[matrix + 36 : matrix + 40])[0] >> 16
    rotation = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, width << 16, 0, 1 << 30)
    return data[:matrix] + rotation + data[matrix + 36 :]
