"""Decode a sample into what a model receives: an image, a video, or the frames of a video as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from judge.backends.base import VideoInput
from judge.errors import InputError
from judge.evidence.motion import MOTION_FACTS, measure_motion
from judge.evidence.reference import REFERENCE_FACTS, compare_with_reference
from judge.media.animations import is_animation
from judge.media.image import LoadedImage, crop_details, load_image, resize_to_fit
from judge.rubrics.rubric import Rubric
from judge.types import Sample

if TYPE_CHECKING:
    from PIL import Image

    from judge.pipeline.model_info import ModelInfo

IMAGE_RUBRIC_NOTE = "rubric {} is made for images and judges some frames; rubric video is for videos"


@dataclass(frozen=True)
class ModelInputs:
    """A decoded sample as a model receives it."""

    original: Image.Image
    """The image in full size; for a video, its representative frame."""
    facts: dict[str, float]
    """Measured facts, 0..1; see `judge.evidence.facts` and `judge.evidence.motion`."""
    images: list[Image.Image] = field(default_factory=list)
    videos: list[VideoInput] = field(default_factory=list)
    video_parts: list[dict[str, Any]] = field(default_factory=list)
    """Parts of the user turn that show a video; empty for an image."""
    notes: list[str] = field(default_factory=list)


def prepare_inputs(
    sample: Sample, rubric: Rubric, model_info: ModelInfo, max_pixels: int, field: str = "image"
) -> ModelInputs:
    """Decode and measure the image or video of a sample.

    Args:
        sample: a sample with an image or a video.
        rubric: names the facts to measure.
        model_info: decides in which form the model receives the sample.
        max_pixels: maximum number of pixels of an image for models without a fixed input size.
        field: name of the image in errors.

    Raises:
        InputError: the sample has both an image and a video, or no video although the rubric is about videos.
        MediaError: the image or video cannot be read.
    """
    motion_facts = _motion_facts(rubric)
    if sample.video is not None and sample.image is not None:
        raise InputError("image", sample.image, "no image if there is a video", "pass one of the two")
    video = select_video(sample, rubric)
    if video is not None:
        video_field = "video" if sample.image is None else field
        return _video_inputs(video, rubric, motion_facts, model_info, max_pixels, video_field)
    if motion_facts:
        mend = "pass one, or choose a rubric for images"
        raise InputError("video", None, f"a video, which rubric {rubric.name} is about", mend)
    return _image_inputs(load_image(sample.image, field=field), rubric, model_info, max_pixels)


def select_video(sample: Sample, rubric: Rubric) -> Any:
    """Return what of a sample is judged as a video; None if nothing is.

    Animated images (GIF, WebP, PNG, AVIF) are videos for rubrics about videos, and images for all others.
    """
    if sample.video is None and _motion_facts(rubric) and is_animation(sample.image):
        return sample.image
    return sample.video


def _motion_facts(rubric: Rubric) -> list[str]:
    """Return the facts of a rubric that only videos have; a rubric with such facts is about videos."""
    return [name for name in rubric.facts if name in MOTION_FACTS]


def _image_inputs(image: LoadedImage, rubric: Rubric, model_info: ModelInfo, max_pixels: int) -> ModelInputs:
    """Resize the image; for models with a fixed input size, add the rubric's detail crops after it."""
    side = model_info.size
    whole, _ = resize_to_fit(image, side=side, max_pixels=max_pixels)
    return ModelInputs(
        original=image.image,
        facts=_measure_image_facts(image.image, () if model_info.images_only else rubric.facts),
        images=[whole, *(crop_details(image, side, rubric.details) if side else ())],
        notes=image.notes,
    )


def _measure_image_facts(image: Image.Image, facts: Sequence[str]) -> dict[str, float]:
    names = [name for name in facts if name not in REFERENCE_FACTS]
    if not names:
        return {}  # true of most rubrics; measuring would load OpenCV
    from judge.evidence.facts import measure_image

    return measure_image(image, names)


def add_reference_facts(
    inputs: ModelInputs, reference: Image.Image | None, rubric: Rubric, model_info: ModelInfo
) -> ModelInputs:
    """Add the facts that compare the image with the reference, in the rubric's order of facts.

    Args:
        inputs: the inputs of the sample; returned unchanged if there is nothing to compare.
        reference: the reference image in full size, if any.
        rubric: names the facts to measure.
        model_info: nothing is measured for models with `images_only`.
    """
    names = [name for name in rubric.facts if name in REFERENCE_FACTS]
    if reference is None or not names or model_info.images_only:
        return inputs
    facts = inputs.facts | compare_with_reference(inputs.original, reference, names)
    return replace(inputs, facts={name: facts[name] for name in rubric.facts if name in facts})


def _video_inputs(
    source: Any,
    rubric: Rubric,
    motion_facts: Sequence[str],
    model_info: ModelInfo,
    max_pixels: int,
    field: str,
) -> ModelInputs:
    """Sample the frames of a video, as one video or as images with their times."""
    from judge.media.video import FEW_FRAMES_SHOWN, FRAMES_SHOWN, MODEL_FRAME_PIXELS, load_video

    has_fixed_size = model_info.size is not None
    video = load_video(
        source,
        side=model_info.size,
        max_pixels=min(max_pixels, MODEL_FRAME_PIXELS),
        frame_count=FEW_FRAMES_SHOWN if has_fixed_size else FRAMES_SHOWN,
        field=field,
    )
    measured = measure_motion(video) if motion_facts else {}
    measured |= _measure_image_facts(video.still, [name for name in rubric.facts if name not in motion_facts])
    notes = list(video.notes)
    if not motion_facts:
        notes.append(IMAGE_RUBRIC_NOTE.format(rubric.name))
    facts = {name: measured[name] for name in rubric.facts if name in measured}
    inputs = ModelInputs(video.still, facts, notes=notes)
    if model_info.takes_video:
        video_input = VideoInput(video.frames, video.times, video.duration)
        return replace(inputs, videos=[video_input], video_parts=[{"type": "video"}])
    times = ({"type": "text", "text": f"<{time:.1f} seconds>"} for time in video.times)
    parts = [part for time in times for part in (time, {"type": "image"})]
    return replace(inputs, images=video.frames, video_parts=parts)
