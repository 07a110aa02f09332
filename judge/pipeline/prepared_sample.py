"""A checked and decoded sample together with the request for the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from judge.backends.base import Request
from judge.elements.statements import Statement
from judge.pipeline.writing.reading import TextReading
from judge.types import Depth

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class PreparedSample:
    """A sample that `judge.pipeline.pipeline.Pipeline.prepare` has checked."""

    id: str
    depth: Depth
    request: Request
    size: tuple[int, int]
    """Width and height of the original in pixels."""
    facts: dict[str, float]
    """Measured facts, 0..1; see `judge.evidence.facts` and `judge.evidence.motion`."""
    notes: list[str]
    """Notes for the verdict's provenance."""
    overlay_image: Image.Image | None
    """The decoded original, if the verdict is to keep it for its overlay."""
    splitter: str = ""
    """How the elements were listed; see `judge.types.Provenance.elements`."""
    statements: tuple[Statement, ...] = ()
    """The elements that the request asks about, in order; empty if it asks about none."""
    absent_request: Request | None = None
    """A second request, at depth `score`, about what must be absent. A model that was tuned on a rubric has
    learnt that an absent element makes a low score, so the first request must not name it."""
    absent_statements: tuple[Statement, ...] = ()
    """The elements that `absent_request` asks about, in order."""
    is_out_of_domain: bool = False
    """Whether the sample is outside what the judge was trained or calibrated for."""
    abstain_reason: str = ""
    """Why the verdict abstains: the sample is outside the judge's domain. Empty if it does not. The model is
    not asked about such a sample; see `judge.pipeline.pipeline.Pipeline.answer_without_model`."""
    reading: TextReading | None = None
    """What was read in the image, for rubrics with `texts`."""
    prompt: str = ""
    """The checked prompt, as the model sees it."""
    model_image: Image.Image | None = None
    """The image as the model sees it."""
    model_reference: Image.Image | None = None
    """The reference image as the model sees it, if it is shown one."""
    original: Image.Image | None = None
    """The decoded image in full size, if closer looks may need it."""
    is_video: bool = False
