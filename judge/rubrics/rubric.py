"""The rubric: what a judge asks about an image, read from `prompts/rubrics/*.toml`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, PrivateAttr, model_validator

from judge.errors import InputError, ReplyError, RubricError
from judge.rubrics import files
from judge.rubrics.fact_words import describe_facts
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Node, Object, Repeat, Text, is_encodable
from judge.rubrics.schema import (
    LANGUAGE_INSTRUCTIONS,
    NO_TEXTS,
    REASONING_MEMBER,
    RESERVED_MEMBERS,
    SCORE_LABELS,
    TEXTS_INTRODUCTION,
    AttributeQuestion,
    Chars,
    DefectKinds,
    Example,
    FrozenModel,
    GeneralModels,
    Language,
    ScoredDimension,
    ScoreRule,
    Sentences,
    Templates,
)
from judge.rubrics.templates import jinja_environment
from judge.types import Depth, Family, Severity

GENERAL_ONLY: dict[str, Any] = {
    "reasoning": True,
    "general": True,
    "attributes": {"__all__": {"meanings"}},
    "defects": {"meanings"},
    "dimensions": {"__all__": {"anchors"}},
}
"""Fields of a rubric that only general models are told, as pydantic excludes them."""


class Rubric(FrozenModel):
    """What a judge asks about an image. Immutable; equal rubrics have equal hashes."""

    name: str
    version: str
    description: str = ""
    """One line for people who choose a rubric."""
    instructions: str = ""
    """What the model is told to look at, for `general.jinja`; default: the description."""
    anchors: Annotated[tuple[str, ...], Field(max_length=5)] = ()
    """What the scores 1 to 5 mean, worst first, for `general.jinja`; none or five."""
    needs_prompt: bool = True
    reference: Literal["none", "optional", "required"] = "none"
    """Whether a second image (the source of an edit, the original of a restoration) is shown. It comes first;
    boxes and scores are about the image after it."""
    elements: bool = True
    """Whether each element of the prompt is asked for by name."""
    negatives: bool = True
    """Whether what must be absent (a negative prompt, "without" in the prompt) is asked for too. False: a
    note says what was left out."""
    attributes: tuple[AttributeQuestion, ...] = ()
    defects: DefectKinds | None = None
    dimensions: tuple[ScoredDimension, ...] = ()
    explanation: Chars = 160
    """Maximum length of the explanation of the score in characters; 0: no explanation is asked for."""
    reasoning: Chars = 0
    """Maximum length in characters of what general models write before the evidence, at depth `verdict`; 0:
    nothing. Tuned models are never asked for it."""
    facts: tuple[str, ...] = ()
    """Facts that are measured in the image and given to the model, named as in
    `judge.evidence.facts.IMAGE_FACTS`. Facts of `judge.evidence.motion.MOTION_FACTS` are measured in videos,
    and a rubric with one of them judges videos only. Facts of `judge.evidence.reference.REFERENCE_FACTS` are
    measured against the reference image, where there is one."""
    texts: bool = False
    """Whether the writing in the image is read (`judge.evidence.text`). General models are told the lines;
    elements that want a text, and dimensions with `by_texts`, are decided by the lines as well. Needs the
    package rapidocr."""
    details: Annotated[int, Field(ge=0, le=8)] = 0
    """Number of crops at full resolution shown after the whole image, for models with a fixed input size."""
    language: Language = "en"
    """Language of the explanations. Names of members and labels never change."""
    examples: tuple[Example, ...] = ()
    templates: Templates
    sentences: Sentences = Sentences()
    score: ScoreRule = ScoreRule()
    general: GeneralModels = GeneralModels()
    _is_general: bool = PrivateAttr(default=False)
    """Whether this is the rubric for general models; see `for_general_models`."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        names = [*RESERVED_MEMBERS, *(a.name for a in self.attributes), *(d.name for d in self.dimensions)]
        names += [REASONING_MEMBER] if self.reasoning else []
        kinds = [kind for group in self.defects.kinds.values() for kind in group] if self.defects else []
        for group in (names, kinds, *(a.labels for a in self.attributes)):
            if duplicates := [name for name in group if list(group).count(name) > 1]:
                raise ValueError(f"{duplicates[0]!r} is given twice, or reserved")
        if self.defects and not kinds:
            raise ValueError("defects are asked for, but no kinds are given")
        if self.facts:
            _check_facts(self.facts, self.reference)
        if missing := [name for name in self.score.measured if name not in self.facts]:
            raise ValueError(f"score.measured: {missing[0]!r} is not among the facts")
        if sum(self.score.measured.values()) >= 1:
            raise ValueError("score.measured: the shares sum to 1 or more, which leaves nothing to the model")
        known = {dimension.name for dimension in self.dimensions}
        if unknown := [name for name in self.score.dimensions if name not in known]:
            raise ValueError(f"score.{self.score.rule} uses {unknown[0]!r}, which is not a dimension")
        with_part = [dimension.name for dimension in self.dimensions if dimension.part]
        if unmerged := [name for name in with_part if name not in self.score.dimensions]:
            raise ValueError(f"{unmerged[0]!r} has a part, but score.{self.score.rule} does not merge it")
        if by_texts := [
            dimension.name for dimension in self.dimensions if dimension.by_texts and not self.texts
        ]:
            raise ValueError(f"{by_texts[0]!r} is decided by texts, but `texts` is not true")
        if self.score.rule == "product" and len(self.score.factors) != 2:
            raise ValueError("score.factors: product takes two dimensions")
        if self.score.rule == "mean" and not self.score.weights:
            raise ValueError("score.weights: mean takes at least one dimension")
        self._check_general_texts(kinds)
        for number, example in enumerate(self.examples):
            if problem := self._example_problem(example):
                raise ValueError(f"examples.{number}: {problem}")
        return self

    def _check_general_texts(self, kinds: Sequence[str]) -> None:
        """Check what only general models are told: anchors, meanings and facts."""
        anchors = {"anchors": self.anchors, "general.anchors": self.general.anchors}
        anchors |= {f"dimensions.{d.name}.anchors": d.anchors for d in self.dimensions}
        for place, texts in anchors.items():
            if len(texts) not in (0, len(SCORE_LABELS)):
                raise ValueError(
                    f"{place}: {len(texts)} given; give one for each of {', '.join(SCORE_LABELS)}"
                )
        meanings = [("defects", self.defects.meanings, kinds)] if self.defects else []
        meanings += [(f"attributes.{a.name}", a.meanings, a.labels) for a in self.attributes]
        for place, known, labels in meanings:
            if unknown := [label for label in known if label not in labels]:
                raise ValueError(f"{place}.meanings: {unknown[0]!r} is not one of {', '.join(labels)}")
        if unknown := [name for name in self.general.facts or () if name not in self.facts]:
            raise ValueError(f"general.facts: {unknown[0]!r} is not among the facts")

    def _example_problem(self, example: Example) -> str:
        """Return why an example cannot be shown; empty if it can."""
        if self.needs_prompt and not example.prompt:
            return "prompt: the rubric needs one"
        if example.elements and not self.elements:
            return "elements: the rubric does not ask for elements"
        if (self.reference == "required") > bool(example.reference):
            return "reference: the rubric requires one"
        if example.reference and self.reference == "none":
            return "reference: the rubric does not use one"
        if self.reasoning and not example.answer.get(REASONING_MEMBER):
            return f"answer: {REASONING_MEMBER!r} is missing"
        answer = {k: v for k, v in example.answer.items() if k != REASONING_MEMBER or not self.reasoning}
        try:
            self.form(example.elements).render(answer)
        except (ReplyError, InputError) as error:
            return f"answer: {error}"
        return ""

    @classmethod
    def load(cls, source: str | Path | Rubric = "default") -> Rubric:
        """Load a rubric; see `prompts/README.md`.

        Args:
            source: name of a rubric in the package (`default`, `quality`, ...), path of a `.toml` file, or a
                rubric, which is returned unchanged.

        Raises:
            RubricError: the name is unknown, or the file cannot be read or is not valid. The message names
                the position in the file and how to correct it.
        """
        if isinstance(source, Rubric):
            return source
        rubric, path = files.load_rubric_file(source, cls)
        rubric._check_templates(path)
        return rubric

    def for_general_models(self) -> Rubric:
        """Return the rubric as models are asked that were not tuned to judge.

        Its form begins with the reasoning, `templates.full` is the template for general models, and its hash
        covers all texts that they read. Without anything special for general models, it asks what this rubric
        asks of tuned models with the full template.
        """
        return self if self._is_general else self._general_rubric

    @cached_property
    def _general_rubric(self) -> Rubric:
        """This rubric with the table `general` applied."""
        general, content = self.general, self.model_dump(exclude={"general"})
        facts = self.facts if general.facts is None else general.facts
        measured = {name: share for name, share in self.score.measured.items() if name in facts}
        content |= {
            "instructions": general.instructions or self.instructions,
            "anchors": general.anchors or self.anchors,
            "templates": self.templates.model_dump()
            | ({"full": general.template} if general.template else {}),
            "facts": facts,
            "score": content["score"] | {"measured": measured},
        }
        rubric = type(self).model_validate(content)
        rubric._is_general = True
        return rubric

    @cached_property
    def _tuned_rubric(self) -> Rubric:
        """This rubric without what only general models are told."""
        return type(self).model_validate(self.model_dump(exclude=self._general_only))

    @property
    def _general_only(self) -> dict[str, Any]:
        """`GENERAL_ONLY`, with the reasoning in the answers of worked examples."""
        answers = {"examples": {"__all__": {"answer": {REASONING_MEMBER}}}} if self.reasoning else {}
        return GENERAL_ONLY | answers

    def _check_templates(self, path: Path) -> None:
        """Render every template once, so that an error in one is raised here and not for each sample."""
        general = self.for_general_models()
        for rubric, brief, kind in (
            (self, False, "templates.full"),
            (self, True, "templates.brief"),
            (general, False, "general.template"),
        ):
            try:
                for depth, elements in product(get_args(Depth), (["a cat"], [])):
                    rubric.messages("a cat", elements, brief=brief, depth=depth, reference=depth == "score")
            except Exception as error:  # a template is a program: it may raise anything
                line = getattr(error, "lineno", None)
                reason = f"{type(error).__name__}: {error}" + (f", line {line}" if line else "")
                value, allowed = kind.rpartition(".")[2], "a Jinja template that renders"
                raise RubricError(f"{path.name}.{kind}", value, allowed, reason) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed; what was computed from the fields is computed again."""
        copied = super().model_copy(update=update, deep=deep)
        for name, value in vars(type(self)).items():
            if isinstance(value, cached_property):
                copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the rubric's content, templates and images included.

        Fields with their default value are left out, so a new field of `Rubric` does not change the hash of
        rubrics that do not use it. What only general models are told counts in the hash of
        `for_general_models()` alone.
        """
        hidden = None if self._is_general else self._general_only
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=hidden)
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def family(self, kind: str) -> Family:
        """Return the family of a kind of defect.

        Returns:
            `artifact` for broken structure, `misalignment` for a contradiction of the prompt.

        Raises:
            InputError: the rubric has no such kind.
        """
        groups = self.defects.kinds if self.defects else {}
        for family, kinds in groups.items():
            if kind in kinds:
                return family
        allowed = ", ".join(kind for kinds in groups.values() for kind in kinds) or "none"
        raise InputError("kind", kind, allowed, "use a kind of the rubric")

    def combine(self, dimensions: Mapping[str, Any]) -> Any:
        """Compute the overall score from dimension scores by the rubric's rule.

        Args:
            dimensions: name -> score (1..5): numbers, arrays or tensors.

        Returns:
            The score (1..5), of the same type; None for the rule `slot`.
        """
        match self.score.rule:
            case "product":
                gate, quality = ((dimensions[name] - 1) / 4 for name in self.score.factors)
                return 1 + 4 * gate * (self.score.floor + (1 - self.score.floor) * quality)
            case "mean":
                weights = self.score.weights
                total = sum(weight * dimensions[name] for name, weight in weights.items())
                return total / sum(weights.values())
            case "slot":
                return None

    def form(self, elements: Sequence[str] = (), max_defects: int | None = None) -> Form:
        """Build the form of the answer.

        Args:
            elements: elements of the prompt; without any, the member `elements` is left out.
            max_defects: maximum number of regions; default: the rubric's own.

        Raises:
            InputError: an element is empty, duplicated or not valid Unicode, or `max_defects` is not 0 to 64.
        """
        members: list[tuple[str, Node]] = []
        if self.reasoning and self._is_general:
            members.append((REASONING_MEMBER, Text(REASONING_MEMBER, self.reasoning, is_optional=True)))
        if self.elements and elements:
            members.append(("elements", _elements_node(elements)))
        for question in self.attributes:
            members.append((question.name, _label_choice(f"attributes.{question.name}", question.labels)))
        if self.defects:
            limit = self.defects.max if max_defects is None else max_defects
            members.append(("defects", _defects_node(self.defects, limit)))
        for dimension in self.dimensions:
            members.append((dimension.name, Choice(f"dimensions.{dimension.name}", SCORE_LABELS)))
        members.append(("score", Choice("score", SCORE_LABELS)))
        if self.explanation:
            members.append(("explanation", Text("explanation", self.explanation)))
        return Form(Object(tuple(members)))

    def messages(
        self,
        prompt: str = "",
        elements: Sequence[str] = (),
        *,
        brief: bool = False,
        depth: Depth = "verdict",
        max_defects: int | None = None,
        images: int = 1,
        facts: Mapping[str, float] | None = None,
        reference: bool = False,
        texts: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Build the chat messages: worked examples, then one user turn with the images and the instructions.

        The prompt and the elements are values of the template: they are inserted once and never read as a
        template.

        Args:
            prompt: the prompt, as for the form.
            elements: the elements, as for the form.
            brief: use the brief template and no examples, for a model that was tuned on the rubric.
            depth: depth of the form.
            max_defects: maximum number of regions; default: the rubric's own.
            images: number of images of the sample to judge.
            facts: measured facts, 0..1 each; the text gives them in steps of 10 from 0 to 1000, like
                coordinates.
            reference: whether a reference image stands before the images.
            texts: what was read in the image, line by line, as the model is to be told it; None: nothing is
                told.

        Returns:
            Messages in the format of the OpenAI chat API, with `{"type": "image"}` parts for images.
        """
        limit = self.defects.max if self.defects and max_defects is None else max_defects
        build_turn = partial(self._user_turn, brief=brief, depth=depth, max_defects=limit)
        turns = []
        for example in [] if brief else self.examples:
            turns.append(build_turn(example.prompt, example.elements, reference=bool(example.reference)))
            answer = self._example_answer(example, depth, limit)
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        last = build_turn(
            prompt, elements, images=images, facts=facts or {}, reference=reference, texts=texts
        )
        return [*turns, last]

    def example_images(self) -> Iterator[str]:
        """Yield the images of the worked examples as `data:` URLs, in the order of the messages."""
        for example in self.examples:
            yield from filter(None, (example.reference, example.image))

    def _user_turn(
        self,
        prompt: str,
        elements: Sequence[str],
        *,
        brief: bool,
        depth: Depth,
        max_defects: int | None,
        images: int = 1,
        facts: Mapping[str, float] = MappingProxyType({}),
        reference: bool = False,
        texts: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        text = self._compiled_templates[brief].render(
            rubric=self if self._is_general else self._tuned_rubric,
            prompt=prompt,
            elements=list(elements),
            depth=depth,
            max_defects=max_defects,
            reference=reference,
            facts=facts_for_prompt(facts),
            fact_words=describe_facts(facts),
        )
        instruction = LANGUAGE_INSTRUCTIONS[self.language]
        if instruction and depth == "verdict" and not brief:
            text += f"\n\n{instruction}"
        if self.texts and texts is not None and not brief:
            listed = "\n".join(f"- {line}" for line in texts) or NO_TEXTS
            text = f"{TEXTS_INTRODUCTION}\n{listed}\n\n{text}"
        image_parts: list[dict[str, Any]] = [{"type": "image"} for _ in range(images + reference)]
        return {"role": "user", "content": [*image_parts, {"type": "text", "text": text}]}

    def _example_answer(self, example: Example, depth: Depth, max_defects: int | None) -> str:
        """Render the answer of an example, reduced to what the form of this depth asks for."""
        form = self.form(example.elements, max_defects).at_depth(depth)
        values = {key: example.answer[key] for key, _ in form.root.members}
        if "defects" in values:
            values["defects"] = values["defects"][:max_defects]
        return form.render(values)

    def render_sentence(self, template: Literal["picture", "region"], /, **values: Any) -> str:
        """Render an explanation by the rubric's own template.

        Args:
            template: name of a template of `Sentences`.
            **values: the template's variables; see `Sentences`.

        Returns:
            The explanation with white space collapsed; empty if the rubric has no such template.
        """
        return " ".join(self._compiled_sentences[template].render(**values).split())

    @cached_property
    def _compiled_templates(self) -> tuple[Any, Any]:
        """The full and the brief template."""
        environment = jinja_environment()
        full, brief = self.templates.full, self.templates.brief
        return environment.from_string(full), environment.from_string(brief)

    @cached_property
    def _compiled_sentences(self) -> dict[str, Any]:
        environment = jinja_environment()
        return {name: environment.from_string(text) for name, text in self.sentences.model_dump().items()}


def facts_for_prompt(facts: Mapping[str, float]) -> dict[str, int]:
    """Convert facts (0..1) to the numbers in the text for the model: 0, 10, ... 1000, like coordinates."""
    return {name: round(value * 100) * 10 for name, value in facts.items()}


def _check_facts(names: Sequence[str], reference: str) -> None:
    from judge.evidence.facts import IMAGE_FACTS  # loads OpenCV, which most rubrics do not need
    from judge.evidence.motion import MOTION_FACTS
    from judge.evidence.reference import REFERENCE_FACTS

    known = (*IMAGE_FACTS, *MOTION_FACTS, *REFERENCE_FACTS)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"facts: {unknown[0]!r} is not measured; known are {', '.join(known)}")
    if reference == "none" and (needing := [name for name in names if name in REFERENCE_FACTS]):
        raise ValueError(f"facts: {needing[0]!r} compares with a reference, but `reference` is none")


def _label_choice(name: str, labels: Sequence[str]) -> Choice:
    return Choice(name, tuple(labels), quoted=True)


def _elements_node(elements: Sequence[str]) -> Object:
    for name in elements:
        if not name.strip() or not is_encodable(name):
            raise InputError("elements", name, "short Unicode text", "leave the element out or correct it")
        if list(elements).count(name) > 1:
            raise InputError("elements", name, "elements that differ", "give each element once")
    blanks = (Choice(f"elements.{index}", ("true", "false")) for index in range(len(elements)))
    return Object(tuple(zip(elements, blanks, strict=True)))


def _defects_node(defects: DefectKinds, limit: int) -> Repeat:
    if not 0 <= limit <= 64:
        raise InputError("max_defects", limit, "0 to 64", "ask for fewer defects")
    kinds = [kind for group in defects.kinds.values() for kind in group]
    members: list[tuple[str, Node]] = [
        ("kind", _label_choice("kind", kinds)),
        ("box", Box("box")),
        ("severity", _label_choice("severity", get_args(Severity))),
    ]
    if defects.explanation:
        members.append(("explanation", Text("explanation", defects.explanation)))
    return Repeat("defects", Object(tuple(members)), 0, limit)
