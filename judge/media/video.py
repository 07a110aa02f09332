"""Loading videos: any source that `Sample.video` takes becomes a few upright RGB frames with their times.

How frames are sampled (the same file gives the same frames everywhere):

1. The packets are listed without decoding. This gives the number of frames and the display time of each, also
   for variable frame rates.
2. A video of up to `MAX_FULLY_DECODED_FRAMES` frames is decoded completely. Of a longer one, only
   `FRAMES_SHOWN` bursts of `BURST_FRAMES` consecutive frames are decoded: the time is divided into
   `FRAMES_SHOWN` equal spans, and in each span the burst starts at the last key frame before the middle of
   the span, or at the middle if there is no such key frame in the span.
3. The model is shown `FRAMES_SHOWN` frames at uniform distances (`FEW_FRAMES_SHOWN` for a model with one
   small input size): the frames on the screen at the middles of as many equal spans. Of a longer video, these
   are the first frames of as many bursts at uniform distances. Where the scene changes, the first frame of
   the new shot is shown as well: up to half as many frames, those with the clearest changes. A change is a
   decoded frame whose thumbnail has a correlation below `SAME_SHOT_CORRELATION` with the previous one.
4. The luminance of every decoded frame is kept as well; `judge.evidence.motion` measures it.

Frames are turned upright and get square pixels, as the file says. Sound is ignored. Of a truncated video, the
frames that can be decoded are used, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import MediaError
from judge.media.animations import AnimationFile
from judge.media.decoding import (
    BEFORE_KEY_FRAME_NOTE,
    MAX_FRAME_PIXELS,
    MAX_VIDEO_BYTES,
    MAX_VIDEO_SECONDS,
    VideoFile,
    open_video,
)
from judge.media.frames import DecodedFrame
from judge.media.image import compute_fitted_size, load_image

FRAMES_SHOWN, FEW_FRAMES_SHOWN = 8, 4
MAX_FULLY_DECODED_FRAMES, BURST_FRAMES = 256, 16
SAME_SHOT_CORRELATION = 0.5
LUMA_SIDE = 224
"""Pixels of the shorter side of the luminance that is kept; smaller videos keep their size."""
DEFAULT_FRAME_RATE = 24.0
"""Frames per second that are assumed for a sequence of images."""
MODEL_FRAME_PIXELS = 262_144
"""Frames are reduced to this many pixels for models without a fixed input size."""

Luma = NDArray[np.uint8]
"""(h, w)."""


@dataclass(frozen=True)
class Video:
    """The sampled frames of a video, upright."""

    frames: list[Image.Image]
    """Frames for the model, RGB, in the order of their times."""
    times: list[float]
    """Display time of each of `frames` in seconds from the first frame of the video."""
    still: Image.Image
    """The frame that represents the video: the middle one of the uniform frames, in full size."""
    width: int
    """Pixels of the original, after it was turned upright."""
    height: int
    """Pixels of the original, after it was turned upright."""
    duration: float
    """Seconds from the first frame to the end of the last."""
    bursts: list[list[tuple[float, Luma]]] = field(repr=False)
    """Time and luminance of all decoded frames, in runs of consecutive frames."""
    frame_interval: float
    """Usual time between frames in seconds."""
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about how the file was converted."""


def load_video(
    source: Any,
    *,
    side: int | None = None,
    max_pixels: int = MODEL_FRAME_PIXELS,
    frame_count: int = FRAMES_SHOWN,
    field: str = "video",
    max_seconds: float = MAX_VIDEO_SECONDS,
    max_bytes: int = MAX_VIDEO_BYTES,
) -> Video:
    """Load a video and sample its frames.

    Args:
        source: path, encoded bytes, base64 `data:` URL, uint8 array (frames, height, width, 3), or a sequence
            of images of one size, each as `judge.media.image.load_image` takes it. A sequence of images is
            assumed to have `DEFAULT_FRAME_RATE` frames per second.
        side: for models with one fixed input size: frames become squares of this many pixels.
        max_pixels: otherwise: frames are reduced to at most this many pixels and keep the aspect ratio.
        frame_count: number of frames at uniform distances; half as many more where the scene changes.
        field: the caller's name of this input; errors name it.
        max_seconds: longest duration.
        max_bytes: largest encoded size.

    Raises:
        MediaError: the source does not exist, is not a video, has sound only, cannot be decoded, or exceeds a
            limit.
    """
    sampler = _FrameSampler(side, max_pixels, frame_count)
    is_sequence = isinstance(source, np.ndarray) or (
        isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray | memoryview)
    )
    if is_sequence:
        return _sample_images(source, field, sampler)
    with open_video(source, field, max_bytes, max_seconds) as file:
        return _sample_file(file, sampler)


