"""Prepare videos as Qwen-VL's own processors take them, for every backend that runs such a model.

Frame times are passed in milliseconds, as frame numbers of a video with 1000 frames a second. Variable frame
rates then need no special treatment. The frames are already sampled and resized, so the processors must do
neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.base import VideoInput
from judge.backends.image_inputs import resized_size
from judge.errors import ReplyError

if TYPE_CHECKING:
    from PIL.Image import Image

TICKS_PER_SECOND = 1000
"""Frame rate given to the processors; a frame number is then a time in milliseconds."""


@dataclass
class PreparedVideo:
    """A video in the form that a model's processor takes."""

    frames: NDArray[np.uint8]
    """(frames, height, width, 3) RGB. The number of frames is even, and both sides are whole patches."""
    metadata: dict[str, Any]
    """Metadata for vLLM. The `VideoMetadata` of transformers has the same members, without
    `do_sample_frames`."""


def prepare_video(video: VideoInput, processor: Any, size: int | None) -> PreparedVideo:
    """Resize the frames of a video and attach their times.

    Args:
        video: the video to show.
        processor: the model's own, with its `video_processor`.
        size: side in pixels of the square that the model sees; None for any shape. A model of one fixed size
            was trained on still images only, and Qwen-VL sees a still image as two equal frames. So each
            frame is repeated.

    Returns:
        Frames and metadata.

    Raises:
        ReplyError: no size of whole patches fits the frames into the processor's limits.
    """
    video_processor = processor.video_processor
    repeats = video_processor.temporal_patch_size
    if size is not None:
        frames = [frame for frame in video.frames for _ in range(repeats)]
        times = [time for time in video.times for _ in range(repeats)]
        if any(frame.size != (size, size) for frame in frames):
            raise ReplyError(f"video: frames are not {size}x{size}, the size that the model sees")
    else:
        frames, times = _resize_frames(video, video_processor), list(video.times)
        missing = -len(frames) % repeats
        frames += frames[-1:] * missing
        times += times[-1:] * missing
    return PreparedVideo(
        frames=np.stack([np.asarray(frame, np.uint8) for frame in frames]),
        metadata={
            "fps": float(TICKS_PER_SECOND),
            "frames_indices": [round(time * TICKS_PER_SECOND) for time in times],
            "total_num_frames": max(1, round(video.duration * TICKS_PER_SECOND)),
            "duration": video.duration,
            "width": frames[0].width,
            "height": frames[0].height,
            "video_backend": "judge",
            "do_sample_frames": False,
        },
    )


def resized_frame_size(video: VideoInput, video_processor: Any) -> tuple[int, int]:
    """Return width and height of the frames of a video as the model sees them: whole patches.

    They are the nearest within the processor's limit for the whole video.

    Args:
        video: the video to show.
        video_processor: the model's own.

    Raises:
        ReplyError: the frames are too narrow.
    """
    from qwen_vl_utils import smart_resize

    side = video_processor.patch_size * video_processor.merge_size
    width, height = video.frames[0].size
    max_pixels = max(side * side, video_processor.size["longest_edge"] // len(video.frames))
    if max(width, height) > 100 * min(width, height):
        raise ReplyError(f"video: {width}x{height} has an aspect ratio above 100:1")
    new_height, new_width = smart_resize(height, width, side, side * side, max_pixels)
    return new_width, new_height


def _resize_frames(video: VideoInput, video_processor: Any) -> list[Any]:
    from PIL import Image

    size = resized_frame_size(video, video_processor)
    return [frame.resize(size, Image.Resampling.BICUBIC) for frame in video.frames]


def shown_size(shown: Image | VideoInput, processor: Any, size: int | None) -> tuple[int, int]:
    """Return the size of an image, or of the frames of a video, as the model sees it.

    Args:
        shown: the image or video.
        processor: the model's own.
        size: side in pixels of the square that the model sees; None for any shape.

    Raises:
        ValueError: the image is too narrow.
        ReplyError: the video is too narrow.
    """
    if size is not None:
        return size, size
    if isinstance(shown, VideoInput):
        return resized_frame_size(shown, processor.video_processor)
    return resized_size(shown.size, processor.image_processor)


def encode_videos(videos: Sequence[PreparedVideo], processor: Any) -> tuple[Any, Any]:
    """Cut videos into patches with the model's processor.

    Args:
        videos: the prepared videos.
        processor: the model's own.

    Returns:
        Tensors: the patches of all videos (patches, values), and the grid of each video (videos, 3), its
        number of patches in time, height and width.
    """
    import torch

    video_processor = processor.video_processor
    options = {"do_resize": False, "do_sample_frames": False}
    if hasattr(
        video_processor, "cap_pixels_per_frame"
    ):  # it warns of a cap that only matters when it resizes
        options["cap_pixels_per_frame"] = False
    encoded = [
        video_processor(
            videos=[torch.from_numpy(video.frames).permute(0, 3, 1, 2)], return_tensors="pt", **options
        )
        for video in videos
    ]
    patches = torch.cat([one["pixel_values_videos"] for one in encoded])
    return patches, torch.cat([one["video_grid_thw"] for one in encoded])


def video_placeholder(video: PreparedVideo, grid: Any, processor: Any) -> str:
    """Return the text that the model's processor writes in place of a video token.

    It holds the tokens of the video's patches, with the frame times between them where the model family has
    them.

    Args:
        video: the prepared video.
        grid: (3,) number of patches in time, height and width.
        processor: the model's own.

    Returns:
        The text, in which control tokens count as such.
    """
    from transformers.video_utils import VideoMetadata

    metadata = {key: value for key, value in video.metadata.items() if key != "do_sample_frames"}
    inputs = {"video_grid_thw": grid[None], "video_metadata": [VideoMetadata(**metadata)]}
    return str(processor.replace_video_token(inputs, 0))


def seconds_per_patch(video: PreparedVideo, processor: Any) -> float:
    """Return the seconds between two patches in time, which Qwen2.5-VL takes as `second_per_grid_ts`.

    Args:
        video: the prepared video.
        processor: the model's own.

    Returns:
        Seconds.
    """
    frames = len(video.metadata["frames_indices"])
    rate = frames / video.metadata["total_num_frames"] * video.metadata["fps"]
    return float(processor.video_processor.temporal_patch_size / rate)
