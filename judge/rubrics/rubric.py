"""What is asked of a picture: the rubric, read from `prompts/rubrics/*.toml`, its form and its messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from judge.errors import InputError, ReplyError, RubricError
from judge.rubrics import files
from judge.rubrics.form import Box, Choice, Form, Node, Object, Repeat, Text
from judge.rubrics.templates import jinja
from judge.types import Depth, Family, Model, Severity

SCALE = ("1", "2", "3", "4", "5")
"""Labels of every dimension and of the score, worst first."""
RESERVED = ("elements", "defects", "score", "explanation")
"""Members of the answer that no attribute or dimension may be called."""

LANGUAGES = {
    "en": "",
    "zh": 'Write every "explanation" in Simplified Chinese (简体中文). '
    "Names of members, labels and numbers stay exactly as given here.",
}
"""Language of the explanations -> what is said of it after the template; English needs no words."""

Language = Literal["en", "zh"]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _./-]*$", max_length=40)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Chars = Annotated[int, Field(ge=0, le=2000)]


class Frozen(Model):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(Frozen):
    """A categorical question about the picture as a whole."""

    name: Name
    description: str = ""
    labels: Annotated[tuple[Label, ...], Field(min_length=2)]


class Scale(Frozen):
    """A dimension, scored 1 (worst) to 5 (best)."""

    name: Name
    description: str = ""
    part: Annotated[str, StringConstraints(max_length=200)] = ""
    """What of the picture it is about, if not all of it. With closer looks a general model is asked where it
    is, and then shown it alone. Only for dimensions that the rule of the score merges with others."""


class Defects(Frozen):
    """What regions may be called, and how many are asked for."""

    max: Annotated[int, Field(ge=0, le=64)] = 3
    explanation: Chars = 120
    """Longest explanation of one region in characters; 0: none is asked."""
    kinds: dict[Family, tuple[Label, ...]]


class ScoreRule(Frozen):
    """How dimensions make the score: always at score depth, whose form has no written evidence."""

    rule: Literal["product", "mean", "slot"] = "slot"
    """product: 1 + 4 f1 (floor + (1 - floor) f2), each factor (dimension - 1) / 4; mean: the weighted mean
    of dimensions; slot: the score blank itself."""
    factors: tuple[Name, ...] = ()
    """The two dimensions of `product`, the gating one first."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.45
    weights: dict[Name, Annotated[float, Field(gt=0)]] = {}
    depths: tuple[Depth, ...] = ()
    """Depths beside `score` at which the rule gives the score. At others it is the score blank, and the rule
    a check on it."""
    measured: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Facts (0 worst, 1 best) and the shares, less than 1 together, with which they count in the score; the
    rest of it is the model's."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        return {"product": self.factors, "mean": tuple(self.weights), "slot": ()}[self.rule]


class Templates(Frozen):
    """Texts of the Jinja templates of the user's turn. In a rubric file: names of their files, by default
    `general.jinja` and `brief.jinja`."""

    full: str
    """For a general model: every instruction."""
    brief: str
    """For a model that was tuned on the rubric: the prompt and the elements only."""


class Example(Frozen):
    """A worked example: a picture and the verdict it deserves, shown to general models as an earlier turn."""

    image: str
    """A `data:` URL. In a rubric file: the name of a picture beside it."""
    reference: str = ""
    """The same for the reference picture; empty for none."""
    prompt: str = ""
    elements: tuple[str, ...] = ()
    answer: dict[str, Any]
    """The filled form: every member it has at depth `verdict`."""


class Sentences(Frozen):
    """Jinja templates that put answers into words, where the model is asked for no text of its own."""

    picture: str = ""
    """The explanation of the score, from `attributes` (name -> label), `defects` (kind, severity, place),
    `facts` (0..1000) and `score`."""
    region: str = ""
    """The explanation of a region, from its `kind`, `severity` and `place`."""


