"""The answer as JSON with blanks. One form renders training targets, compiles to a JSON schema, is filled
by a backend and checks the reply, so that training and serving cannot drift apart.

A form is a tree of `Object`, `Choice`, `Box`, `Text` and `Repeat`. Whoever fills it follows `Form.walk`, a
generator that yields the text in order as `Literal` pieces and blanks and is sent the answer to each blank:

    walk = form.walk()
    piece = next(walk)
    while True:
        piece = walk.send("" if isinstance(piece, Literal) else answer(piece))

The canonical text is compact JSON (`json.dumps(values, separators=(",", ":"), ensure_ascii=False)`). Each
piece of it is tokenised on its own, in training as in decoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from typing import Literal as OneOf

from judge.errors import ReplyError, RubricError
from judge.types import Depth

Role = OneOf["literal", "choice", "branch", "text"]
CORNERS = ("x1", "y1", "x2", "y2")
EXTENT = 1000
"""Boxes inside the model's text are relative: 0 is the left or upper edge, 1000 the right or lower one."""


def dumps(value: Any) -> str:
    """Canonical JSON text of a value: compact, Unicode as it is."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- Pieces: what a walk yields ------------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    """Text the form fixes; it costs no decision of the model."""

    text: str


@dataclass(frozen=True)
class Choice:
    """A blank that takes one of a few labels."""

    name: str
    """Path of the blank, for example `elements.0`; inside a `Repeat`, relative to its item."""
    labels: tuple[str, ...]
    """Raw JSON text, inserted verbatim. The first one is the placeholder of a one-pass read."""
    quoted: bool = False
    """The labels stand between quotes, which belong to the literals around the blank."""
    above: str = ""
    """Name of an earlier blank of the same item whose number the label must exceed."""
    then: str = field(default="", compare=False)
    """The literal that follows, for readers of labels that begin alike ("10", "100"); set by the walk."""

    @property
    def reported(self) -> tuple[str, ...]:
        """What reports of probabilities call the labels."""
        return self.labels

    def pieces(self) -> Iterator[Part]:
        quote: list[Part] = [Literal('"')] if self.quoted else []
        yield from [*quote, self, *quote]

    def schema(self) -> dict[str, Any]:
        if self.labels == ("true", "false"):
            return {"type": "boolean"}
        values = [json.loads(f'"{label}"' if self.quoted else label) for label in self.labels]
        whole = all(type(value) is int for value in values)
        kind = {"type": "string"} if self.quoted else {"type": "integer"} if whole else {}
        return {**kind, "enum": values}

    def check(self, value: Any, where: str) -> Any:
        if isinstance(value, str) is not self.quoted or self._label(value) not in self.labels:
            raise ReplyError(f"{where}: {_shown(value)} is none of {', '.join(self.labels)}")
        return value

    def answers(self, value: Any) -> Iterator[str]:
        yield self._label(value)

    def _label(self, value: Any) -> str:
        return dumps(value)[1:-1] if self.quoted else dumps(value)


@dataclass(frozen=True)
class Branch:
    """The blank before each item of a `Repeat`: open another item, or close the list."""

    name: str
    opening: str

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.opening, "]")

    @property
    def reported(self) -> tuple[str, ...]:
        return ("open", "close")


@dataclass(frozen=True)
class Text:
    """Free short text. The literal before it holds the opening quote; the closing one ends the blank."""

    name: str
    max_chars: int

    def pieces(self) -> Iterator[Part]:
        yield from (Literal('"'), self)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.max_chars}

    def check(self, value: Any, where: str) -> str:
        """The text, cut to its length: words carry no number, so a long explanation spoils no verdict."""
        if not isinstance(value, str):
            raise ReplyError(f"{where}: {_shown(value)} is not text")
        if not _encodable(value):
            raise ReplyError(f"{where}: {_shown(value)} holds half a character (a lone surrogate)")
        return value[: self.max_chars]

    def answers(self, value: str) -> Iterator[str]:
        yield dumps(value)[1:-1]


# -- Nodes: what a form is made of, beside Choice and Text ----------------------------------------------


@dataclass(frozen=True)
class Box:
    """Four integers x1, y1, x2, y2 in 0..1000, filled in steps of `grid`; replies may use any integer."""

    name: str
    grid: int = 10

    def pieces(self) -> Iterator[Part]:
        steps = tuple(str(n) for n in range(0, EXTENT + 1, self.grid))
        low, high = steps[:-1], steps[1:]
        yield Literal("[")
        for index, corner in enumerate(CORNERS):
            if index:
                yield Literal(",")
            above = f"{self.name}.{CORNERS[index - 2]}" if index >= 2 else ""
            yield Choice(f"{self.name}.{corner}", high if above else low, above=above)
        yield Literal("]")

    def schema(self) -> dict[str, Any]:
        corner = {"type": "integer", "minimum": 0, "maximum": EXTENT}
        return {"type": "array", "items": corner, "minItems": 4, "maxItems": 4}

    def check(self, value: Any, where: str) -> list[int]:
        if not isinstance(value, list) or len(value) != 4 or any(type(n) is not int for n in value):
            raise ReplyError(f"{where}: {_shown(value)} is not four integers")
        x1, y1, x2, y2 = value
        if min(value) < 0 or max(value) > EXTENT:
            raise ReplyError(f"{where}: {_shown(value)} leaves 0..{EXTENT}")
        if x1 >= x2 or y1 >= y2:
            raise ReplyError(f"{where}: {_shown(value)} is not x1 < x2 and y1 < y2")
        return value

    def answers(self, value: list[int]) -> Iterator[str]:
        yield from map(str, value)


@dataclass(frozen=True)
class Object:
    """A JSON object with fixed keys in a fixed order."""

    members: tuple[tuple[str, Node], ...]

    def __post_init__(self) -> None:
        keys = [key for key, _ in self.members]
        for key in keys:
            if keys.count(key) > 1:
                raise RubricError("form", key, "keys that differ", "give each element or dimension once")

    def pieces(self) -> Iterator[Part]:
        yield Literal("{")
        for index, (key, node) in enumerate(self.members):
            value: Iterator[Part] = node.pieces()
            yield Literal(f"{',' if index else ''}{dumps(key)}:")
            yield from value
        yield Literal("}")

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {key: node.schema() for key, node in self.members},
            "required": [key for key, _ in self.members],
            "additionalProperties": False,
        }

    def check(self, value: Any, where: str) -> dict[str, Any]:
        """The members in the form's order; a reply may give them in another."""
        if not isinstance(value, dict):
            raise ReplyError(f"{where or 'reply'}: {_shown(value)} is not an object")
        known = dict(self.members)
        if missing := [key for key in known if key not in value]:
            raise ReplyError(f"{where or 'reply'}: {_shown(missing[0])} is missing")
        if extra := [key for key in value if key not in known]:
            raise ReplyError(f"{where or 'reply'}: {_shown(extra[0])} was not asked for")
        return {key: node.check(value[key], f"{where}.{key}".lstrip(".")) for key, node in self.members}

    def answers(self, value: dict[str, Any]) -> Iterator[str]:
        for key, node in self.members:
            yield from node.answers(value[key])

    def where(self, keep: Callable[[Node], bool]) -> Object:
        """The same object with the kept members only, at every depth."""
        kept = ((key, node) for key, node in self.members if keep(node))
        return Object(tuple((key, n.where(keep) if isinstance(n, Object) else n) for key, n in kept))


