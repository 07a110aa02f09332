"""A drawn clip as a verdict would get it: encoded, decoded, sampled and measured. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from judge.backends.base import VideoInput
from judge.evidence.motion import measure_motion
from judge.media.video import FEW_FRAMES_SHOWN, load_video
from judge.scenes.clips import ClipFacts, draw_clip
from judge.scenes.video_encoding import encode_video

FRAME_PIXELS = 224
"""Side of a frame that the model sees."""


@dataclass
class MeasuredClip:
    """A clip's facts, what was measured in it, and the frames that a model of fixed input size is shown."""

    facts: ClipFacts
    measured: dict[str, float]
    """Facts of `judge.evidence.motion`, by name."""
    video: VideoInput | None
    """None if the frames are not kept."""


def draw_measured_clip(seed: int, *, frames: int | None = None, keep_frames: bool = True) -> MeasuredClip:
    """Draw the clip of a seed and pass it through `judge.media.video` and `judge.evidence.motion`.

    Args:
        seed: seed of `draw_clip`. It also determines how strongly the clip is compressed (CRF 14 to 28).
        frames: as `draw_clip` takes it.
        keep_frames: keep the frames that would be shown.
    """
    import cv2

    cv2.setNumThreads(1)
    clip = draw_clip(seed, frames=frames)
    data = encode_video(clip.frames, clip.size, clip.facts.frame_rate, crf=Random(seed).randint(14, 28))
    video = load_video(data, side=FRAME_PIXELS, frame_count=FEW_FRAMES_SHOWN)
    model_input = VideoInput(video.frames, video.times, video.duration) if keep_frames else None
    return MeasuredClip(clip.facts, measure_motion(video), model_input)
