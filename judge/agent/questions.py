"""The questions of closer looks: which part of an image is shown and what is asked about it.

A closer look is one more request to the model about a part of the image, cut out at full resolution. A
question asks whether elements are present, whether anything in the part is broken, where the part is that a
dimension is about, or how good that part is by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from judge.agent.tiling import crop_region
from judge.backends.base import Request, Verb
from judge.media.image import LoadedImage, resize_to_fit
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box as BoxNode
from judge.rubrics.form_nodes import Choice, Object
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS, ScoredDimension
from judge.rubrics.templates import CROP_PROMPT, load_template
from judge.types import Box, Depth

if TYPE_CHECKING:
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared_sample import PreparedSample

LOOK_ADAPTER_NAME = "{}-look"
"""Name of the adapter for parts of images, made from the name of the rubric. It is not the adapter for whole
images, because things are cut off at the edges of a part."""


def verb_for_depth(depth: Depth) -> Verb:
    """Return the backend's method that answers a form of this depth."""
    return "choose" if depth == "score" else "complete"


@dataclass(frozen=True)
class Question:
    """One question to the model."""

    verb: Verb
    request: Request
    region: Box
    """The part of the image that is shown, in pixels of the original."""
    text: str
    """The question in a few words, for the trace."""


class QuestionBuilder:
    """Builds questions about parts of one image.

    Args:
        pipeline: the pipeline of the model and the rubric.
        prepared: the sample, with its original image.
    """

    def __init__(self, pipeline: Pipeline, prepared: PreparedSample) -> None:
        if prepared.original is None:
            raise ValueError("closer looks need the original image")
        self.pipeline, self.prepared, self.image = pipeline, prepared, prepared.original

    @property
    def full_detail_side(self) -> int:
        """Side in pixels of the largest square that the model sees in full detail."""
        return self.pipeline.model_info.size or math.isqrt(self.pipeline.max_pixels)

    def model_view(self) -> Image.Image:
        """Return the whole image as the model is shown it."""
        return self._resize(self.image)

    def check_elements(self, names: Sequence[str], region: Box) -> Question:
        """Ask whether elements of the prompt are present in a part; answered in one pass, without text."""
        whole_form = self.pipeline.asked_rubric.form(names)
        form = Form(Object(tuple(m for m in whole_form.root.members if m[0] == "elements")))
        request = self._build_request(region, form, self._look_messages(names))
        return Question("choose", request, region, "; ".join(names))

    def find_defects(self, region: Box) -> Question:
        """Ask what is broken in a part, whatever the prompt says. The rubric must have kinds of artifacts."""
        rubric = keep_artifacts(self.pipeline.asked_rubric) or self.pipeline.asked_rubric
        names = [a.name for a in rubric.attributes] + ["defects"] + [d.name for d in rubric.dimensions]
        members = rubric.form((), self.pipeline.max_defects).root.members
        form = Form(Object(tuple(m for m in members if m[0] in names)))
        request = self._build_request(region, form, self._look_messages(()))
        adapter = LOOK_ADAPTER_NAME.format(self.pipeline.asked_rubric.name)
        if adapter in self.pipeline.model_info.adapters:
            request.rubric = adapter
        return Question("complete", request, region, "what is broken here?")

    def locate_part(self, part: str) -> Question:
        """Ask whether and where the image shows a part."""
        form = Form(Object((("there", Choice("there", ("true", "false"))), ("box", BoxNode("box")))))
        whole = (0.0, 0.0, float(self.prepared.size[0]), float(self.prepared.size[1]))
        request = self._build_request(whole, form, self._part_messages(part))
        return Question("complete", request, whole, f"where is {part}?")

    def rate_part(self, part: str, dimensions: Sequence[ScoredDimension], region: Box) -> Question:
        """Ask how good a part is by itself in some dimensions; answered in one pass."""
        form = Form(Object(tuple((d.name, Choice(f"dimensions.{d.name}", SCORE_LABELS)) for d in dimensions)))
        request = self._build_request(region, form, self._part_messages(part, dimensions))
        return Question("choose", request, region, f"how good is {part}?")

    def _build_request(self, region: Box, form: Form, messages: list[dict[str, Any]]) -> Request:
        return Request(
            images=[self._resize(crop_region(self.image, region))],
            messages=messages,
            form=form,
            rubric=self.pipeline.asked_rubric.name,
            seed=self.pipeline.seed,
        )

    def _resize(self, image: Image.Image) -> Image.Image:
        """Resize an image as the model sees it."""
        side, max_pixels = self.pipeline.model_info.size, self.pipeline.max_pixels
        return resize_to_fit(LoadedImage(image, *image.size), side=side, max_pixels=max_pixels)[0]

    def _look_messages(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Build the messages about elements, or about defects if there are no elements."""
        rubric, prompt = self.pipeline.asked_rubric, self.prepared.prompt
        if self.pipeline.model_info.brief:
            brief_prompt = (prompt if names else CROP_PROMPT) if rubric.needs_prompt else ""
            return rubric.messages(brief_prompt, names, brief=True)
        limit = self.pipeline.max_defects
        if limit is None:
            limit = rubric.defects.max if rubric.defects else 0
        text = load_template("look").render(
            rubric=keep_artifacts(rubric) or rubric, prompt=prompt, elements=list(names), max_defects=limit
        )
        return _user_turn(text)

    def _part_messages(self, part: str, dimensions: Sequence[ScoredDimension] = ()) -> list[dict[str, Any]]:
        """Build the messages that ask for a part, or for its scores if there are dimensions."""
        template = load_template("part")
        return _user_turn(
            template.render(rubric=self.pipeline.asked_rubric, part=part, dimensions=dimensions)
        )


def _user_turn(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def keep_artifacts(rubric: Rubric) -> Rubric | None:
    """Return the rubric with artifacts as its only defects; None if it has no artifacts.

    A part of an image cannot be compared with the prompt of the whole image, so it has no misalignments.
    """
    kinds = {"artifact": rubric.defects.kinds.get("artifact", ())} if rubric.defects else {}
    if rubric.defects is None or not kinds["artifact"]:
        return None
    return rubric.model_copy(update={"defects": rubric.defects.model_copy(update={"kinds": kinds})})