@dataclass(frozen=True)
class Repeat:
    """A list of `min` to `max` objects. The literal before it holds `[`; `]` ends the blank."""

    name: str
    item: Object
    min: int = 0
    max: int = 3

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Pieces of one item after its opening brace, which the branch before it writes."""
        opening, *rest = self.item.pieces()
        return tuple(_merged(rest))

    def pieces(self) -> Iterator[Part]:
        yield from (Literal("["), self)

    def schema(self) -> dict[str, Any]:
        items = self.item.schema()
        return {"type": "array", "items": items, "minItems": self.min, "maxItems": self.max}

    def check(self, value: Any, where: str) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise ReplyError(f"{where}: {_shown(value)} is not a list")
        if not self.min <= len(value) <= self.max:
            raise ReplyError(f"{where}: {len(value)} items, allowed are {self.min} to {self.max}")
        return [self.item.check(item, f"{where}.{index}") for index, item in enumerate(value)]

    def answers(self, value: list[dict[str, Any]]) -> Iterator[str]:
        for index, item in enumerate(value):
            if index >= self.min:
                yield opening(index)
            yield from self.item.answers(item)
        if self.min <= len(value) < self.max:
            yield "]"


Blank = Choice | Branch | Text
Piece = Literal | Blank
Part = Literal | Choice | Text | Repeat
Node = Object | Choice | Box | Text | Repeat


# -- The form ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    """A stretch of the filled text that is tokenised on its own."""

    text: str
    role: Role
    blank: str = ""
    """Path of the blank this text fills; empty for a literal."""
    labels: tuple[str, ...] = field(default=(), repr=False)
    """What could have stood here: texts of the choice or branch; empty for literals and free text."""


@dataclass(frozen=True)
class Form:
    """A JSON answer with blanks; see the module's docstring."""

    root: Object

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The flat form: literals merged, so that every literal stretch is one piece."""
        return tuple(_merged(self.root.pieces()))

    def walk(self) -> Generator[Piece, str, None]:
        """Yield the pieces in order; each blank must be sent its answer (raw JSON text).

        A text blank is sent its content without the closing quote, which the filler writes itself.

        Raises:
            ReplyError: an answer that the blank does not allow.
        """
        return _walk(self.parts, "")

    def answers(self, values: dict[str, Any]) -> Iterator[str]:
        """What each blank of `walk` is sent to fill the form with these values. Raises `ReplyError`."""
        return self.root.answers(self.root.check(values, ""))

    def segments(self, values: dict[str, Any]) -> list[Segment]:
        """The filled text in stretches to tokenise; their texts joined are `render(values)`.

        Raises:
            ReplyError: the values do not fit the form, or a box lies off its grid.
        """
        answers = self.answers(values)
        walk, told, segments = self.walk(), "", list[Segment]()
        try:
            piece = next(walk)
            while True:
                told = "" if isinstance(piece, Literal) else next(answers)
                segments += _segments(piece, told)
                piece = walk.send(told)
        except StopIteration:
            return segments

    def render(self, values: dict[str, Any]) -> str:
        """The filled text: canonical JSON of the values. Raises `ReplyError` as `segments` does."""
        return "".join(segment.text for segment in self.segments(values))

    def parse(self, text: str) -> dict[str, Any]:
        """Read a reply: values in the form's order, free text cut to its length, any integer in boxes.

        Raises:
            ReplyError: not JSON, a member missing, doubled or not asked for, a label off the menu,
                a box out of range or with its corners in the wrong order, too few or too many items.
        """
        try:
            value = json.loads(text, object_pairs_hook=_undoubled)
        except RecursionError:
            raise ReplyError("reply: nested too deep") from None
        except ValueError as error:
            raise ReplyError(f"reply: not JSON ({error})") from None
        return self.root.check(value, "")

    def json_schema(self) -> dict[str, Any]:
        """What vLLM, xgrammar and OpenAI-compatible servers take; keys in the order they are asked."""
        return self.root.schema()

    def at_depth(self, depth: Depth) -> Form:
        """At `score`: the same form with choice blanks only, no lists and no free text."""
        if depth == "verdict":
            return self
        return Form(self.root.where(lambda node: isinstance(node, Object | Choice)))


def _walk(parts: Sequence[Part], prefix: str) -> Generator[Piece, str, None]:
    told: dict[str, str] = {}
    for index, part in enumerate(parts):
        match part:
            case Literal():
                yield part
            case Repeat():
                yield from _walk_items(part, prefix + part.name)
            case Text():
                yield replace(part, name=prefix + part.name)
            case Choice():
                labels = part.labels
                if part.above:
                    labels = tuple(label for label in labels if int(label) > int(told[part.above]))
                after = parts[index + 1]
                then = after.text if isinstance(after, Literal) else ""
                blank = replace(part, name=prefix + part.name, labels=labels, then=then)
                told[part.name] = yield from _ask(blank)


def _walk_items(repeat: Repeat, path: str) -> Generator[Piece, str, None]:
    for index in range(repeat.max):
        start = opening(index)
        if index < repeat.min:
            yield Literal(start)
        elif (yield from _ask(Branch(f"{path}.{index}.open", start))) == "]":
            return
        yield from _walk(repeat.parts, f"{path}.{index}.")
    yield Literal("]")


def _ask(blank: Choice | Branch) -> Generator[Piece, str, str]:
    answer = yield blank
    if answer not in blank.labels:
        raise ReplyError(f"{blank.name}: {_shown(answer)} is none of {', '.join(blank.labels)}")
    return answer


def _segments(piece: Piece, answer: str) -> list[Segment]:
    match piece:
        case Literal():
            return [Segment(piece.text, "literal")]
        case Text():
            content = [Segment(answer, "text", piece.name)] if answer else []
            return [*content, Segment('"', "text", piece.name)]
        case Branch():
            return [Segment(answer, "branch", piece.name, piece.labels)]
        case Choice():
            return [Segment(answer, "choice", piece.name, piece.labels)]


def opening(index: int) -> str:
    """How an item of a list begins."""
    return ",{" if index else "{"


def _merged(parts: Iterable[Part]) -> Iterator[Part]:
    """Join neighbouring literals into one."""
    text = ""
    for part in parts:
        if isinstance(part, Literal):
            text += part.text
            continue
        if text:
            yield Literal(text)
        text = ""
        yield part
    if text:
        yield Literal(text)


def _undoubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ReplyError(f"reply: {_shown(next(k for k in keys if keys.count(k) > 1))} is given twice")
    return members


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
