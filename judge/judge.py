"""The judge: a picture and its prompt in, a verdict out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

import judge
from judge import domain, media, regions
from judge.backends.base import Ask, Reply
from judge.elements import MAX_CHARS, clean, split
from judge.errors import BackendError, InputError, ReplyError
from judge.form import Form
from judge.rubric import SCALE, Rubric
from judge.types import (
    Attribute,
    Comparison,
    Defect,
    Depth,
    Dimension,
    Element,
    Provenance,
    Sample,
    Verdict,
)

if TYPE_CHECKING:
    from PIL import Image

    from judge.backends.base import Backend

EMBEDDED = "embedded"
BACKENDS = ("auto", "transformers")
LATER = ("vllm", "openai")
"""Backends that later versions have; asking for them is a clear error."""
MAX_PROMPT = 20_000
MAX_ELEMENTS = 64
MAX_PIXELS = 1_003_520
"""Pictures are reduced to this many pixels for models without a fixed input size: 1280 patches of 28 x 28."""
DISAGREEMENT = 1.0
"""A verdict says so when its written score and the one by the rubric's rule are further apart."""


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
        _check_backend(backend, base_url)
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
        sample = _sample(
            {"id": id, "image": image, "prompt": prompt, "elements": elements, "reference": reference}
        )
        start = self._clock()
        return self._judge([self._case(sample, _depth(depth))], depth, start)[0]

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
        _depth(depth)
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
            sample = _sample({"id": name, "image": image, "prompt": prompt, "elements": elements})
            cases.append(self._case(sample, _depth(depth), field=name))
        first, second = self._judge(cases, depth, start)
        return _compared(first, second)

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """A verdict without numbers, for a sample that this judge could not be asked about."""
        made = self._provenance(depth, 0.0, [])
        return Verdict(id=_printable(id), status="unscored", reason=_printable(reason), provenance=made)

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
            return self._case(_sample(given), depth, keep=False)
        except InputError as error:
            name = given.get("id", "") if isinstance(given, Mapping) else given.id
            return self.unscored(str(error), id=str(name), depth=depth)

    def _case(self, sample: Sample, depth: Depth, *, keep: bool = True, field: str = "image") -> _Case:
        """Check and prepare one sample. Raises `InputError`."""
        rubric, notes = self.rubric, list[str]()
        prompt = _checked_prompt(sample.prompt, rubric.needs_prompt, notes)
        elements = _checked_elements(sample.elements)
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
            id=_printable(sample.id),
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
            answer = _Answer(case.ask.form, reply)
            verdict = Verdict(
                id=case.id,
                status="scored",
                size=case.size,
                provenance=made,
                **_read(answer, self.rubric, case, depth, made.notes),
            )
        except ReplyError as error:
            verdict = Verdict(
                id=case.id, status="unscored", reason=_printable(str(error)), size=case.size, provenance=made
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


# -- What is given -------------------------------------------------------------------------------------


def _check_backend(backend: str | Backend, base_url: str | None) -> None:
    wanted = "openai" if backend == "auto" and base_url else backend
    if not isinstance(wanted, str) or wanted in BACKENDS:
        if base_url and isinstance(wanted, str):
            raise InputError("base_url", base_url, "none with this backend", "leave it out")
        return
    if wanted in LATER:
        mend = "it is not available in this version: leave backend and base_url out"
        raise InputError("backend", wanted, ", ".join(BACKENDS), mend)
    near = get_close_matches(wanted, BACKENDS, n=1, cutoff=0.0)[0]
    raise InputError("backend", wanted, ", ".join(BACKENDS), f"did you mean {near!r}?")


def _depth(depth: Depth) -> Depth:
    if depth not in get_args(Depth):
        raise InputError("depth", depth, ", ".join(get_args(Depth)), "use one of them")
    return depth


def _sample(given: Sample | Mapping[str, Any]) -> Sample:
    if isinstance(given, Sample):
        return given
    try:
        return Sample.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "sample"
        raise InputError(where, first.get("input"), "a Sample's fields", first["msg"]) from None


def _checked_prompt(prompt: str, needed: bool, notes: list[str]) -> str:
    """The prompt on one line: a line end in it could pass for a line of the instructions."""
    if len(prompt) > MAX_PROMPT:
        mend = f"it has {len(prompt)}: shorten it"
        raise InputError("prompt", prompt, f"at most {MAX_PROMPT} characters", mend)
    _check_unicode("prompt", prompt)
    if any(_is_control(c) and not c.isspace() for c in prompt):
        notes.append("control characters in the prompt were read as spaces")
    prompt = clean(prompt)
    if needed and not prompt:
        mend = "pass the text the picture was made from, or a rubric that needs none (quality)"
        raise InputError("prompt", prompt, "text that is not blank", mend)
    return prompt


def _checked_elements(elements: list[str] | None) -> list[str] | None:
    if elements is None:
        return None
    if len(elements) > MAX_ELEMENTS:
        raise InputError("elements", len(elements), f"at most {MAX_ELEMENTS}", "ask for fewer at once")
    kept: list[str] = []
    for name in elements:
        _check_unicode("elements", name)
        allowed = f"statements of 1 to {2 * MAX_CHARS} characters without control characters"
        if not name.strip():
            raise InputError("elements", name, allowed, "leave empty ones out")
        if len(name) > 2 * MAX_CHARS or any(map(_is_control, name)):
            raise InputError("elements", name, allowed, "reword it")
        name = " ".join(name.split())
        if name in kept:
            raise InputError("elements", name, "elements that differ", "give each element once")
        kept.append(name)
    return kept


def _check_unicode(field: str, text: str) -> None:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise InputError(field, text, "Unicode text", "it holds half a character (a lone surrogate)")


def _is_control(char: str) -> bool:
    return ord(char) < 32 or 127 <= ord(char) < 160


def _printable(text: object) -> str:
    """Text that can be written as UTF-8 JSON whatever it came from."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


# -- What comes back -----------------------------------------------------------------------------------

Support = list[tuple[float, float]]
"""A number that is known as a distribution: (value, probability) pairs."""


class _Answer:
    """A reply read against its form: values, and the probabilities behind them."""

    def __init__(self, form: Form, reply: Reply) -> None:
        self.values = form.parse(reply.text)
        self.told, self.exact = reply.probabilities, reply.exact
        self.complete = True
        """False once a number had to be taken from the written label alone."""

    def probabilities(self, blank: str, labels: Sequence[str], written: object) -> dict[str, float]:
        """Label -> probability, summing to 1. Without any from the backend: 1 for the written label.

        Raises:
            ReplyError: the backend gave labels off the menu, or numbers that are no distribution.
        """
        told = self.told.get(blank)
        if told is None:
            self.complete = False
            return {label: float(label == str(written)) for label in labels}
        values = [told.get(label, 0.0) for label in labels]
        total = sum(told.values())
        if (
            set(told) - set(labels)
            or not all(math.isfinite(v) and v >= 0 for v in values)
            or abs(total - 1) > 0.01
        ):
            raise ReplyError(
                f"{blank}: the backend's probabilities are no distribution over {', '.join(labels)}"
            )
        return {label: value / total for label, value in zip(labels, values, strict=True)}

    def scale(self, blank: str, written: object) -> list[float]:
        return list(self.probabilities(blank, SCALE, written).values())

    def present(self, index: int, written: object) -> float:
        return self.probabilities(f"elements.{index}", ("true", "false"), str(written).lower())["true"]


def _read(answer: _Answer, rubric: Rubric, case: _Case, depth: Depth, notes: list[str]) -> dict[str, Any]:
    """The fields of a scored verdict. Raises `ReplyError`."""
    values = answer.values
    elements = []
    for index, (name, written) in enumerate(values.get("elements", {}).items()):
        chance = answer.present(index, written)
        elements.append(Element(name=name, present=chance >= 0.5, probability=chance))
    attributes = {}
    for question in rubric.attributes:
        chances = answer.probabilities(f"attributes.{question.name}", question.labels, values[question.name])
        attributes[question.name] = Attribute(
            label=max(chances, key=chances.__getitem__), probabilities=chances
        )
    scales = {d.name: answer.scale(f"dimensions.{d.name}", values[d.name]) for d in rubric.dimensions}
    written_score = answer.scale("score", values["score"])
    supports = _supports(elements, scales)
    by_rule = _by_rule(rubric, supports)
    if depth == "score":
        scales = {name: _spread(support) for name, support in supports.items()}
    distribution = by_rule if by_rule and depth == "score" else written_score
    score = _expectation(distribution)
    if by_rule and depth == "verdict" and abs(_expectation(by_rule) - score) > DISAGREEMENT:
        other = _expectation(by_rule)
        notes.append(f"the scores disagree: {score:.2f} written, {other:.2f} by the rubric's rule")
    defects = [_defect(answer, rubric, case, n, item) for n, item in enumerate(values.get("defects", []))]
    if not answer.exact:
        notes.append("the backend estimated the probabilities from the likeliest tokens")
    if not answer.complete:
        notes.append("the backend gave no probabilities: numbers are those of the written labels")
    return {
        "score": score,
        "distribution": distribution,
        "dimensions": {n: Dimension(score=_expectation(d), distribution=d) for n, d in scales.items()},
        "elements": elements,
        "attributes": attributes,
        "defects": defects,
        "explanation": values.get("explanation", ""),
    }


def _defect(answer: _Answer, rubric: Rubric, case: _Case, index: int, item: dict[str, Any]) -> Defect:
    opened = answer.probabilities(f"defects.{index}.open", ("open", "close"), "open")
    return Defect(
        family=rubric.family(item["kind"]),
        kind=item["kind"],
        box=regions.from_relative(item["box"], *case.size),
        severity=item["severity"],
        confidence=opened["open"],
        explanation=item.get("explanation", ""),
    )


def _expectation(distribution: Sequence[float]) -> float:
    mean = sum(label * share for label, share in enumerate(distribution, 1))
    return min(5.0, max(1.0, mean))


def _supports(elements: list[Element], scales: dict[str, list[float]]) -> dict[str, Support]:
    """What is known about each dimension; alignment is the share of elements that are there, if any."""
    known = {name: list(enumerate(map(float, shares), 1)) for name, shares in scales.items()}
    supports: dict[str, Support] = {name: [(float(v), p) for v, p in pairs] for name, pairs in known.items()}
    if elements and "alignment" in supports:
        counts = [1.0]  # probability of 0, 1, 2, ... elements being there, each on its own
        for element in elements:
            p = element.probability
            without, with_it = [*counts, 0.0], [0.0, *counts]
            counts = [(1 - p) * no + p * yes for no, yes in zip(without, with_it, strict=True)]
        supports["alignment"] = [(1 + 4 * n / len(elements), share) for n, share in enumerate(counts)]
    return supports


def _by_rule(rubric: Rubric, supports: dict[str, Support]) -> list[float] | None:
    """Distribution of the score that the rubric's rule makes of its dimensions; None for `slot`.

    The rule is linear in each dimension, so with dimensions taken as independent the mean of this
    distribution is the rule applied to their means.
    """
    names = rubric.score.dimensions
    if not names:
        return None
    joint: list[tuple[dict[str, float], float]] = [({}, 1.0)]
    for name in names:
        support = supports[name]
        if len(joint) * len(support) > 10_000:  # many dimensions: their means lose no mean
            support = [(sum(v * p for v, p in support), 1.0)]
        joint = [({**at, name: v}, share * p) for at, share in joint for v, p in support if share * p > 0]
    scored = [(rubric.combine(at), share) for at, share in joint]
    return _spread([(value, share) for value, share in scored if value is not None])


def _spread(support: Support) -> list[float]:
    """Probabilities of the labels 1 to 5 with the same mean: each value is shared by its two neighbours."""
    shares = [0.0] * 5
    for value, share in support:
        value = min(5.0, max(1.0, value))
        low = min(4, int(value))
        shares[low - 1] += share * (low + 1 - value)
        shares[low] += share * (value - low)
    total = sum(shares)
    return [min(1.0, max(0.0, share / total)) for share in shares]


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