class _FrameSampler:
    """Collects what is kept of the decoded frames.

    Args:
        side: as in `load_video`.
        max_pixels: as in `load_video`.
        frame_count: as in `load_video`.
    """

    def __init__(self, side: int | None, max_pixels: int, frame_count: int) -> None:
        self.side, self.max_pixels, self.frame_count = side, max_pixels, frame_count
        self.bursts: list[list[tuple[float, Luma]]] = []
        self.uniform: list[tuple[float, Image.Image]] = []
        """Time and image of each uniform frame."""
        self.cuts: list[tuple[float, float, Image.Image]] = []
        """Correlation with the previous frame, time and image of each first frame of a new shot."""
        self.originals: list[DecodedFrame] = []
        """The uniform frames in full size."""
        self.size = (0, 0)

    def add_burst(self, frames: Iterable[DecodedFrame], uniform_numbers: set[int] | None) -> None:
        """Add a run of consecutive frames.

        Args:
            frames: the frames in order.
            uniform_numbers: numbers of the uniform frames; None for the first frame of the run.
        """
        burst: list[tuple[float, Luma]] = []
        previous: NDArray[np.float32] | None = None
        for frame in frames:
            if self.size == (0, 0):
                self.size = frame.size
            luma = frame.to_luma(LUMA_SIDE)
            thumbnail = _make_thumbnail(luma)
            correlation = 1.0 if previous is None else float((thumbnail * previous).mean())
            previous = thumbnail
            if frame.number in uniform_numbers if uniform_numbers is not None else not burst:
                self.uniform.append((frame.time, self._resize(frame)))
                self.originals.append(frame)
            elif correlation < SAME_SHOT_CORRELATION:
                self.cuts.append((correlation, frame.time, self._resize(frame)))
                self.cuts = sorted(self.cuts, key=lambda cut: cut[:2])[: self.frame_count // 2]
            burst.append((frame.time, luma))
        if burst:
            self.bursts.append(burst)

    def _resize(self, frame: DecodedFrame) -> Image.Image:
        return frame.to_image(compute_fitted_size(*self.size, side=self.side, max_pixels=self.max_pixels))

    def to_video(self, duration: float, frame_interval: float, notes: list[str]) -> Video:
        """Return the collected frames as a video."""
        frames = {time: image for _, time, image in self.cuts} | dict(self.uniform)
        middle = self.originals[len(self.originals) // 2]
        return Video(
            frames=[frames[time] for time in sorted(frames)],
            times=sorted(frames),
            still=middle.to_image(self.size),
            width=self.size[0],
            height=self.size[1],
            duration=duration,
            bursts=self.bursts,
            frame_interval=frame_interval,
            notes=notes,
        )


def _make_thumbnail(luma: Luma) -> NDArray[np.float32]:
    """Return a thumbnail (16, 16) with mean 0 and deviation 1.

    The mean product of two thumbnails is their correlation.
    """
    thumbnail = cv2.resize(luma, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    thumbnail -= thumbnail.mean()
    # A nearly uniform image has no pattern that could change, so its deviation counts as at least 2.
    return thumbnail / max(float(thumbnail.std()), 2.0)


def _sample_file(file: VideoFile | AnimationFile, sampler: _FrameSampler) -> Video:
    times = file.times
    if len(times) <= MAX_FULLY_DECODED_FRAMES:
        middles = _span_middles(file.duration, sampler.frame_count)
        sampler.add_burst(file.decode(0, len(times)), set(_frames_on_screen(times, middles)))
        if not sampler.uniform and sampler.bursts:  # all uniform frames are damaged
            sampler.add_burst(file.decode(0, 1), None)
    else:
        begin = 0
        for n, start in enumerate(_burst_starts(times, file.key_frames, file.duration)):
            begin = max(start, begin)
            if begin >= len(times):  # uneven times of a damaged file leave no frames for the last spans
                break
            # With fewer uniform frames than bursts, every second burst, for example, gives one.
            gives_uniform = n * sampler.frame_count % FRAMES_SHOWN < sampler.frame_count
            sampler.add_burst(file.decode(begin, BURST_FRAMES), None if gives_uniform else set())
            begin += BURST_FRAMES
    if not sampler.uniform:
        raise file.error("none of its frames can be decoded")
    decoded = sum(map(len, sampler.bursts))
    if len(times) <= MAX_FULLY_DECODED_FRAMES and decoded < len(times):
        if len(times) - decoded <= file.key_frames[0]:  # their key frame was cut off
            file.notes.append(BEFORE_KEY_FRAME_NOTE.format(len(times) - decoded))
        else:
            file.note_damage(f"{decoded} of {len(times)} frames can be decoded")
    return sampler.to_video(file.duration, file.frame_interval, file.notes)


def _span_middles(duration: float, count: int) -> list[float]:
    """Return the middles of equal spans of a duration."""
    return [(n + 0.5) * duration / count for n in range(count)]


def _frames_on_screen(times: Sequence[float], moments: Sequence[float]) -> list[int]:
    """Return the number of the frame that is on the screen at each moment."""
    return [max(0, int(np.searchsorted(times, at, side="right")) - 1) for at in moments]


def _burst_starts(times: Sequence[float], key_frames: Sequence[int], duration: float) -> list[int]:
    """Return the number of the first frame of each burst of a long video."""
    starts = []
    for n, middle in enumerate(_span_middles(duration, FRAMES_SHOWN)):
        inside = [key for key in key_frames if n * duration / FRAMES_SHOWN <= times[key] <= middle]
        starts.append(inside[-1] if inside else _frames_on_screen(times, [middle])[0])
    return starts


def _sample_images(source: Any, field: str, sampler: _FrameSampler) -> Video:
    """Sample a sequence of images."""
    count = len(source)
    description = f"<{count} images>"
    limit = 20 * MAX_FULLY_DECODED_FRAMES
    if not count:
        raise MediaError(field, description, "a sequence of at least one image", "pass the frames")
    if count > limit:
        raise MediaError(field, description, f"at most {limit} images", "pass fewer, or a video file")
    if isinstance(source, np.ndarray) and source.ndim != 4:
        allowed = "arrays of shape (frames, height, width, 3)"
        raise MediaError(field, f"<array of shape {source.shape}>", allowed, "pass one image as `image`")
    notes: list[str] = []
    times = [number / DEFAULT_FRAME_RATE for number in range(count)]
    duration = count / DEFAULT_FRAME_RATE
    uniform_numbers = set(_frames_on_screen(times, _span_middles(duration, sampler.frame_count)))
    sampler.add_burst(_load_images(source, field, notes), uniform_numbers)
    notes.insert(0, f"the frames have no times: {DEFAULT_FRAME_RATE:g} a second were assumed")
    return sampler.to_video(duration, 1 / DEFAULT_FRAME_RATE, notes)


def _load_images(source: Any, field: str, notes: list[str]) -> Iterator[DecodedFrame]:
    """Load the images of a sequence as frames; their notes are added to `notes` without duplicates."""
    size = None
    for number, item in enumerate(source):
        loaded = load_image(item, field=f"{field}.{number}", max_pixels=MAX_FRAME_PIXELS)
        image = loaded.image
        if size not in (None, image.size):
            allowed = "images of one size, {} x {}".format(*size)
            raise MediaError(f"{field}.{number}", "{} x {}".format(*image.size), allowed, "resize it")
        size = image.size
        notes.extend(note for note in loaded.notes if note not in notes)
        yield DecodedFrame(number, number / DEFAULT_FRAME_RATE, image)
