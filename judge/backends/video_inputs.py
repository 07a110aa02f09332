"""A video as Qwen-VL's own processors take it, the same for every backend that does.

Times are told in milliseconds: frame numbers of a film of 1000 a second, so that variable frame rates need
nothing more. Frames come sampled and at their size already; the processors are told to change neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.base import VideoInput
from judge.errors import ReplyError

PER_SECOND = 1000


@dataclass
class Reel:
    """A film ready for a model."""

    frames: NDArray[np.uint8]
    """(frames, height, width, 3); an even number of frames, both sides whole patches."""
    metadata: dict[str, Any]
    """Of vLLM; transformers' `VideoMetadata` has the same members but `do_sample_frames`."""


def reel(film: VideoInput, processor: Any, side: int | None) -> Reel:
    """Prepare a film.

    Args:
        film: what is to be shown.
        processor: the model's own, with its `video_processor`.
        side: of a model of one fixed input size. Such a model has seen still pictures only, and a still is
            two equal frames to Qwen-VL; so each frame is given twice.

    Raises:
        ReplyError: a frame has no size that the processor's limits allow.
    """
    video, times = processor.video_processor, film.times
    if side is not None:
        pictures = [picture for picture in film.frames for _ in range(video.temporal_patch_size)]
        times = [time for time in times for _ in range(video.temporal_patch_size)]
        if any(picture.size != (side, side) for picture in pictures):
            raise ReplyError(f"video: frames are not {side}x{side}, which the model sees")
    else:
        pictures, times = _fitted(film, video), list(times)
        missing = -len(pictures) % video.temporal_patch_size
        pictures += pictures[-1:] * missing
        times += times[-1:] * missing
    return Reel(
        frames=np.stack([np.asarray(picture, np.uint8) for picture in pictures]),
        metadata={
            "fps": float(PER_SECOND),
            "frames_indices": [round(time * PER_SECOND) for time in times],
            "total_num_frames": max(1, round(film.duration * PER_SECOND)),
            "duration": film.duration,
            "width": pictures[0].width,
            "height": pictures[0].height,
            "video_backend": "judge",
            "do_sample_frames": False,
        },
    )


def _fitted(film: VideoInput, video: Any) -> list[Any]:
    """The frames at the nearest size of whole patches within the processor's limit for the whole film."""
    from PIL import Image
    from qwen_vl_utils import smart_resize

    side = video.patch_size * video.merge_size
    width, height = film.frames[0].size
    most = max(side * side, video.size["longest_edge"] // len(film.frames))
    if max(width, height) > 100 * min(width, height):
        raise ReplyError(f"video: {width}x{height} is too slim")
    tall, wide = smart_resize(height, width, side, side * side, most)
    return [picture.resize((wide, tall), Image.Resampling.BICUBIC) for picture in film.frames]


def patches(reels: list[Reel], processor: Any) -> tuple[Any, Any]:
    """Patches (patches, values) of all reels and their grids (reels, 3)."""
    import torch

    video = processor.video_processor
    untouched = {"do_resize": False, "do_sample_frames": False}
    if hasattr(video, "cap_pixels_per_frame"):  # it warns of what it would do if it resized
        untouched["cap_pixels_per_frame"] = False
    encoded = [
        video(videos=[torch.from_numpy(reel.frames).permute(0, 3, 1, 2)], return_tensors="pt", **untouched)
        for reel in reels
    ]
    pixels = torch.cat([one["pixel_values_videos"] for one in encoded])
    return pixels, torch.cat([one["video_grid_thw"] for one in encoded])


def words(reel: Reel, grid: Any, processor: Any) -> str:
    """What the model's processor writes in place of a video's token: the tokens of its patches, with the
    times between them where the family has them."""
    from transformers.video_utils import VideoMetadata

    told = {key: value for key, value in reel.metadata.items() if key != "do_sample_frames"}
    given = {"video_grid_thw": grid[None], "video_metadata": [VideoMetadata(**told)]}
    return str(processor.replace_video_token(given, 0))


def pace(reel: Reel, processor: Any) -> float:
    """Seconds between patches in time, as Qwen2.5-VL is told them."""
    frames = len(reel.metadata["frames_indices"])
    rate = frames / reel.metadata["total_num_frames"] * reel.metadata["fps"]
    return float(processor.video_processor.temporal_patch_size / rate)
