"""Videos in: everything `Sample.video` takes becomes a few upright RGB frames with their times, or one clear
error.

Sampling policy; the same file gives the same frames everywhere:

1. The packets are listed, nothing is decoded: how many frames there are, and when each is shown. So variable
   frame rates need no guessing.
2. A video of up to `DENSE` frames is decoded whole. Of a longer one only `SHOWN` bursts of `BURST` frames in
   a row are: the time is cut into `SHOWN` equal spans, and in each the burst starts at the last key frame
   before the middle of the span, or at the middle if the span holds no such key frame.
3. Shown to the model are `SHOWN` frames spread uniformly (`FEW` to a model of one small input size): the ones
   on the screen at the middles of as many equal spans of time; of a longer video the first frames of as many
   bursts, spread evenly. Where the scene changes the first frame of the new shot is shown too, up to half as
   many, the clearest changes: found among the decoded frames as a small picture that hardly resembles
   (correlation under `SAME`) the one before.
4. Beside them stays the luminance of every decoded frame, which `judge.evidence.motion` measures.

Frames are turned upright and to square pixels as the file says. Sound is not looked at. A video that breaks
off is judged by what can be decoded, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import MediaError
from judge.media import image as media
from judge.media.decoding import MAX_BYTES, MAX_PIXELS, MAX_SECONDS, File, Shot, opened

SHOWN, FEW = 8, 4
DENSE, BURST = 256, 16
SAME = 0.5
SIDE = 224
"""Pixels of the shorter side of the luminance that is kept; smaller videos stay as they are."""
RATE = 24.0
"""Frames a second that a sequence of pictures is taken to have, as nothing says it."""
FRAME_PIXELS = 262_144
"""Frames are reduced to this many pixels for models without a fixed input size."""

Luma = NDArray[np.uint8]


@dataclass(frozen=True)
class Video:
    """A sampled video, upright."""

    frames: list[Image.Image]
    """RGB, as the model shall see them, in the order of their times."""
    times: list[float]
    """When each of `frames` is shown, in seconds from the first frame of the video."""
    still: Image.Image
    """The frame that stands for the whole, the middle one of those spread uniformly, in full size."""
    width: int
    height: int
    """Pixels of the original, after it was turned upright."""
    duration: float
    """Seconds from the first frame to the end of the last."""
    bursts: list[list[tuple[float, Luma]]] = field(repr=False)
    """Time and luminance (h, w) of all decoded frames, in runs without a gap."""
    step: float
    """Usual time between frames, in seconds."""
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about how the file became these frames."""


def load(
    source: Any,
    *,
    side: int | None = None,
    max_pixels: int = FRAME_PIXELS,
    shown: int = SHOWN,
    field: str = "video",
    max_seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_BYTES,
) -> Video:
    """Read and sample a video.

    Args:
        source: path, encoded bytes, base64 `data:` URL, uint8 array (frames, height, width, 3), or a sequence
            of pictures as `judge.media.image.load` takes them, all of one size, taken to be `RATE` a second.
        side: squash frames to this many pixels square (models with one fixed input size).
        max_pixels: otherwise shrink them, keeping the shape, to at most this many pixels.
        shown: how many frames are spread uniformly; half as many more where the scene changes.
        field: what the caller calls this input; errors name it.
        max_seconds: longest video.
        max_bytes: largest encoded size.

    Raises:
        MediaError: nothing there, no video, sound only, nothing that can be decoded, or beyond a limit.
    """
    pictures = isinstance(source, np.ndarray) or (
        isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray | memoryview)
    )
    if pictures:
        return _from_pictures(source, field, _Kept(side, max_pixels, shown))
    with opened(source, field, max_bytes, max_seconds) as file:
        return _from_file(file, _Kept(side, max_pixels, shown))


