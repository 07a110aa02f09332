"""The nodes that a form consists of, and the pieces that a walk over it yields.

A form is a tree of `Object`, `Choice`, `Box`, `Text` and `Repeat` nodes. Each node knows its flat text
(`flatten`), its JSON schema (`schema`), how to check a value (`check`) and what its blanks are filled with
for a value (`answers`). `judge.rubrics.form` combines them to a form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from judge.errors import ReplyError, RubricError
from judge.rubrics.layouts import COMPACT, Layout

BOX_CORNERS = ("x1", "y1", "x2", "y2")
COORDINATE_MAX = 1000
"""Coordinates in the model's text are relative: 0 is the left or upper edge, 1000 the right or lower edge."""


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of a value: compact, with Unicode characters unescaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- Pieces: yielded by `Form.walk` --------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    """Text that the form fixes; the model decides nothing here."""

    text: str


@dataclass(frozen=True)
class Choice:
    """A blank that takes one of a few labels."""

    name: str
    """Path of the blank, for example `elements.0`; inside a `Repeat`, relative to its item."""
    labels: tuple[str, ...]
    """Raw JSON text, inserted verbatim. The first label is the placeholder of a one-pass read."""
    quoted: bool = False
    """The labels stand between quotes, which belong to the literals around the blank."""
    greater_than: str = ""
    """Name of an earlier blank of the same item; the label must be a greater number than its label."""
    next_literal: str = field(default="", compare=False)
    """The literal after the blank, which tells labels with a common beginning apart ("10", "100"). Set by the
    walk."""

    @property
    def reported_labels(self) -> tuple[str, ...]:
        """Names of the labels in reported probabilities."""
        return self.labels

    def flatten(self, layout: Layout = COMPACT, level: int = 0) -> Iterator[Part]:
        """Yield the blank, between quotes if its labels are quoted."""
        quote: list[Part] = [Literal('"')] if self.quoted else []
        yield from [*quote, self, *quote]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        if self.labels == ("true", "false"):
            return {"type": "boolean"}
        values = [json.loads(f'"{label}"' if self.quoted else label) for label in self.labels]
        all_integers = all(type(value) is int for value in values)
        kind = {"type": "string"} if self.quoted else {"type": "integer"} if all_integers else {}
        return {**kind, "enum": values}

    def check(self, value: Any, path: str) -> Any:
        """Return the value if it is one of the labels; raise `ReplyError` otherwise."""
        if isinstance(value, str) is not self.quoted or self._to_label(value) not in self.labels:
            raise ReplyError(f"{path}: {short_repr(value)} is not one of {', '.join(self.labels)}")
        return value

    def answers(self, value: Any) -> Iterator[str]:
        """Yield the label of the value."""
        yield self._to_label(value)

    def _to_label(self, value: Any) -> str:
        return canonical_json(value)[1:-1] if self.quoted else canonical_json(value)


@dataclass(frozen=True)
class Branch:
    """The blank before each item of a `Repeat`: begin another item, or close the list."""

    name: str
    opening: str
    """Text that begins an item."""
    closing: str = "]"
    """Text that closes the list."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The texts that begin an item and close the list."""
        return (self.opening, self.closing)

    @property
    def reported_labels(self) -> tuple[str, ...]:
        """Names of the labels in reported probabilities."""
        return ("open", "close")

    def to_label(self, answer: str) -> str:
        """Return the label with the meaning of an answer that has other white space."""
        return self.closing if answer.strip() == "]" else self.opening


@dataclass(frozen=True)
class Text:
    """A blank of short free text, between an opening quote in the literal before it and a closing quote."""

    name: str
    max_chars: int

    def flatten(self, layout: Layout = COMPACT, level: int = 0) -> Iterator[Part]:
        """Yield the opening quote and the blank."""
        yield from (Literal('"'), self)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        return {"type": "string", "maxLength": self.max_chars}

    def check(self, value: Any, path: str) -> str:
        """Return the text, cut to `max_chars`; raise `ReplyError` if it is no text or cannot be encoded.

        A text carries no number, so a text that is too long does not make a verdict unusable.
        """
        if not isinstance(value, str):
            raise ReplyError(f"{path}: {short_repr(value)} is not text")
        if not is_encodable(value):
            raise ReplyError(f"{path}: {short_repr(value)} contains a lone surrogate (half a character)")
        return value[: self.max_chars]

    def answers(self, value: str) -> Iterator[str]:
        """Yield the text as JSON without quotes."""
        yield canonical_json(value)[1:-1]


