"""The two halves of judging, on either side of the model: a sample becomes an ask, a reply a verdict.

`Judge` runs both around a backend in its own process, the gateway around one in another. Neither half
needs the model itself, only its `ModelInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request
from judge.elements.splitting import split
from judge.errors import InputError, ReplyError
from judge.media import image as media
from judge.pipeline import domain, pairwise
from judge.pipeline.inputs import Shown, shown
from judge.pipeline.inputs import compared as compared_with
from judge.pipeline.parsing import Answer, read
from judge.pipeline.prepared import ModelInfo, PreparedSample
from judge.pipeline.validation import (
    check_depth,
    check_elements,
    check_how,
    check_prompt,
    check_sample,
    printable,
)
from judge.rubrics.rubric import Rubric
from judge.runtime.version import __version__
from judge.types import Comparison, Depth, How, Provenance, Sample, Verdict, Way

if TYPE_CHECKING:
    from PIL import Image

    from judge.pipeline.calibration import Calibration
    from judge.rubrics.form import Form

MAX_PIXELS = 1_003_520
"""Pictures are reduced to this many pixels for models without a fixed input size: 1280 patches of 28 x 28."""
UNSEEN = "the reference picture was not looked at: rubric {} has no use for one"


@dataclass(frozen=True)
class Pipeline:
    """How samples are put to one model under one rubric, and its replies read."""

    rubric: Rubric
    model: Callable[[], ModelInfo]
    """Called when the first sample has passed its checks: a bad one costs nobody the loading of a model."""
    seed: int = 0
    max_defects: int | None = None
    max_pixels: int = MAX_PIXELS
    embedded: bool = False
    """The model is the embedded judge, whose domain is known."""
    calibration: Calibration | None = None
    """What brings scores to the human scale; used where it was made for this rubric and these weights."""

    @cached_property
    def card(self) -> ModelInfo:
        return self.model()

    @cached_property
    def scale(self) -> Calibration | None:
        """The calibration, if it was made for what is asked."""
        made = self.calibration
        return made if made and made.fits(self.rubric, self.card.revision) else None

    def prepare(
        self,
        given: Sample | Mapping[str, Any],
        depth: Depth = "verdict",
        *,
        keep: bool = True,
        closer: bool = False,
        field: str = "image",
    ) -> PreparedSample:
        """Check a sample, decode its picture or video and write the ask.

        Args:
            given: the sample, or its fields.
            depth: as in `Judge`.
            keep: keep the decoded original for the verdict's overlay.
            closer: keep it for closer looks.
            field: what errors call the picture.

        Raises:
            InputError: something in the sample is unusable; `MediaError` for the picture.
        """
        sample, rubric, notes = check_sample(given), self.rubric, list[str]()
        check_depth(depth)
        prompt = check_prompt(sample.prompt, rubric.needs_prompt, notes)
        elements = self._elements(sample, prompt, notes)
        seen = shown(sample, rubric, self.card, self.max_pixels, field)
        reference = self._reference(sample, notes)
        original = None if reference is None else reference.image
        seen = compared_with(seen, original, rubric, self.card)
        beside = None if reference is None else self._fitted(reference)
        said = prompt
        if self.embedded:
            said, strange = domain.told(prompt)
            notes += [f"the embedded judge was not shown this of the prompt: {one}" for one in strange]
            notes += domain.of_rubric(rubric)
            if seen.parts or (rubric.needs_prompt and prompt):
                notes += domain.notes(prompt, elements, seen.original)
        if self.calibration and not self.scale:
            notes.append("the calibration was left out: it was made for another rubric or other weights")
        return PreparedSample(
            id=printable(sample.id),
            depth=depth,
            request=self._ask(said, elements, seen, beside, depth),
            size=seen.original.size,
            facts=seen.facts,
            notes=[*seen.notes, *notes],
            image=seen.original if keep else None,
            outside=self.scale.too_far(seen.original) if self.scale else "",
            prompt=said,
            picture=seen.images[0] if seen.images else None,
            reference=beside,
            original=seen.original if closer and not seen.parts else None,
            moving=bool(seen.parts),
        )

    def way(self, how: How) -> Way:
        """How two pictures are compared. Raises `InputError` for pairs that the model was not made for."""
        check_how(how)
        if how == "pairwise" and self.card.brief:
            mend = "the model was tuned on one picture at a time: use pointwise"
            raise InputError("how", how, "auto or pointwise with this model", mend)
        return "pointwise" if self.card.brief or how == "pointwise" else "pairwise"

    def scored(self, case: PreparedSample, elements: Sequence[str]) -> Request:
        """A case of one picture asked at depth `score`, whatever depth it was asked at."""
        messages = self._messages(
            case.prompt, elements, "score", self.views, case.facts, case.reference is not None
        )
        form = self.rubric.form(elements, self.max_defects).at_depth("score")
        return replace(case.request, messages=messages, form=form)

    @property
    def views(self) -> int:
        """Pictures that the model is shown of one: the whole, and parts where it sees a fixed square."""
        return 1 + (self.rubric.details if self.card.size else 0)

    def _elements(self, sample: Sample, prompt: str, notes: list[str]) -> Sequence[str]:
        """What is asked for: the sample's own elements, or those of its prompt, where the rubric has any."""
        elements = check_elements(sample.elements)
        if self.rubric.elements:
            return split(prompt) if elements is None else elements
        if elements:
            notes.append(f"rubric {self.rubric.name} asks for no elements: those given were left out")
        return []

    def _ask(
        self,
        prompt: str,
        elements: Sequence[str],
        seen: Shown,
        reference: Image.Image | None,
        depth: Depth,
    ) -> Request:
        form = self.rubric.form(elements, self.max_defects).at_depth(depth)
        if self.card.wordless:
            return Request(
                images=seen.images, messages=[], form=form, rubric=self.rubric.name, seed=self.seed
            )
        count = 0 if seen.parts else len(seen.images)
        messages = self._messages(prompt, elements, depth, count, seen.facts, reference is not None)
        beside = [reference] if reference is not None else []
        # A video stands where the picture would, behind the reference.
        content = messages[-1]["content"]
        content[len(beside) : len(beside)] = seen.parts
        return Request(
            images=[*self._examples, *beside, *seen.images],
            messages=messages,
            form=form,
            films=seen.films,
            rubric=self.rubric.name,
            seed=self.seed,
        )

    def _messages(
        self,
        prompt: str,
        elements: Sequence[str],
        depth: Depth,
        images: int,
        facts: Mapping[str, float],
        reference: bool,
    ) -> list[dict[str, Any]]:
        return self.rubric.messages(
            prompt,
            elements,
            brief=self.card.brief,
            depth=depth,
            max_defects=self.max_defects,
            images=images,
            facts=facts,
            reference=reference,
        )

    def _reference(self, sample: Sample, notes: list[str]) -> media.Picture | None:
        """The reference picture where the rubric shows one. Raises `InputError`."""
        wanted = self.rubric.reference
        if sample.reference is None:
            if wanted == "required":
                mend = f"rubric {self.rubric.name} compares with it: give one, or choose another rubric"
                raise InputError("reference", None, "a picture", mend)
            return None
        if wanted == "none":
            notes.append(UNSEEN.format(self.rubric.name))
            return None
        found = media.load(sample.reference, field="reference")
        notes += [f"reference: {note}" for note in found.notes]
        return found

    def _fitted(self, picture: media.Picture) -> Image.Image:
        return media.fit(picture, side=self.card.size, max_pixels=self.max_pixels)[0]

    @cached_property
    def _examples(self) -> list[Image.Image]:
        """The pictures of the rubric's worked examples, which a model that was tuned on it is not shown."""
        pictures = () if self.card.brief else self.rubric.pictures()
        return [self._fitted(media.load(picture)) for picture in pictures]

    def conclude(self, case: PreparedSample, reply: Reply | ReplyError, milliseconds: float) -> Verdict:
        """Read a reply. One that cannot be used gives an unscored verdict with the reason."""
        return self.scaled(self.unscaled(case, reply, milliseconds))

    def scaled(self, verdict: Verdict) -> Verdict:
        """The verdict on the human scale, where the judge is calibrated."""
        return self.scale.applied(verdict) if self.scale else verdict

    def unscaled(self, case: PreparedSample, reply: Reply | ReplyError, milliseconds: float) -> Verdict:
        """What the reply says, before any calibration."""
        made = self._provenance(case.depth, milliseconds, case.notes)
        try:
            if isinstance(reply, ReplyError):
                raise reply
            if case.outside:
                raise ReplyError(case.outside)
            answer = Answer(case.request.form, reply)
            verdict = Verdict(
                id=case.id,
                status="scored",
                size=case.size,
                facts=case.facts,
                provenance=made,
                **read(answer, self.rubric, case.size, case.depth, made.notes, case.facts),
            )
        except ReplyError as error:
            verdict = Verdict(
                id=case.id, status="unscored", reason=printable(str(error)), size=case.size, provenance=made
            )
        verdict._image = case.image
        return verdict

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """A verdict without numbers, for a sample that the model could not be asked about."""
        made = self._provenance(depth, 0.0, [])
        return Verdict(id=printable(id), status="unscored", reason=printable(reason), provenance=made)

    def _provenance(self, depth: Depth, milliseconds: float, notes: list[str]) -> Provenance:
        card = self.card
        tuned = card.under(self.rubric.name)
        return Provenance(
            model=card.model,
            revision=card.revision,
            adapter=tuned.adapter or None,
            backend=card.name,
            backend_version=card.version,
            rubric=self.rubric.name,
            rubric_version=self.rubric.version,
            rubric_hash=self.rubric.hash,
            depth=depth,
            seed=self.seed,
            version=__version__,
            milliseconds=milliseconds,
            domain=tuned.domain,
            notes=list(notes),
        )


