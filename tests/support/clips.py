"""Little video files, written where a test asks."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np


def plain(count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> list[np.ndarray]:
    """Frames of a square that moves two pixels a frame over a ground with a pattern."""
    width, height = size
    ground = np.random.default_rng(seed).integers(60, 120, (height // 4, width // 4, 3), dtype=np.uint8)
    ground = ground.repeat(4, 0).repeat(4, 1)[:height, :width]
    frames = []
    for n in range(count):
        frame = ground.copy()
        at = (2 * n) % (width - 16)
        frame[16:32, at : at + 16] = (220, 40 + seed % 150, 60)
        frames.append(frame)
    return frames


def film(
    frames: Sequence[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    rate: int = 10,
    container: str = "mp4",
    sound: bool = False,
    **options: str,
) -> bytes:
    """A file of frames; `times` are hundredths of a second, by default `rate` frames a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=options) as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        voice = file.add_stream("aac", rate=16000, layout="mono") if sound else None
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times[n] if times else n * 100 // rate
            frame.time_base = Fraction(1, 100)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if voice is not None:
            file.mux(_silence(voice))
    return buffer.getvalue()


def sound_only() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        voice = file.add_stream("aac", rate=16000, layout="mono")
        file.mux(_silence(voice))
    return buffer.getvalue()


def _silence(stream: av.AudioStream) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 16000, 0
    return [*stream.encode(frame), *stream.encode(None)]


def turned(data: bytes) -> bytes:
    """An MP4 file that says of itself: show me turned by 90 degrees clockwise."""
    at = data.index(b"tkhd") + 4
    matrix = at + (52 if data[at] else 40)
    width = struct.unpack(">I", data[matrix + 36 : matrix + 40])[0] >> 16
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, width << 16, 0, 1 << 30)
    return data[:matrix] + quarter + data[matrix + 36 :]
