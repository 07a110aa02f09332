"""Frames to MP4: H.264 (libx264 through PyAV, CRF 20, preset veryfast, one thread), the same bytes every
time."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from judge.errors import JudgeError


def encode(frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], rate: int, *, crf: int = 20) -> bytes:
    """An MP4 file of frames (height, width, 3).

    Args:
        frames: RGB.
        size: width and height, even numbers.
        rate: frames a second.
        crf: 0 (lossless) to 51.

    Raises:
        JudgeError: this build of PyAV has no H.264 encoder.
    """
    import av

    if "libx264" not in av.codec.codecs_available:
        raise JudgeError("video: this PyAV has no libx264; install PyAV's own wheel")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.time_base = Fraction(1, rate)
        # Without macroblock trees: with them x264's AVX-512 code gives other bytes now and then.
        stream.options = {"crf": str(crf), "preset": "veryfast", "mbtree": "0", "flags": "+bitexact"}
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()