class Rubric(Frozen):
    """What is asked of a picture. Immutable; equal rubrics have equal hashes."""

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
    """Whether a second picture (the source of an edit, the original of a restoration) is shown. It comes
    first; boxes and scores are about the second."""
    elements: bool = True
    """Each element of the prompt is asked for by name."""
    attributes: tuple[Question, ...] = ()
    defects: Defects | None = None
    dimensions: tuple[Scale, ...] = ()
    explanation: Chars = 160
    """Longest explanation of the score in characters; 0: none is asked."""
    facts: tuple[str, ...] = ()
    """What is measured in the picture and told to the model; names of `judge.evidence.facts.FACTS`. Those of
    `judge.evidence.motion.FACTS` are measured in videos, and a rubric that has one judges nothing else; those of
    `judge.evidence.reference.FACTS` beside the reference, where there is one."""
    details: Annotated[int, Field(ge=0, le=8)] = 0
    """Parts shown pixel for pixel, after the whole, to a model of one fixed input size."""
    language: Language = "en"
    """What explanations are written in. Names of members and labels never change."""
    examples: tuple[Example, ...] = ()
    templates: Templates
    sentences: Sentences = Sentences()
    score: ScoreRule = ScoreRule()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [*RESERVED, *(a.name for a in self.attributes), *(d.name for d in self.dimensions)]
        kinds = [kind for group in self.defects.kinds.values() for kind in group] if self.defects else []
        for group in (names, kinds, *(a.labels for a in self.attributes)):
            if doubled := [name for name in group if list(group).count(name) > 1]:
                raise ValueError(f"{doubled[0]!r} is given twice, or reserved")
        if self.defects and not kinds:
            raise ValueError("defects are asked for, but no kinds are given")
        if self.facts:
            _check_facts(self.facts, self.reference)
        if untold := [name for name in self.score.measured if name not in self.facts]:
            raise ValueError(f"score.measured: {untold[0]!r} is not among the facts")
        if sum(self.score.measured.values()) >= 1:
            raise ValueError("score.measured: the shares make 1 or more, which leaves nothing to the model")
        known = {dimension.name for dimension in self.dimensions}
        if unknown := [name for name in self.score.dimensions if name not in known]:
            raise ValueError(f"score.{self.score.rule} uses {unknown[0]!r}, which is no dimension")
        parted = [dimension.name for dimension in self.dimensions if dimension.part]
        if unmerged := [name for name in parted if name not in self.score.dimensions]:
            raise ValueError(f"{unmerged[0]!r} has a part, but score.{self.score.rule} does not merge it")
        if self.score.rule == "product" and len(self.score.factors) != 2:
            raise ValueError("score.factors: product takes two dimensions")
        if self.score.rule == "mean" and not self.score.weights:
            raise ValueError("score.weights: mean takes at least one dimension")
        if len(self.anchors) not in (0, len(SCALE)):
            raise ValueError(f"anchors: {len(self.anchors)} given; give one for each of {', '.join(SCALE)}")
        for number, example in enumerate(self.examples):
            if fault := self._fault_of(example):
                raise ValueError(f"examples.{number}: {fault}")
        return self

    def _fault_of(self, example: Example) -> str:
        """Why an example cannot be shown; empty when it can."""
        if self.needs_prompt and not example.prompt:
            return "prompt: the rubric needs one"
        if example.elements and not self.elements:
            return "elements: the rubric asks for none"
        if (self.reference == "required") > bool(example.reference):
            return "reference: the rubric requires one"
        if example.reference and self.reference == "none":
            return "reference: the rubric has no use for one"
        try:
            self.form(example.elements).render(example.answer)
        except (ReplyError, InputError) as error:
            return f"answer: {error}"
        return ""

    @classmethod
    def load(cls, source: str | Path | Rubric = "default") -> Rubric:
        """Read a rubric by name (`default`, `quality`, ...) or from a `.toml` file; see `prompts/README.md`.

        Raises:
            RubricError: unknown name, unreadable or invalid file; names the place and the mend.
        """
        if isinstance(source, Rubric):
            return source
        rubric, path = files.read(source, cls)
        rubric._try_templates(path)
        return rubric

    def _try_templates(self, path: Path) -> None:
        """Render every template once, so that a mistake in one is told here and not row by row."""
        for brief, kind in ((False, "full"), (True, "brief")):
            for depth in get_args(Depth):
                for elements in (["a cat"], []):
                    try:
                        self.messages("a cat", elements, brief=brief, depth=depth, reference=depth == "score")
                    except Exception as error:  # a template is a program: it may raise anything
                        where = f"{path.name}.templates.{kind}"
                        line = getattr(error, "lineno", None)
                        said = f"{type(error).__name__}: {error}" + (f", line {line}" if line else "")
                        raise RubricError(where, kind, "a Jinja template that renders", said) from None

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all that the rubric says, texts of templates and pictures
        included. What it leaves at its default is left out: a new field of rubrics changes no hash of those
        without it."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(said, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def family(self, kind: str) -> Family:
        """Whether a kind of defect is broken structure or a contradiction of the prompt."""
        groups = self.defects.kinds if self.defects else {}
        for family, kinds in groups.items():
            if kind in kinds:
                return family
        allowed = ", ".join(kind for kinds in groups.values() for kind in kinds) or "none"
        raise InputError("kind", kind, allowed, "use a kind of the rubric")

    def combine(self, dimensions: Mapping[str, Any]) -> Any:
        """The overall score (1..5) that the rule makes of dimension scores (1..5): numbers, arrays, tensors.
        None for `slot`."""
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
        """The answer this rubric asks for. Without elements the member `elements` is left out.

        Raises:
            InputError: an element is empty, not Unicode, or given twice.
        """
        members: list[tuple[str, Node]] = []
        if self.elements and elements:
            members.append(("elements", _elements_node(elements)))
        for question in self.attributes:
            members.append((question.name, _labels(f"attributes.{question.name}", question.labels)))
        if self.defects:
            limit = self.defects.max if max_defects is None else max_defects
            members.append(("defects", _defects_node(self.defects, limit)))
        for dimension in self.dimensions:
            members.append((dimension.name, Choice(f"dimensions.{dimension.name}", SCALE)))
        members.append(("score", Choice("score", SCALE)))
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
    ) -> list[dict[str, Any]]:
        """Chat messages: one user turn with the pictures and the instructions, worked examples before it.

        The prompt and the elements are values of the template, put in once and never read as a template.

        Args:
            prompt, elements: as the form is filled for.
            brief: for a model that was tuned on the rubric: the brief template and no examples.
            depth: as the form is filled at.
            max_defects: regions asked for at most; default: as the rubric says.
            images: pictures of what is to be judged.
            facts: 0..1 each; told in steps of 10 from 0 to 1000, as coordinates are.
            reference: a reference picture stands before them.
        """
        limit = self.defects.max if self.defects and max_defects is None else max_defects
        turn = partial(self._turn, brief=brief, depth=depth, max_defects=limit)
        earlier = [] if brief else self.examples
        turns = []
        for example in earlier:
            turns.append(turn(example.prompt, example.elements, reference=bool(example.reference)))
            answer = self._answer_of(example, depth, limit)
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return [*turns, turn(prompt, elements, images=images, facts=facts or {}, reference=reference)]

    def pictures(self) -> Iterator[str]:
        """The pictures of the worked examples, in the order of their parts in the messages."""
        for example in self.examples:
            yield from filter(None, (example.reference, example.image))

    def _turn(
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
    ) -> dict[str, Any]:
        text = self._compiled[brief].render(
            rubric=self,
            prompt=prompt,
            elements=list(elements),
            depth=depth,
            max_defects=max_defects,
            reference=reference,
            facts=in_steps(facts),
        )
        if LANGUAGES[self.language] and depth == "verdict" and not brief:
            text += f"\n\n{LANGUAGES[self.language]}"
        shown: list[dict[str, Any]] = [{"type": "image"} for _ in range(images + reference)]
        return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}

    def _answer_of(self, example: Example, depth: Depth, max_defects: int | None) -> str:
        """The filled form of an example, with no more of it than is asked."""
        form = self.form(example.elements, max_defects).at_depth(depth)
        values = {key: example.answer[key] for key, _ in form.root.members}
        if "defects" in values:
            values["defects"] = values["defects"][:max_defects]
        return form.render(values)

    def said(self, what: Literal["picture", "region"], **known: Any) -> str:
        """An explanation by the rubric's own sentences; empty where it has none. See `Sentences`."""
        return " ".join(self._worded[what].render(**known).split())

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        templates = jinja()
        return templates.from_string(self.templates.full), templates.from_string(self.templates.brief)

    @cached_property
    def _worded(self) -> dict[str, Any]:
        templates = jinja()
        return {name: templates.from_string(text) for name, text in self.sentences.model_dump().items()}


