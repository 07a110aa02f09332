"""The two halves of judging around the model: a sample becomes a request, a reply becomes a verdict.

`judge.Judge` runs both halves around a backend in its own process; the gateway runs them around a backend in
another process. Neither half needs the model itself, only its `ModelInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request
from judge.elements.element_list import MAX_LISTED_ELEMENTS, ElementList
from judge.elements.splitters.model_lists import ModelLists
from judge.elements.statements import Statement
from judge.errors import InputError, ReplyError
from judge.media.image import LoadedImage, load_image, resize_to_fit
from judge.pipeline import domain
from judge.pipeline.inputs import ModelInputs, add_reference_facts, prepare_inputs
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.parsing import mean_label_mass, parse_reply
from judge.pipeline.prepared_sample import PreparedSample
from judge.pipeline.prompt_reading import PromptReader
from judge.pipeline.validation import (
    check_depth,
    check_how,
    check_out_of_domain,
    check_sample,
    replace_surrogates,
)
from judge.pipeline.writing.reading import (
    TextReading,
    check_reader,
    describe_lines,
    find_sample_texts,
    read_image,
)
from judge.pipeline.writing.verdicts import judge_by_reading
from judge.rubrics.rubric import Rubric
from judge.runtime.version import __version__
from judge.types import (
    ComparisonMethod,
    ComparisonOption,
    Depth,
    OutOfDomain,
    Provenance,
    Sample,
    Verdict,
)

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
    has_user_adapter: bool = False
    """Whether an adapter of the user answers, which was trained on other data than the embedded judge."""
    max_elements: int = MAX_LISTED_ELEMENTS
    """Elements taken from a prompt, at most."""
    elements: str = "auto"
    """How elements are taken from a prompt, as in `judge.elements.splitters.registry.SPLITTER_NAMES`."""
    model_lists: ModelLists = field(default_factory=ModelLists)
    """The lists that the model has made; shared by the pipelines of a model."""
    out_of_domain: OutOfDomain = "abstain"
    """What is done with a sample outside what the judge was trained or calibrated for: "abstain" gives an
    unscored verdict, "score" gives numbers, marked."""
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

    @cached_property
    def prompts(self) -> PromptReader:
        """Reads the prompts of samples."""
        return PromptReader(
            self.rubric,
            lambda: self.model_info,
            is_embedded=self.is_embedded,
            max_elements=self.max_elements,
            splitter=self.elements,
            model_lists=self.model_lists,
            seed=self.seed,
        )

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
        max_elements: int | None = None,
        out_of_domain: OutOfDomain | None = None,
    ) -> PreparedSample:
        """Check a sample, decode its image or video and build the request.

        Args:
            sample: the sample, or its fields.
            depth: "verdict" or "score", as in `Judge`.
            keep_for_overlay: keep the decoded original for the verdict's overlay.
            keep_for_looks: keep the decoded original for closer looks.
            field: name of the image in errors.
            max_elements: elements taken from the prompt, at most; default: those of the pipeline.
            out_of_domain: what is done with a sample outside the judge's domain; default: as the pipeline.

        Raises:
            InputError: a field of the sample is not usable; `MediaError` for the image or video.
        """
        checked, notes = check_sample(sample), list[str]()
        check_depth(depth)
        if self.rubric.texts:
            check_reader(self.rubric.name)
        may_abstain = self.out_of_domain if out_of_domain is None else check_out_of_domain(out_of_domain)
        prompt, listed = self.prompts.read(checked, notes, max_elements)
        self.check_training()
        reads_alone = may_abstain == "abstain" and self._reads_alone
        is_hiding = self.is_embedded and not reads_alone
        shown_prompt, hidden = domain.visible_prompt(prompt) if is_hiding else (prompt, [])
        notes += [f"the embedded judge was not shown this part of the prompt: {text}" for text in hidden]
        listed = domain.without_hidden(listed, shown_prompt, hidden)
        first, second = self._divide_statements(listed, depth)
        elements = [statement.name for statement in first]
        inputs = prepare_inputs(checked, self.asked_rubric, self.model_info, self.max_pixels, field)
        reference = self._load_reference(checked, notes)
        reference_image = None if reference is None else reference.image
        inputs = add_reference_facts(inputs, reference_image, self.asked_rubric, self.model_info)
        model_reference = None if reference is None else self._resize(reference)
        reading = self._read_texts(checked, listed, inputs, depth, notes) if self.rubric.texts else None
        if reading is not None:
            reading = replace(reading, decides_alone=reads_alone)
        outside = "" if reads_alone else self._find_outside(shown_prompt, hidden, elements, inputs)
        if outside and may_abstain == "score":
            notes.append(f"its numbers mean little: {domain.without_way_out(outside)}")
        if self.calibration and not self.active_calibration:
            notes.append("the calibration was not used: it was made for another rubric or other weights")
        is_video = bool(inputs.video_parts)
        return PreparedSample(
            id=replace_surrogates(checked.id),
            depth=depth,
            request=self._build_request(shown_prompt, elements, inputs, model_reference, depth, reading),
            size=inputs.original.size,
            facts=inputs.facts,
            notes=[*inputs.notes, *notes],
            overlay_image=inputs.original if keep_for_overlay else None,
            splitter=listed.splitter,
            statements=first,
            absent_request=self._build_request(
                shown_prompt, [s.name for s in second], inputs, model_reference, "score", reading
            )
            if second
            else None,
            absent_statements=second,
            is_out_of_domain=bool(outside),
            abstain_reason=outside if may_abstain == "abstain" else "",
            reading=reading,
            prompt=shown_prompt,
            model_image=inputs.images[0] if inputs.images else None,
            model_reference=model_reference,
            original=inputs.original if keep_for_looks and not is_video else None,
            is_video=is_video,
        )

    def comparison_method(self, how: ComparisonOption) -> ComparisonMethod:
        """Return how two images are compared.

        Args:
            how: "auto" is pairwise for general models and pointwise for models tuned on one image at a time,
                unless the model's card says otherwise.

        Raises:
            InputError: the value is unknown, or "pairwise" for a model tuned on one image at a time.
        """
        check_how(how)
        if how == "pairwise" and self.model_info.brief:
            mend = "the model was tuned on one image at a time: use pointwise"
            raise InputError("how", how, "auto or pointwise with this model", mend)
        if how == "auto" and self.model_info.compare:
            return self.model_info.compare
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

    def _read_texts(
        self, sample: Sample, listed: ElementList, inputs: ModelInputs, depth: Depth, notes: list[str]
    ) -> TextReading:
        """Read the image and compare what was read with what the sample wants."""
        if inputs.video_parts:
            notes.append("writing was read in the middle frame alone")
        reading = read_image(inputs.original, listed, find_sample_texts(sample))
        limit = self.rubric.defects.max if self.rubric.defects else 0
        limit = limit if self.max_defects is None else self.max_defects
        return replace(reading, max_defects=limit if depth == "verdict" else 0)

    def _divide_statements(
        self, listed: ElementList, depth: Depth
    ) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """Return the elements of the first request, and those of a second one about what must be absent."""
        if depth == "score" or not self.model_info.brief:
            return tuple(listed.statements), ()
        wanted = tuple(statement for statement in listed.statements if statement.expected)
        return wanted, tuple(statement for statement in listed.statements if not statement.expected)

    @property
    def _is_trained_on_scenes(self) -> bool:
        """Whether the domain is that of the embedded judge or of its student."""
        is_own = self.is_embedded or self.model_info.teacher == domain.EMBEDDED
        return is_own and not self.has_user_adapter

    @property
    def _reads_alone(self) -> bool:
        """Whether verdicts rest on what was read: the model was not trained on a rubric with `texts`."""
        return self.rubric.texts and self._is_trained_on_scenes and not domain.is_trained_rubric(self.rubric)

    def _find_outside(
        self, prompt: str, hidden: Sequence[str], elements: Sequence[str], inputs: ModelInputs
    ) -> str:
        """Return why a sample is outside what the judge was trained or calibrated for; empty if it is not.

        Args:
            prompt: the prompt as the model is shown it.
            hidden: the sentences of the prompt that the model is not shown.
            elements: the elements to check.
            inputs: the decoded sample.
        """
        reasons = []
        if self._is_trained_on_scenes:
            texts = (prompt, hidden, elements) if self.is_embedded else ("", (), ())
            frames = inputs.videos[0].frames if inputs.videos else [inputs.original]
            reasons.append(domain.find_outside(self.rubric, *texts, frames))
        if self.active_calibration:
            reasons.append(self.active_calibration.abstain_reason(inputs.original))
        return "; ".join(filter(None, reasons))

    def _build_request(
        self,
        prompt: str,
        elements: Sequence[str],
        inputs: ModelInputs,
        reference: Image.Image | None,
        depth: Depth,
        reading: TextReading | None = None,
    ) -> Request:
        form = self.asked_rubric.form(elements, self.max_defects).at_depth(depth)
        if self.model_info.images_only:
            return Request(
                images=inputs.images, messages=[], form=form, rubric=self.rubric.name, seed=self.seed
            )
        image_count = 0 if inputs.video_parts else len(inputs.images)
        references = [reference] if reference is not None else []
        texts = None if reading is None else describe_lines(reading.lines, inputs.original.size)
        messages = self._build_messages(
            prompt, elements, depth, image_count, inputs.facts, bool(references), texts
        )
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
        texts: Sequence[str] | None = None,
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
            texts=texts,
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

    def answer_without_model(self, prepared: PreparedSample) -> Verdict | None:
        """Return the verdict on a sample that the model is not asked about; None if it is to be asked.

        The verdict on a sample outside the judge's domain has no numbers, so the model need not answer; nor
        need it if what was read decides alone.
        """
        reading, reason = prepared.reading, prepared.abstain_reason
        if not reason and not (reading and reading.decides_alone):
            return None
        milliseconds = reading.milliseconds if reading else 0.0
        provenance = self._build_provenance(prepared.depth, milliseconds, prepared.notes, prepared.splitter)
        shared: dict[str, Any] = {
            "id": prepared.id,
            "size": prepared.size,
            "texts": list(reading.lines) if reading else [],
            "provenance": provenance,
        }
        try:
            if reason or reading is None:
                raise ReplyError(reason)
            explains = prepared.depth == "verdict"
            fields = judge_by_reading(
                reading, self.asked_rubric, prepared.size, provenance.notes, explains=explains
            )
            verdict = Verdict(status="scored", **shared, **fields)
        except ReplyError as error:
            reason = replace_surrogates(str(error))
            verdict = Verdict(status="unscored", reason=reason, out_of_domain=True, **shared)
        verdict._image = prepared.overlay_image
        return verdict

    def build_verdict(
        self,
        prepared: PreparedSample,
        reply: Reply | ReplyError,
        milliseconds: float,
        absent_reply: Reply | ReplyError | None = None,
    ) -> Verdict:
        """Build the verdict from a reply, without calibration.

        Args:
            prepared: the sample with the request that was answered.
            reply: the backend's reply.
            milliseconds: time of the reply.
            absent_reply: the reply to `PreparedSample.absent_request`, if there is one.

        Returns:
            The verdict; unscored, with the reason, if the reply is not usable.
        """
        provenance = self._build_provenance(prepared.depth, milliseconds, prepared.notes, prepared.splitter)
        texts = list(prepared.reading.lines) if prepared.reading else []
        try:
            if isinstance(reply, ReplyError):
                raise reply
            provenance.label_mass = mean_label_mass(reply, provenance.notes)
            provenance.notes += [note for note in reply.notes if note not in provenance.notes]
            verdict = Verdict(
                id=prepared.id,
                status="scored",
                out_of_domain=prepared.is_out_of_domain,
                size=prepared.size,
                facts=prepared.facts,
                texts=texts,
                provenance=provenance,
                **parse_reply(reply, prepared, self.asked_rubric, provenance.notes, absent_reply),
            )
        except ReplyError as error:
            verdict = Verdict(
                id=prepared.id,
                status="unscored",
                reason=replace_surrogates(str(error)),
                size=prepared.size,
                texts=texts,
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

    def _build_provenance(
        self, depth: Depth, milliseconds: float, notes: list[str], splitter: str = ""
    ) -> Provenance:
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
            elements=splitter,
            card=model.card,
            notes=[*model.notes, *notes],
        )
