"""What is asked of a picture: the rubric, read from `prompts/rubrics/*.toml`, its form and its messages."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from judge.errors import InputError, RubricError
from judge.form import Box, Choice, Form, Node, Object, Repeat, Text
from judge.types import Depth, Family, Model, Severity

SCALE = ("1", "2", "3", "4", "5")
"""Labels of every dimension and of the score, worst first."""
RESERVED = ("elements", "defects", "score", "explanation")
"""Members of the answer that no attribute or dimension may be called."""

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


class Defects(Frozen):
    """What regions may be called, and how many are asked for."""

    max: Annotated[int, Field(ge=0, le=64)] = 3
    explanation: Chars = 120
    """Longest explanation of one region in characters; 0: none is asked."""
    kinds: dict[Family, tuple[Label, ...]]


class ScoreRule(Frozen):
    """How score depth, which reads a form without written evidence, gets its number."""

    rule: Literal["product", "mean", "slot"] = "slot"
    """product: 1 + 4 f1 (floor + (1 - floor) f2), each factor (dimension - 1) / 4; mean: the weighted mean
    of dimensions; slot: the score blank itself."""
    factors: tuple[Name, ...] = ()
    """The two dimensions of `product`, the gating one first."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.45
    weights: dict[Name, Annotated[float, Field(gt=0)]] = {}

    @property
    def dimensions(self) -> tuple[str, ...]:
        return {"product": self.factors, "mean": tuple(self.weights), "slot": ()}[self.rule]


class Templates(Frozen):
    """Texts of the Jinja templates of the user's turn. In a rubric file: names of their files."""

    full: str
    """For a general model: every instruction."""
    brief: str
    """For a model that was tuned on the rubric: the prompt and the elements only."""


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
    needs_prompt: bool = True
    elements: bool = True
    """Each element of the prompt is asked for by name."""
    attributes: tuple[Question, ...] = ()
    defects: Defects | None = None
    dimensions: tuple[Scale, ...] = ()
    explanation: Chars = 160
    """Longest explanation of the score in characters; 0: none is asked."""
    facts: tuple[str, ...] = ()
    """What is measured in the picture and told to the model; names of `judge.evidence.FACTS`."""
    details: Annotated[int, Field(ge=0, le=8)] = 0
    """Parts shown pixel for pixel, after the whole, to a model of one fixed input size."""
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
        if strange := _unmeasured(self.facts):
            from judge.evidence import FACTS

            raise ValueError(f"facts: {strange[0]!r} is not measured; known are {', '.join(FACTS)}")
        known = {dimension.name for dimension in self.dimensions}
        if unknown := [name for name in self.score.dimensions if name not in known]:
            raise ValueError(f"score.{self.score.rule} uses {unknown[0]!r}, which is no dimension")
        if self.score.rule == "product" and len(self.score.factors) != 2:
            raise ValueError("score.factors: product takes two dimensions")
        if self.score.rule == "mean" and not self.score.weights:
            raise ValueError("score.weights: mean takes at least one dimension")
        return self

    @classmethod
    def load(cls, source: str | Path | Rubric = "default") -> Rubric:
        """Read a rubric by name (`default`, `quality`) or from a `.toml` file.

        Templates are looked for beside the file, then among the package's own.

        Raises:
            RubricError: unknown name, unreadable or invalid file; names what is known and the nearest.
        """
        if isinstance(source, Rubric):
            return source
        path = _locate(source)
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
            for kind, name in raw.get("templates", {}).items():
                raw["templates"][kind] = _template(path, name)
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([path.name, *map(str, first["loc"])])
            raise RubricError(where, first.get("input"), first["msg"], "mend the file") from None
        except (OSError, ValueError) as error:
            raise RubricError("rubric", str(path), "a readable TOML file", f"mend it: {error}") from None

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all that the rubric says, template texts included. What it
        leaves at its default is left out: a new field of rubrics changes no hash of those without it."""
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

    def combine(self, dimensions: Mapping[str, float]) -> float | None:
        """The overall score (1..5) that the rule makes of dimension scores (1..5); None for `slot`."""
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
    ) -> list[dict[str, Any]]:
        """Chat messages: one user turn with the images and the instructions.

        The prompt and the elements are values of the template, put in once and never read as a template.
        Facts (0..1) are told in steps of 10 from 0 to 1000, as coordinates are.
        """
        limit = self.defects.max if self.defects and max_defects is None else max_defects
        text = self._compiled[brief].render(
            rubric=self,
            prompt=prompt,
            elements=list(elements),
            depth=depth,
            max_defects=limit,
            facts=in_steps(facts or {}),
        )
        shown: list[dict[str, Any]] = [{"type": "image"} for _ in range(images)]
        return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]

    def said(self, what: Literal["picture", "region"], **known: Any) -> str:
        """An explanation by the rubric's own sentences; empty where it has none. See `Sentences`."""
        return " ".join(self._worded[what].render(**known).split())

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        jinja = _jinja()
        return jinja.from_string(self.templates.full), jinja.from_string(self.templates.brief)

    @cached_property
    def _worded(self) -> dict[str, Any]:
        jinja = _jinja()
        return {name: jinja.from_string(text) for name, text in self.sentences.model_dump().items()}


def _jinja() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined)


def _unmeasured(facts: Sequence[str]) -> list[str]:
    if not facts:
        return []  # most rubrics, and measuring loads OpenCV
    from judge.evidence import FACTS

    return [name for name in facts if name not in FACTS]


def in_steps(facts: Mapping[str, float]) -> dict[str, int]:
    """Facts (0..1) as they are told: 0, 10, ... 1000, as coordinates are."""
    return {name: round(value * 100) * 10 for name, value in facts.items()}


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


def _prompts() -> Path:
    """The folder of templates: inside an installed package, or at the root of a checkout."""
    packaged = Path(str(files("judge") / "prompts"))
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "prompts"


def _locate(source: str | Path) -> Path:
    named = _prompts() / "rubrics" / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and named.is_file():
        return named
    if Path(source).is_file():
        return Path(source)
    known = sorted(path.stem for path in (_prompts() / "rubrics").glob("*.toml"))
    near = get_close_matches(str(source), known, n=1, cutoff=0.0)
    mend = f"did you mean {near[0]!r}?" if near else "reinstall the package: its prompts are missing"
    raise RubricError("rubric", str(source), f"{', '.join(known)}, or a .toml file", mend)


def _template(rubric: Path, name: str) -> str:
    beside, own = rubric.parent / name, _prompts() / name
    return (beside if beside.is_file() else own).read_text("utf-8").rstrip("\n")