def in_steps(facts: Mapping[str, float]) -> dict[str, int]:
    """Facts (0..1) as they are told: 0, 10, ... 1000, as coordinates are."""
    return {name: round(value * 100) * 10 for name, value in facts.items()}


def _check_facts(names: Sequence[str], reference: str) -> None:
    from judge.evidence import facts as evidence  # load OpenCV, which most rubrics can do without
    from judge.evidence import motion
    from judge.evidence import reference as against

    known = (*evidence.FACTS, *motion.FACTS, *against.FACTS)
    if strange := [name for name in names if name not in known]:
        raise ValueError(f"facts: {strange[0]!r} is not measured; known are {', '.join(known)}")
    if reference == "none" and (beside := [name for name in names if name in against.FACTS]):
        raise ValueError(f"facts: {beside[0]!r} compares with a reference, and `reference` is none")


def _labels(name: str, labels: Sequence[str]) -> Choice:
    return Choice(name, tuple(labels), quoted=True)


def _elements_node(elements: Sequence[str]) -> Object:
    for name in elements:
        if not name.strip() or any("\ud800" <= character <= "\udfff" for character in name):
            raise InputError("elements", name, "short Unicode text", "leave the element out or mend it")
        if list(elements).count(name) > 1:
            raise InputError("elements", name, "elements that differ", "give each element once")
    blanks = (Choice(f"elements.{index}", ("true", "false")) for index in range(len(elements)))
    return Object(tuple(zip(elements, blanks, strict=True)))


def _defects_node(defects: Defects, limit: int) -> Repeat:
    if not 0 <= limit <= 64:
        raise InputError("max_defects", limit, "0 to 64", "ask for fewer defects")
    kinds = [kind for group in defects.kinds.values() for kind in group]
    members: list[tuple[str, Node]] = [
        ("kind", _labels("kind", kinds)),
        ("box", Box("box")),
        ("severity", _labels("severity", get_args(Severity))),
    ]
    if defects.explanation:
        members.append(("explanation", Text("explanation", defects.explanation)))
    return Repeat("defects", Object(tuple(members)), 0, limit)
