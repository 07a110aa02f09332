"""The answer as a JSON text with blanks.

One form renders training targets, compiles to a JSON schema, is filled by a backend and checks the reply, so
training and serving use the same format.

A form is a tree of the nodes in `judge.rubrics.form_nodes`. A backend fills it with `Form.walk`, a generator
that yields the text in order as `Literal` pieces and blanks and must be sent the answer to each blank:

    walk = form.walk()
    piece = next(walk)
    while True:
        piece = walk.send("" if isinstance(piece, Literal) else answer(piece))

The canonical text is compact JSON (`json.dumps(values, separators=(",", ":"), ensure_ascii=False)`); a model
may write other white space, see `judge.rubrics.layouts`. Models of this project tokenise each piece of the
text separately, in training as in decoding; others get the text as their tokenizer writes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from typing import Literal as OneOf

from judge.errors import ReplyError
from judge.rubrics.form_nodes import (
    Branch,
    Choice,
    Literal,
    Object,
    Part,
    Piece,
    Repeat,
    Text,
    merge_literals,
    short_repr,
)
from judge.rubrics.layouts import COMPACT, Layout
from judge.types import Depth

Role = OneOf["literal", "choice", "branch", "text"]


@dataclass(frozen=True)
class Segment:
    """A piece of the filled text that is tokenised separately."""

    text: str
    role: Role
    blank: str = ""
    """Path of the blank that the text fills; empty for a literal."""
    labels: tuple[str, ...] = field(default=(), repr=False)
    """The allowed texts of the choice or branch; empty for literals and free text."""


@dataclass(frozen=True)
class Form:
    """A JSON answer with blanks; see the module's docstring."""

    root: Object
    layout: Layout = COMPACT
    """White space of the text."""

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The flat form, with neighbouring literals merged."""
        return tuple(merge_literals(self.root.flatten(self.layout)))

    def in_layout(self, layout: Layout) -> Form:
        """Return the same form with other white space.

        A walk then yields other texts, and other labels of branches.
        """
        return replace(self, layout=layout)

    def walk(self) -> Generator[Piece, str, None]:
        """Yield the pieces in order; each blank must be sent its answer (raw JSON text).

        A text blank is sent its content without the closing quote. The caller writes the closing quote
        itself.

        Raises:
            ReplyError: an answer is not one of the blank's labels.
        """
        return _walk_parts(self.parts, "")

    def answers(self, values: dict[str, Any]) -> Iterator[str]:
        """Yield the answers that `walk` must be sent, one for each blank, to fill the form with these values.

        Raises:
            ReplyError: the values do not fit the form.
        """
        return self.root.answers(self.root.check(values, ""))

    def segments(self, values: dict[str, Any]) -> list[Segment]:
        """Return the filled text in segments to tokenise; their texts joined are `render(values)`.

        Raises:
            ReplyError: the values do not fit the form, or a box is not on the grid.
        """
        answers = self.answers(values)
        walk, segments = self.walk(), list[Segment]()
        try:
            piece = next(walk)
            while True:
                answer = "" if isinstance(piece, Literal) else next(answers)
                if isinstance(piece, Branch):
                    answer = piece.to_label(answer)
                segments += _piece_segments(piece, answer)
                piece = walk.send(answer)
        except StopIteration:
            return segments

    def render(self, values: dict[str, Any]) -> str:
        """Return the filled text: the canonical JSON of the values.

        Raises:
            ReplyError: the values do not fit the form, or a box is not on the grid.
        """
        return "".join(segment.text for segment in self.segments(values))

    def parse(self, text: str) -> dict[str, Any]:
        """Parse a reply.

        Args:
            text: the JSON text of the reply. Members may stand in any order, boxes may have any integers.

        Returns:
            The values in the form's order, with free text cut to its maximum length.

        Raises:
            ReplyError: the text is not JSON, a member is missing, duplicated or unknown, a label is not
                allowed, a box is out of range or has its corners in the wrong order, or a list has too few or
                too many items.
        """
        try:
            value = json.loads(text, object_pairs_hook=_reject_duplicate_keys)
        except RecursionError:
            raise ReplyError("reply: nested too deeply") from None
        except ValueError as error:
            raise ReplyError(f"reply: not JSON ({error})") from None
        return self.root.check(value, "")

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema for vLLM, xgrammar and OpenAI-compatible servers, keys in form order."""
        return self.root.schema()

    def at_depth(self, depth: Depth) -> Form:
        """Return the form of a depth; `score` has the choice blanks only, no lists and no free text."""
        if depth == "verdict":
            return self
        return replace(self, root=self.root.filter(lambda node: isinstance(node, Object | Choice)))

    def without(self, names: Collection[str]) -> Form:
        """Return the form without the blanks, boxes and lists of some names."""
        if not names:
            return self
        return replace(
            self, root=self.root.filter(lambda node: isinstance(node, Object) or node.name not in names)
        )


def _walk_parts(parts: Sequence[Part], prefix: str) -> Generator[Piece, str, None]:
    """Walk parts whose blanks get the path `prefix` + name."""
    answers: dict[str, str] = {}
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
                if part.greater_than:
                    minimum = int(answers[part.greater_than])
                    labels = tuple(label for label in labels if int(label) > minimum)
                after = parts[index + 1]
                next_literal = after.text if isinstance(after, Literal) else ""
                blank = replace(part, name=prefix + part.name, labels=labels, next_literal=next_literal)
                answers[part.name] = yield from _ask_label(blank)


def _walk_items(repeat: Repeat, path: str) -> Generator[Piece, str, None]:
    for index in range(repeat.max):
        opening, closing = repeat.item_opening(index), repeat.closing(index)
        if index < repeat.min:
            yield Literal(opening)
        elif (yield from _ask_label(Branch(f"{path}.{index}.open", opening, closing))) == closing:
            return
        yield from _walk_parts(repeat.item_parts, f"{path}.{index}.")
    yield Literal(repeat.closing(repeat.max))


def _ask_label(blank: Choice | Branch) -> Generator[Piece, str, str]:
    """Yield the blank and return the label that is sent; raise `ReplyError` for another text."""
    answer = yield blank
    if answer not in blank.labels:
        raise ReplyError(f"{blank.name}: {short_repr(answer)} is not one of {', '.join(blank.labels)}")
    return answer


def _piece_segments(piece: Piece, answer: str) -> list[Segment]:
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


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ReplyError(f"reply: {short_repr(next(k for k in keys if keys.count(k) > 1))} is given twice")
    return members
