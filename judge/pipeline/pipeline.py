"""The two halves of judging around the model: a sample becomes a request, a reply becomes a verdict.

`judge.Judge` runs both halves around a backend in its own process; the gateway runs them around a backend in
another process. Neither half needs the model itself, only its `ModelInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request
from judge.elements.splitting import split_prompt
from judge.errors import InputError, ReplyError
from judge.media.image import LoadedImage, load_image, resize_to_fit
from judge.pipeline import domain
from judge.pipeline.inputs import ModelInputs, add_reference_facts, prepare_inputs
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.parsing import parse_reply
from judge.pipeline.prepared_sample import PreparedSample
from judge.pipeline.validation import (
    check_depth,
    check_elements,
    check_how,
    check_prompt,
    check_sample,
    replace_surrogates,
)
from judge.rubrics.rubric import Rubric
from judge.runtime.version import __version__
from judge.types import ComparisonMethod, ComparisonOption, Depth, Provenance, Sample, Verdict

if TYPE_CHECKING:
    from PIL import Image

    from judge.pipeline.calibration import Calibration

MAX_PIXELS = 1_003_520
"""Images are reduced to this many pixels for models without a fixed input size: 1280 patches of 28 x 28."""
UNUSED_REFERENCE_NOTE = "the reference image was not used: rubric {} does not use one"


@dataclass(frozen=True)
class Pipeline:
    """Prepares samples for one model under one rubric and turns the replies into verdicts."""

    rubric: Rubric
    load_model_info: Callable[[], ModelInfo]
    """Called when the first sample has passed its checks, so that a bad sample does not load the model."""
    seed: int = 0
    max_defects: int | None = None
    max_pixels: int = MAX_PIXELS
    is_embedded: bool = False
    """Whether the model is the embedded judge, whose domain is known."""
    calibration: Calibration | None = None
    """Brings scores to the human scale; used only if it was made for this rubric and these weights."""

    @cached_property
    def model_info(self) -> ModelInfo:
        """Properties of the model; the first access may load the model."""
        return self.load_model_info()

    @cached_property
    def asked_rubric(self) -> Rubric:
        """The rubric as this model is asked: with its texts for general models, or as it was tuned."""
        return self.rubric.for_general_models() if self.model_info.is_general else self.rubric

    def check_training(self) -> None:
        """Check that the adapter of the model was trained on the rubric, if it says what it was trained on.

        Raises:
            InputError: it was trained on other rubrics, or on another version of this one.
        """
        if self.model_info.training is not None:
            self.model_info.training.check_rubric(self.rubric)

    @cached_property
    def active_calibration(self) -> Calibration | None:
        """The calibration, if it was made for this rubric and these weights."""
        calibration = self.calibration
        is_match = calibration and calibration.matches(self.asked_rubric, self.model_info.revision)
        return calibration if is_match else None

    @property
    def images_per_sample(self) -> int:
        """Number of images shown for one image: the whole, and crops for models with a fixed input size."""
        return 1 + (self.rubric.details if self.model_info.size else 0)

    # -- From a sample to a request --------------------------------------------------------------------

    def prepare(
        self,
        sample: Sample | Mapping[str, Any],
        depth: Depth = "verdict",
        *,
        keep_for_overlay: bool = True,
        keep_for_looks: bool = False,
        field: str = "image",
    ) -> PreparedSample:
        """Check a sample, decode its image or video and build the request.

        Args:
            sample: the sample, or its fields.
            depth: "verdict" or "score", as in `Judge`.
            keep_for_overlay: keep the decoded original for the verdict's overlay.
            keep_for_looks: keep the decoded original for closer looks.
            field: name of the image in errors.

        Raises:
            InputError: a field of the sample is not usable; `MediaError` for the image or video.
        """
        checked, notes = check_sample(sample), list[str]()
        check_depth(depth)
        prompt = check_prompt(checked.prompt, self.rubric.needs_prompt, notes)
        elements = self._resolve_elements(checked, prompt, notes)
        self.check_training()
        inputs = prepare_inputs(checked, self.asked_rubric, self.model_info, self.max_pixels, field)
        reference = self._load_reference(checked, notes)
        reference_image = None if reference is None else reference.image
        inputs = add_reference_facts(inputs, reference_image, self.asked_rubric, self.model_info)
        model_reference = None if reference is None else self._resize(reference)
        shown_prompt = self._apply_domain(prompt, elements, inputs, notes) if self.is_embedded else prompt
        calibration = self.active_calibration
        if self.calibration and not calibration:
            notes.append("the calibration was not used: it was made for another rubric or other weights")
        is_video = bool(inputs.video_parts)
        return PreparedSample(
            id=replace_surrogates(checked.id),
            depth=depth,
            request=self._build_request(shown_prompt, elements, inputs, model_reference, depth),
            size=inputs.original.size,
            facts=inputs.facts,
            notes=[*inputs.notes, *notes],
            overlay_image=inputs.original if keep_for_overlay else None,
            abstain_reason=calibration.abstain_reason(inputs.original) if calibration else "",
            prompt=shown_prompt,
            model_image=inputs.images[0] if inputs.images else None,
            model_reference=model_reference,
            original=inputs.original if keep_for_looks and not is_video else None,
            is_video=is_video,
        )

    def comparison_method(self, how: ComparisonOption) -> ComparisonMethod:
        """Return how two images are compared.

        Args:
            how: "auto" is pairwise for general models and pointwise for models tuned on one image at a time.

        Raises:
            InputError: the value is unknown, or "pairwise" for a model tuned on one image at a time.
        """
        check_how(how)
        if how == "pairwise" and self.model_info.brief:
            mend = "the model was tuned on one image at a time: use pointwise"
            raise InputError("how", how, "auto or pointwise with this model", mend)
        return "pointwise" if self.model_info.brief or how == "pointwise" else "pairwise"

    def build_score_request(self, prepared: PreparedSample, elements: Sequence[str]) -> Request:
        """Build the request of a prepared image at depth `score`, whatever its own depth is.

        Args:
            prepared: a sample with an image.
            elements: the elements to check.
        """
        has_reference = prepared.model_reference is not None
        messages = self._build_messages(
            prepared.prompt, elements, "score", self.images_per_sample, prepared.facts, has_reference
        )
        form = self.asked_rubric.form(elements, self.max_defects).at_depth("score")
        return replace(prepared.request, messages=messages, form=form)

    def _resolve_elements(self, sample: Sample, prompt: str, notes: list[str]) -> Sequence[str]:
        """Return the sample's own elements, or those of its prompt; none if the rubric asks for none."""
        elements = check_elements(sample.elements)
        if self.rubric.elements:
            return split_prompt(prompt) if elements is None else elements
        if elements:
            notes.append(f"rubric {self.rubric.name} does not ask for elements: those given were not used")
        return []

    def _apply_domain(
        self, prompt: str, elements: Sequence[str], inputs: ModelInputs, notes: list[str]
    ) -> str:
        """Return the prompt that the embedded judge is shown and note what is outside its domain."""
        shown_prompt, removed = domain.visible_prompt(prompt)
        notes += [f"the embedded judge was not shown this part of the prompt: {text}" for text in removed]
        notes += domain.rubric_notes(self.rubric)
        if inputs.video_parts or (self.rubric.needs_prompt and prompt):
            notes += domain.sample_notes(prompt, elements, inputs.original)
        return shown_prompt

    def _build_request(
        self,
        prompt: str,
        elements: Sequence[str],
        inputs: ModelInputs,
        reference: Image.Image | None,
        depth: Depth,
    ) -> Request:
        form = self.asked_rubric.form(elements, self.max_defects).at_depth(depth)
        if self.model_info.images_only:
            return Request(
                images=inputs.images, messages=[], form=form, rubric=self.rubric.name, seed=self.seed
            )
        image_count = 0 if inputs.video_parts else len(inputs.images)
        references = [reference] if reference is not None else []
        messages = self._build_messages(prompt, elements, depth, image_count, inputs.facts, bool(references))
        # The parts of a video stand where the image would, after the reference.
        content = messages[-1]["content"]
        content[len(references) : len(references)] = inputs.video_parts
        return Request(
            images=[*self._example_images, *references, *inputs.images],
            messages=messages,
            form=form,
            videos=inputs.videos,
            rubric=self.rubric.name,
            seed=self.seed,
        )

    def _build_messages(
        self,
        prompt: str,
        elements: Sequence[str],
        depth: Depth,
        images: int,
        facts: Mapping[str, float],
        reference: bool,
    ) -> list[dict[str, Any]]:
        return self.asked_rubric.messages(
            prompt,
            elements,
            brief=self.model_info.brief,
            depth=depth,
            max_defects=self.max_defects,
            images=images,
            facts=facts,
            reference=reference,
        )

    def _load_reference(self, sample: Sample, notes: list[str]) -> LoadedImage | None:
        """Load the reference image if the rubric shows one.

        Raises:
            InputError: the rubric requires a reference and there is none; `MediaError` if it cannot be read.
        """
        usage = self.rubric.reference
        if sample.reference is None:
            if usage == "required":
                mend = f"rubric {self.rubric.name} compares with it: pass one, or choose another rubric"
                raise InputError("reference", None, "an image", mend)
            return None
        if usage == "none":
            notes.append(UNUSED_REFERENCE_NOTE.format(self.rubric.name))
            return None
        reference = load_image(sample.reference, field="reference")
        notes += [f"reference: {note}" for note in reference.notes]
        return reference

    def _resize(self, image: LoadedImage) -> Image.Image:
        return resize_to_fit(image, side=self.model_info.size, max_pixels=self.max_pixels)[0]

    @cached_property
    def _example_images(self) -> list[Image.Image]:
        """The images of the rubric's worked examples; none for models that were tuned on the rubric."""
        sources = () if self.model_info.brief else self.rubric.example_images()
        return [self._resize(load_image(source)) for source in sources]

    # -- From a reply to a verdict ---------------------------------------------------------------------

    def build_verdict(
        self, prepared: PreparedSample, reply: Reply | ReplyError, milliseconds: float
    ) -> Verdict:
        """Build the verdict from a reply, without calibration.

        Args:
            prepared: the sample with the request that was answered.
            reply: the backend's reply.
            milliseconds: time of the reply.

        Returns:
            The verdict; unscored, with the reason, if the reply is not usable or the sample is outside the
            calibration's domain.
        """
        provenance = self._build_provenance(prepared.depth, milliseconds, prepared.notes)
        try:
            if isinstance(reply, ReplyError):
                raise reply
            if prepared.abstain_reason:
                raise ReplyError(prepared.abstain_reason)
            verdict = Verdict(
                id=prepared.id,
                status="scored",
                size=prepared.size,
                facts=prepared.facts,
                provenance=provenance,
                **parse_reply(reply, prepared, self.asked_rubric, provenance.notes),
            )
        except ReplyError as error:
            verdict = Verdict(
                id=prepared.id,
                status="unscored",
                reason=replace_surrogates(str(error)),
                size=prepared.size,
                provenance=provenance,
            )
        verdict._image = prepared.overlay_image
        return verdict

    def apply_calibration(self, verdict: Verdict) -> Verdict:
        """Return the verdict on the human scale; unchanged without a calibration."""
        return self.active_calibration.apply(verdict) if self.active_calibration else verdict

    def unscored_verdict(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """Build a verdict without numbers, for a sample that the model could not be asked about."""
        provenance = self._build_provenance(depth, 0.0, [])
        return Verdict(
            id=replace_surrogates(id),
            status="unscored",
            reason=replace_surrogates(reason),
            provenance=provenance,
        )

    def _build_provenance(self, depth: Depth, milliseconds: float, notes: list[str]) -> Provenance:
        model = self.model_info
        adapter = model.adapter_for(self.rubric.name)
        return Provenance(
            model=model.model,
            revision=model.revision,
            adapter=adapter.adapter or None,
            backend=model.name,
            backend_version=model.version,
            rubric=self.rubric.name,
            rubric_version=self.rubric.version,
            rubric_hash=self.asked_rubric.hash,
            depth=depth,
            seed=self.seed,
            version=__version__,
            milliseconds=milliseconds,
            domain=adapter.domain,
            notes=list(notes),
        )