def name_of(given: Sample | Mapping[str, Any]) -> str:
    """The id of a sample, whatever else is wrong with it."""
    return str(given.get("id", "") if isinstance(given, Mapping) else given.id)


def comparison_of_pair(
    a: Verdict, b: Verdict, form: Form, replies: Sequence[Reply | ReplyError]
) -> Comparison:
    """Which of two pictures is the better one, by two answers about both of them."""
    try:
        found = pairwise.read(form, replies)
    except ReplyError as error:
        reason = printable(str(error))
        return Comparison(preferred=None, probability=None, how="pairwise", reason=reason, a=a, b=b)
    chance = found.probability
    if not found.exact:
        a.provenance.notes.append("the comparison's probabilities are estimates or written labels")
    return Comparison(
        preferred="tie" if abs(chance - 0.5) <= pairwise.TIE else "a" if chance > 0.5 else "b",
        probability=chance,
        how="pairwise",
        orders=found.orders,
        swap_disagreement=found.disagreement,
        explanation=printable(found.explanation),
        margin=None if a.score is None or b.score is None else a.score - b.score,
        a=a,
        b=b,
    )


def compared(a: Verdict, b: Verdict) -> Comparison:
    """Which of two verdicts is the better one."""
    if a.score is None or b.score is None or a.distribution is None or b.distribution is None:
        reasons = [
            f"{name}: {verdict.reason}" for name, verdict in (("a", a), ("b", b)) if verdict.score is None
        ]
        return Comparison(preferred=None, probability=None, reason="; ".join(reasons), a=a, b=b)
    better = equal = 0.0
    for i, p in enumerate(a.distribution):
        better += p * sum(b.distribution[:i])
        equal += p * b.distribution[i]
    margin = a.score - b.score
    preferred = "tie" if abs(margin) < 1e-6 else "a" if margin > 0 else "b"
    probability = min(1.0, max(0.0, better + equal / 2))
    return Comparison(
        preferred=preferred, probability=probability, swap_disagreement=0.0, margin=margin, a=a, b=b
    )
