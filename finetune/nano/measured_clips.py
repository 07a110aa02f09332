"""A drawn clip as a verdict would get it: encoded, decoded, sampled, measured. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from judge.backends.base import VideoInput
from judge.evidence import motion
from judge.media import video
from judge.scenes.clips import ClipFacts, draw_clip
from judge.scenes.encoding import encode

SIDE = 224


@dataclass
class Measured:
    """What is true of a clip, what was measured in it, and what a model of one small input size is shown."""

    facts: ClipFacts
    measured: dict[str, float]
    film: VideoInput | None
    """None where it is not kept."""


def measured(seed: int, *, frames: int | None = None, pictures: bool = True) -> Measured:
    """Draw the clip of a seed and take it through `judge.media.video` and `judge.evidence.motion`.

    Args:
        seed: of `draw_clip`; it also says how hard the clip is compressed (CRF 14 to 28).
        frames: as `draw_clip` takes it.
        pictures: keep the frames that would be shown.
    """
    import cv2

    cv2.setNumThreads(1)
    clip = draw_clip(seed, frames=frames)
    data = encode(clip.frames, clip.size, clip.facts.rate, crf=Random(seed).randint(14, 28))
    seen = video.load(data, side=SIDE, shown=video.FEW)
    film = VideoInput(seen.frames, seen.times, seen.duration) if pictures else None
    return Measured(clip.facts, motion.measure(seen), film)
