"""The judge: a picture and its prompt in, a verdict out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import judge
from judge import domain, media
from judge.backends.base import Ask, Reply
from judge.elements import split
from judge.errors import BackendError, InputError, ReplyError
from judge.given import (
    check_backend,
    checked_depth,
    checked_elements,
    checked_prompt,
    checked_sample,
    printable,
)
from judge.reading import Answer, read
from judge.rubric import Rubric
from judge.types import Comparison, Depth, Provenance, Sample, Verdict

if TYPE_CHECKING:
    from PIL import Image

    from judge.backends.base import Backend

EMBEDDED = "embedded"
MAX_PIXELS = 1_003_520
"""Pictures are reduced to this many pixels for models without a fixed input size: 1280 patches of 28 x 28."""


class Judge:
    """Judges pictures. The model is loaded at the first verdict and kept.

    Args:
        model: "embedded", or the name or folder of a Qwen-VL checkpoint.
        adapter: name or folder of a LoRA adapter.
        backend: "auto", "transformers", or a `judge.backends.base.Backend` of your own.
        rubric: name (default, quality), `.toml` file, or `Rubric`.
        base_url: address of an OpenAI-compatible server (not in this version).
        seed: handed to the backend and written into provenance.
        max_defects: regions asked for at most; default: as the rubric says.
        max_pixels: what a model without a fixed input size is shown at most.
        options: passed on to the backend.

    Raises:
        InputError: an argument is unusable. `RubricError` is one.
    """

    def __init__(
        self,
        model: str = EMBEDDED,
        *,
        adapter: str | None = None,
        backend: str | Backend = "auto",
        rubric: str | Rubric = "default",
        base_url: str | None = None,
        seed: int = 0,
        max_defects: int | None = None,
        max_pixels: int = MAX_PIXELS,
        **options: Any,
    ) -> None:
        check_backend(backend, base_url)
        self.rubric = Rubric.load(rubric)
        self.rubric.form((), max_defects)  # a bad number is told here, not once a row
        self.model, self.adapter, self.seed = model, adapter, seed
        self.max_defects, self.max_pixels = max_defects, max_pixels
        self._given, self._options = backend, options
        self._loading = 0.0

    @cached_property
    def backend(self) -> Backend:
        """The loaded model. Raises `BackendError` when it cannot be loaded."""
        if not isinstance(self._given, str):
            return self._given
        start = time.perf_counter()
        from judge.backends.transformers import Transformers

        loaded = Transformers(self.model, adapter=self.adapter, **self._options)
        self._loading += time.perf_counter() - start
        return loaded

    def _clock(self) -> float:
        """Seconds, but standing still while the model loads: a verdict's time is not its model's."""
        return time.perf_counter() - self._loading

    def __call__(
        self,
        image: Any,
        *,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        id: str = "",
        reference: Any = None,
        depth: Depth = "verdict",
    ) -> Verdict:
        """Judge one picture.

        Args:
            image: path, `PIL.Image.Image`, encoded bytes, `data:` URL or uint8 array (H, W, 3).
            prompt: the text it was made from; control characters and line ends become spaces.
            elements: statements to check; default: taken from the prompt.
            id: kept in the verdict.
            reference: reserved; a verdict notes that it was not looked at.
            depth: "verdict" for everything, "score" for numbers only, from one forward pass.

        Returns:
            The verdict; `unscored`, with a reason, when the model's reply cannot be used.

        Raises:
            InputError: an argument is unusable; `MediaError` for the picture.
            BackendError: the model cannot be loaded or run.
        """
        sample = checked_sample(
            {"id": id, "image": image, "prompt": prompt, "elements": elements, "reference": reference}
        )
        start = self._clock()
        return self._judge([self._case(sample, checked_depth(depth))], depth, start)[0]

    def many(
        self, samples: Iterable[Sample | Mapping[str, Any]], *, depth: Depth = "verdict", batch: int = 16
    ) -> Iterator[Verdict]:
        """Judge samples in batches: one verdict per sample, in order.

        A sample that is unusable, or that the model fails on, gives an unscored verdict with the reason. The
        verdicts keep no picture: `overlay` needs it again.

        Raises:
            InputError: `depth` or `batch` is unusable.
            BackendError: the model cannot be loaded.
        """
        checked_depth(depth)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual one")
        return self._many(iter(samples), depth, batch)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        depth: Depth = "verdict",
    ) -> Comparison:
        """Judge two pictures of one prompt, each on its own, and say which is better.

        Raises:
            InputError, BackendError: as for a single verdict; the field is `a` or `b` for a bad picture.
        """
        start = self._clock()
        cases = []
        for name, image in (("a", a), ("b", b)):
            sample = checked_sample({"id": name, "image": image, "prompt": prompt, "elements": elements})
            cases.append(self._case(sample, checked_depth(depth), field=name))
        first, second = self._judge(cases, depth, start)
        return _compared(first, second)

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """A verdict without numbers, for a sample that this judge could not be asked about."""
        made = self._provenance(depth, 0.0, [])
        return Verdict(id=printable(id), status="unscored", reason=printable(reason), provenance=made)

    def _many(
        self, samples: Iterator[Sample | Mapping[str, Any]], depth: Depth, batch: int
    ) -> Iterator[Verdict]:
        self.backend  # noqa: B018 - a model that cannot be loaded ends the run here, not row by row
        while group := list(islice(samples, batch)):
            start = self._clock()
            drafts: list[_Case | Verdict] = [self._case_or_reason(sample, depth) for sample in group]
            cases = [draft for draft in drafts if isinstance(draft, _Case)]
            verdicts = iter(self._judge(cases, depth, start, forgiving=True) if cases else [])
            for draft in drafts:
                yield draft if isinstance(draft, Verdict) else next(verdicts)

    def _case_or_reason(self, given: Sample | Mapping[str, Any], depth: Depth) -> _Case | Verdict:
        try:
            return self._case(checked_sample(given), depth, keep=False)
        except InputError as error:
            name = given.get("id", "") if isinstance(given, Mapping) else given.id
            return self.unscored(str(error), id=str(name), depth=depth)

    def _case(self, sample: Sample, depth: Depth, *, keep: bool = True, field: str = "image") -> _Case:
        """Check and prepare one sample. Raises `InputError`."""
        rubric, notes = self.rubric, list[str]()
        prompt = checked_prompt(sample.prompt, rubric.needs_prompt, notes)
        elements = checked_elements(sample.elements)
        if not rubric.elements:
            if elements:
                notes.append(f"rubric {rubric.name} asks for no elements: those given were left out")
            elements = []
        elif elements is None:
            elements = split(prompt)
        if sample.reference is not None:
            notes.append("the reference picture was not looked at: this version has no use for one")
        picture = media.load(sample.image, field=field)
        seen, _ = media.fit(picture, side=self.backend.size, max_pixels=self.max_pixels)
        form = rubric.form(elements, self.max_defects).at_depth(depth)
        messages = rubric.messages(
            prompt, elements, brief=self.backend.brief, depth=depth, max_defects=self.max_defects
        )
        if self._is_embedded:
            about = prompt if rubric.needs_prompt else ""
            notes += domain.notes(about, elements, picture.image) if about else []
        return _Case(
            id=printable(sample.id),
            elements=elements,
            ask=Ask(images=[seen], messages=messages, form=form, seed=self.seed),
            size=(picture.width, picture.height),
            notes=[*picture.notes, *notes],
            image=picture.image if keep else None,
        )

    @property
    def _is_embedded(self) -> bool:
        return isinstance(self._given, str) and self.model == EMBEDDED

    def _judge(
        self, cases: list[_Case], depth: Depth, start: float, *, forgiving: bool = False
    ) -> list[Verdict]:
        asks = [case.ask for case in cases]
        replies = self._replies(asks, depth, forgiving)
        spent = (self._clock() - start) * 1000 / len(cases)
        return [self._verdict(case, reply, depth, spent) for case, reply in zip(cases, replies, strict=True)]

    def _replies(self, asks: list[Ask], depth: Depth, forgiving: bool) -> Sequence[Reply | ReplyError]:
        try:
            replies = self.backend.choose(asks) if depth == "score" else self.backend.complete(asks)
        except BackendError as error:
            if not forgiving:
                raise
            if len(asks) == 1:
                return [ReplyError(str(error))]
            # One row that does not fit into memory must not take the others of its batch with it.
            return [reply for ask in asks for reply in self._replies([ask], depth, forgiving)]
        if len(replies) != len(asks):
            raise BackendError(
                f"backend {self.backend.name}: {len(replies)} replies to {len(asks)} questions"
            )
        return replies

    def _verdict(self, case: _Case, reply: Reply | ReplyError, depth: Depth, milliseconds: float) -> Verdict:
        made = self._provenance(depth, milliseconds, case.notes)
        try:
            if isinstance(reply, ReplyError):
                raise reply
            answer = Answer(case.ask.form, reply)
            verdict = Verdict(
                id=case.id,
                status="scored",
                size=case.size,
                provenance=made,
                **read(answer, self.rubric, case.size, depth, made.notes),
            )
        except ReplyError as error:
            verdict = Verdict(
                id=case.id, status="unscored", reason=printable(str(error)), size=case.size, provenance=made
            )
        verdict._image = case.image
        return verdict

    def _provenance(self, depth: Depth, milliseconds: float, notes: list[str]) -> Provenance:
        backend = self.backend
        return Provenance(
            model=backend.model,
            revision=backend.revision,
            adapter=backend.adapter or None,
            backend=backend.name,
            backend_version=backend.version,
            rubric=self.rubric.name,
            rubric_hash=self.rubric.hash,
            depth=depth,
            seed=self.seed,
            version=judge.__version__,
            milliseconds=milliseconds,
            domain=backend.domain,
            notes=list(notes),
        )


@dataclass(frozen=True)
class _Case:
    """One checked sample on its way through the backend."""

    id: str
    elements: list[str]
    ask: Ask
    size: tuple[int, int]
    """Width and height of the original in pixels."""
    notes: list[str]
    image: Image.Image | None


def _compared(a: Verdict, b: Verdict) -> Comparison:
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
    return Comparison(preferred=preferred, probability=probability, margin=margin, a=a, b=b)
