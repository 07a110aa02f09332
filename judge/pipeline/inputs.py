"""What of a sample a model is shown: its picture, or its video as such or as pictures of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from judge.backends.base import VideoInput
from judge.errors import InputError
from judge.evidence import motion
from judge.evidence import reference as against
from judge.media import image as media
from judge.rubrics.rubric import Rubric
from judge.types import Sample

if TYPE_CHECKING:
    from PIL import Image

    from judge.pipeline.prepared import ModelInfo

ABOUT_PICTURES = "rubric {} is made for pictures and judges some frames; rubric video is for videos"


@dataclass(frozen=True)
class Shown:
    """A decoded sample as a model takes it."""

    original: Image.Image
    """The picture, or the frame that stands for the video, in full size."""
    facts: dict[str, float]
    """What was measured; see `judge.evidence.facts` and `judge.evidence.motion`."""
    images: list[Image.Image] = field(default_factory=list)
    films: list[VideoInput] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Parts of the chat's turn that show a video; empty for a picture."""
    notes: list[str] = field(default_factory=list)


def shown(sample: Sample, rubric: Rubric, card: ModelInfo, max_pixels: int, field: str = "image") -> Shown:
    """Decode and measure what is judged.

    Args:
        sample: with a picture or a video.
        rubric: names what is measured.
        card: what the model takes.
        max_pixels: what a model without a fixed input size is shown of a picture at most.
        field: what errors call the picture.

    Raises:
        InputError: picture and video at once, or no video for a rubric about videos; `MediaError` for either.
    """
    moving = [name for name in rubric.facts if name in motion.FACTS]
    if sample.video is None:
        if moving:
            mend = "pass one, or choose a rubric for pictures"
            raise InputError("video", None, f"a video, which rubric {rubric.name} is about", mend)
        return _picture(media.load(sample.image, field=field), rubric, card, max_pixels)
    if sample.image is not None:
        raise InputError("image", sample.image, "nothing beside a video", "pass one of the two")
    return _video(sample.video, rubric, moving, card, max_pixels)


def _picture(picture: media.Picture, rubric: Rubric, card: ModelInfo, max_pixels: int) -> Shown:
    """The picture; where the model sees a fixed square, the rubric's details after it."""
    side = card.size
    whole, _ = media.fit(picture, side=side, max_pixels=max_pixels)
    return Shown(
        original=picture.image,
        facts=_still(picture.image, () if card.wordless else rubric.facts),
        images=[whole, *(media.details(picture, side, rubric.details) if side else ())],
        notes=picture.notes,
    )


def _still(image: Image.Image, facts: Sequence[str]) -> dict[str, float]:
    names = [name for name in facts if name not in against.FACTS]
    if not names:
        return {}  # most rubrics, and measuring loads OpenCV
    from judge.evidence import facts as evidence

    return evidence.measure(image, names)


def compared(seen: Shown, reference: Image.Image | None, rubric: Rubric, card: ModelInfo) -> Shown:
    """With the facts that compare with the reference, in the rubric's order; without one, as it is."""
    names = [name for name in rubric.facts if name in against.FACTS]
    if reference is None or not names or card.wordless:
        return seen
    known = seen.facts | against.measure(seen.original, reference, names)
    return replace(seen, facts={name: known[name] for name in rubric.facts if name in known})


def _video(source: Any, rubric: Rubric, moving: Sequence[str], card: ModelInfo, max_pixels: int) -> Shown:
    from judge.media import video

    small = card.size is not None
    found = video.load(
        source,
        side=card.size,
        max_pixels=min(max_pixels, video.FRAME_PIXELS),
        shown=video.FEW if small else video.SHOWN,
    )
    measured = motion.measure(found) if moving else {}
    measured |= _still(found.still, [name for name in rubric.facts if name not in moving])
    notes = list(found.notes)
    if not moving:
        notes.append(ABOUT_PICTURES.format(rubric.name))
    facts = {name: measured[name] for name in rubric.facts if name in measured}
    common = Shown(found.still, facts, notes=notes)
    if card.films:
        film = VideoInput(found.frames, found.times, found.duration)
        return replace(common, films=[film], parts=[{"type": "video"}])
    times = ({"type": "text", "text": f"<{time:.1f} seconds>"} for time in found.times)
    parts = [part for told in times for part in (told, {"type": "image"})]
    return replace(common, images=found.frames, parts=parts)