class _Kept:
    """What is kept of the decoded frames."""

    def __init__(self, side: int | None, max_pixels: int, shown: int) -> None:
        self.side, self.max_pixels, self.shown = side, max_pixels, shown
        self.bursts: list[list[tuple[float, Luma]]] = []
        self.uniform: list[tuple[float, Image.Image]] = []
        self.cuts: list[tuple[float, float, Image.Image]] = []
        """(likeness to the frame before, time, frame)"""
        self.stills: list[Shot] = []
        self.size = (0, 0)

    def burst(self, shots: Iterable[Shot], wanted: set[int] | None) -> None:
        """Take a run of frames; `wanted` are the numbers to be shown, None for the first of the run."""
        run: list[tuple[float, Luma]] = []
        before: NDArray[np.float32] | None = None
        for shot in shots:
            if self.size == (0, 0):
                self.size = shot.size
            luma = shot.luma(SIDE)
            small = _thumbnail(luma)
            likeness = 1.0 if before is None else float((small * before).mean())
            before = small
            if shot.number in wanted if wanted is not None else not run:
                self.uniform.append((shot.time, self._picture(shot)))
                self.stills.append(shot)
            elif likeness < SAME:
                self.cuts.append((likeness, shot.time, self._picture(shot)))
                self.cuts = sorted(self.cuts, key=lambda cut: cut[:2])[: self.shown // 2]
            run.append((shot.time, luma))
        if run:
            self.bursts.append(run)

    def _picture(self, shot: Shot) -> Image.Image:
        return shot.picture(media.fitted(*self.size, side=self.side, max_pixels=self.max_pixels))

    def video(self, duration: float, step: float, notes: list[str]) -> Video:
        frames = {time: picture for _, time, picture in self.cuts} | dict(self.uniform)
        still = self.stills[len(self.stills) // 2]
        return Video(
            frames=[frames[time] for time in sorted(frames)],
            times=sorted(frames),
            still=still.picture(self.size),
            width=self.size[0],
            height=self.size[1],
            duration=duration,
            bursts=self.bursts,
            step=step,
            notes=notes,
        )


def _thumbnail(luma: Luma) -> NDArray[np.float32]:
    """16 x 16, its mean 0 and its spread 1, so that the mean product of two is their correlation."""
    small = cv2.resize(luma, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    # A nearly even picture has no pattern of its own that could be said to change.
    return small / max(float(small.std()), 2.0)


def _from_file(file: File, kept: _Kept) -> Video:
    times = file.times
    if len(times) <= DENSE:
        middles = _middles(file.duration, kept.shown)
        kept.burst(file.decoded(0, len(times)), set(_nearest(times, middles)))
        if not kept.uniform and kept.bursts:  # all of those meant to be shown are damaged
            kept.burst(file.decoded(0, 1), None)
    else:
        begin = 0
        for n, start in enumerate(_burst_starts(times, file.keys, file.duration)):
            begin = max(start, begin)
            # Fewer frames than bursts: every second one, say, is shown.
            kept.burst(file.decoded(begin, BURST), None if n * kept.shown % SHOWN < kept.shown else set())
            begin += BURST
    if not kept.uniform:
        raise file.error("none of its frames can be decoded")
    decoded = sum(map(len, kept.bursts))
    if len(times) <= DENSE and decoded < len(times):
        file.say_broken(f"{decoded} of {len(times)} frames can be decoded")
    return kept.video(file.duration, file.step, file.notes)


def _middles(duration: float, count: int) -> list[float]:
    return [(n + 0.5) * duration / count for n in range(count)]


def _nearest(times: Sequence[float], wanted: Sequence[float]) -> list[int]:
    """Numbers of the frames that are on the screen at some times."""
    return [max(0, int(np.searchsorted(times, at, side="right")) - 1) for at in wanted]


def _burst_starts(times: Sequence[float], keys: Sequence[int], duration: float) -> list[int]:
    """Numbers of the frames that the bursts of a long video start with."""
    starts = []
    for n, middle in enumerate(_middles(duration, SHOWN)):
        inside = [key for key in keys if n * duration / SHOWN <= times[key] <= middle]
        starts.append(inside[-1] if inside else _nearest(times, [middle])[0])
    return starts


def _from_pictures(source: Any, field: str, kept: _Kept) -> Video:
    count = len(source)
    shown = f"<{count} pictures>"
    if not count:
        raise MediaError(field, shown, "a sequence of at least one picture", "pass the frames")
    if count > 20 * DENSE:
        raise MediaError(field, shown, f"at most {20 * DENSE} pictures", "pass fewer, or a video file")
    if isinstance(source, np.ndarray) and source.ndim != 4:
        allowed = "arrays of shape (frames, height, width, 3)"
        raise MediaError(field, f"<array of shape {source.shape}>", allowed, "pass one picture as `image`")
    notes: list[str] = []

    def shots() -> Iterable[Shot]:
        size = None
        for number, given in enumerate(source):
            picture = media.load(given, field=f"{field}.{number}", max_pixels=MAX_PIXELS)
            if size not in (None, picture.image.size):
                allowed = "pictures of one size, {} x {}".format(*size)
                raise MediaError(
                    f"{field}.{number}", "{} x {}".format(*picture.image.size), allowed, "scale it"
                )
            size = picture.image.size
            notes.extend(note for note in picture.notes if note not in notes)
            yield Shot(number, number / RATE, picture.image)

    times, duration = [number / RATE for number in range(count)], count / RATE
    kept.burst(shots(), set(_nearest(times, _middles(duration, kept.shown))))
    notes.insert(0, f"the frames came without times: taken to be {RATE:g} a second")
    return kept.video(duration, 1 / RATE, notes)