# -- Nodes that contain blanks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """Four whole numbers x1, y1, x2, y2: multiples of `grid` in blanks, any whole number in replies.

    The rubrics ask for relative coordinates. A backend asks for what its model writes instead, see
    `judge.backends.box_forms`.
    """

    name: str
    grid: int = 10
    width: int = COORDINATE_MAX
    """Greatest horizontal coordinate."""
    height: int = COORDINATE_MAX
    """Greatest vertical coordinate."""
    y_first: bool = False
    """The order is y1, x1, y2, x2."""

    @property
    def corners(self) -> tuple[str, ...]:
        """Names of the coordinates in the order in which they are written."""
        x1, y1, x2, y2 = BOX_CORNERS
        return (y1, x1, y2, x2) if self.y_first else BOX_CORNERS

    def flatten(self, layout: Layout = COMPACT, level: int = 0) -> Iterator[Part]:
        """Yield the brackets, the commas and one blank for each corner coordinate."""
        corners, is_inline = self.corners, layout.inline_boxes or not layout.indent
        yield Literal("[" if is_inline else f"[{layout.new_line(level + 1)}")
        for index, corner in enumerate(corners):
            if index:
                yield Literal(layout.comma if is_inline else layout.separator(level + 1))
            opposite = f"{self.name}.{corners[index - 2]}" if index >= 2 else ""
            steps = _coordinates(self._limit(corner), self.grid)
            yield Choice(
                f"{self.name}.{corner}", steps[1:] if opposite else steps[:-1], greater_than=opposite
            )
        yield Literal("]" if is_inline else f"{layout.new_line(level)}]")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        corner = {"type": "integer", "minimum": 0, "maximum": max(self.width, self.height)}
        return {"type": "array", "items": corner, "minItems": 4, "maxItems": 4}

    def check(self, value: Any, path: str) -> list[int]:
        """Return the box; raise `ReplyError` unless it is four integers in range and in order."""
        if not isinstance(value, list) or len(value) != 4 or any(type(n) is not int for n in value):
            raise ReplyError(f"{path}: {short_repr(value)} is not four integers")
        named = dict(zip(self.corners, value, strict=True))
        if min(value) < 0 or any(n > self._limit(corner) for corner, n in named.items()):
            limits = sorted({self.width, self.height})
            allowed = f"0..{limits[0]}" if len(limits) == 1 else f"x 0..{self.width}, y 0..{self.height}"
            raise ReplyError(f"{path}: {short_repr(value)} is outside {allowed}")
        if named["x1"] >= named["x2"] or named["y1"] >= named["y2"]:
            raise ReplyError(f"{path}: {short_repr(value)} is not x1 < x2 and y1 < y2")
        return value

    def answers(self, value: list[int]) -> Iterator[str]:
        """Yield the four coordinates."""
        yield from map(str, value)

    def _limit(self, corner: str) -> int:
        return self.width if corner.startswith("x") else self.height


@lru_cache(maxsize=256)
def _coordinates(limit: int, grid: int) -> tuple[str, ...]:
    return tuple(map(str, range(0, limit + 1, grid)))


@dataclass(frozen=True)
class Object:
    """A JSON object with fixed keys in a fixed order."""

    members: tuple[tuple[str, Node], ...]

    def __post_init__(self) -> None:
        keys = [key for key, _ in self.members]
        for key in keys:
            if keys.count(key) > 1:
                raise RubricError("form", key, "keys that differ", "give each element or dimension once")

    def flatten(self, layout: Layout = COMPACT, level: int = 0) -> Iterator[Part]:
        """Yield braces, keys and the parts of each member."""
        yield Literal("{")
        for index, (key, node) in enumerate(self.members):
            value: Iterator[Part] = node.flatten(layout, level + 1)
            before = layout.separator(level + 1) if index else layout.new_line(level + 1)
            yield Literal(f"{before}{canonical_json(key)}{layout.colon}")
            yield from value
        yield Literal(f"{layout.new_line(level) if self.members else ''}}}")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        return {
            "type": "object",
            "properties": {key: node.schema() for key, node in self.members},
            "required": [key for key, _ in self.members],
            "additionalProperties": False,
        }

    def check(self, value: Any, path: str) -> dict[str, Any]:
        """Return the members in the form's order, whatever their order in the reply.

        Raises:
            ReplyError: a member is missing, is not part of the form, or has an unusable value.
        """
        if not isinstance(value, dict):
            raise ReplyError(f"{path or 'reply'}: {short_repr(value)} is not an object")
        known = dict(self.members)
        if missing := [key for key in known if key not in value]:
            raise ReplyError(f"{path or 'reply'}: {short_repr(missing[0])} is missing")
        if extra := [key for key in value if key not in known]:
            raise ReplyError(f"{path or 'reply'}: {short_repr(extra[0])} is not a member of the form")
        return {key: node.check(value[key], f"{path}.{key}".lstrip(".")) for key, node in self.members}

    def answers(self, value: dict[str, Any]) -> Iterator[str]:
        """Yield the answers of each member in order."""
        for key, node in self.members:
            yield from node.answers(value[key])

    def map_boxes(self, convert: Callable[[Box], Box]) -> Object:
        """Return the object with every box, at any depth, converted."""
        return Object(tuple((key, _map_boxes(node, convert)) for key, node in self.members))

    def filter(self, predicate: Callable[[Node], bool]) -> Object:
        """Return the object without the members, at any depth, for which the predicate is false."""
        kept = ((key, node) for key, node in self.members if predicate(node))
        return Object(tuple((key, n.filter(predicate) if isinstance(n, Object) else n) for key, n in kept))


@dataclass(frozen=True)
class Repeat:
    """A list of `min` to `max` objects. The literal before it holds `[`; the closing `]` ends it."""

    name: str
    item: Object
    min: int = 0
    max: int = 3
    layout: Layout = field(default=COMPACT, repr=False)
    """White space of the list. Set by `flatten`."""
    level: int = field(default=0, repr=False)
    """Level of nesting of the closing bracket. Set by `flatten`."""

    @cached_property
    def item_parts(self) -> tuple[Part, ...]:
        """Parts of one item after its opening brace, which the branch before the item writes."""
        _, first, *rest = self.item.flatten(self.layout, self.level + 1)
        assert isinstance(
            first, Literal
        )  # the key of the first member, after white space that the branch has
        return tuple(merge_literals([Literal(first.text.lstrip()), *rest]))

    def flatten(self, layout: Layout = COMPACT, level: int = 0) -> Iterator[Part]:
        """Yield the opening bracket and the list."""
        yield from (Literal("["), replace(self, layout=layout, level=level))

    def item_opening(self, index: int) -> str:
        """Return the text that begins the item of this index, up to its first key."""
        return self.layout.item_opening(index, self.level + 1)

    def closing(self, count: int) -> str:
        """Return the text that closes the list after so many items."""
        return self.layout.list_end(count, self.level)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        items = self.item.schema()
        return {"type": "array", "items": items, "minItems": self.min, "maxItems": self.max}

    def check(self, value: Any, path: str) -> list[dict[str, Any]]:
        """Return the items; raise `ReplyError` if their number or one of them is not allowed."""
        if not isinstance(value, list):
            raise ReplyError(f"{path}: {short_repr(value)} is not a list")
        if not self.min <= len(value) <= self.max:
            raise ReplyError(f"{path}: {len(value)} items, allowed are {self.min} to {self.max}")
        return [self.item.check(item, f"{path}.{index}") for index, item in enumerate(value)]

    def answers(self, value: list[dict[str, Any]]) -> Iterator[str]:
        """Yield the answers of the branches and items in order."""
        for index, item in enumerate(value):
            if index >= self.min:
                yield item_opening(index)
            yield from self.item.answers(item)
        if self.min <= len(value) < self.max:
            yield "]"


Blank = Choice | Branch | Text
"""A piece that the model fills."""
Piece = Literal | Blank
"""What `Form.walk` yields."""
Part = Literal | Choice | Text | Repeat
"""What the flat form consists of; a `Repeat` becomes branches and items in a walk."""
Node = Object | Choice | Box | Text | Repeat
"""What the tree of a form consists of."""


def _map_boxes(node: Node, convert: Callable[[Box], Box]) -> Node:
    match node:
        case Box():
            return convert(node)
        case Object():
            return node.map_boxes(convert)
        case Repeat():
            return replace(node, item=node.item.map_boxes(convert))
    return node


def item_opening(index: int) -> str:
    """Return the text that begins the item of this index in a list."""
    return ",{" if index else "{"


def merge_literals(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts with neighbouring literals joined into one."""
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


def is_encodable(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8, that is, whether it has no lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def short_repr(value: Any) -> str:
    """Return the `repr` of a value on one line of at most 60 characters, for errors."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
