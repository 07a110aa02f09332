"""Fill a form from left to right in the model's own tokens, whatever engine runs the model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from judge.backends.base import Reply, Request
from judge.backends.decoding.natural.alternatives import Boundary, Read, ReadResult
from judge.backends.decoding.natural.continuations import (
    continuations,
    following_literal,
    literals_after,
    texts_after,
)
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.backends.decoding.program import report_probabilities
from judge.errors import InputError, ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Text
from judge.rubrics.layouts import LAYOUTS, Layout

QUOTE = b'"'


@dataclass
class Write:
    """An operation of a row: feed tokens, then write free text up to the token that closes it."""

    commit: list[int]
    """Tokens that are fed for good."""
    beginning: int
    """The token that the tokenizer would write next, with the end of the literal before the text. The model
    may write a longer one, which begins with the same bytes."""
    max_chars: int
    """Greatest number of characters of the text."""
    endings: tuple[bytes, ...]
    """What the closing token may hold after the closing quote, besides nothing."""
    blank: str
    """Path of the blank, for errors."""


Operation = Read | Write
FormProgram = Generator[Operation, Any, Reply]
"""A form that is being filled: yields operations and is sent, for a `Read`, a `ReadResult`; for a `Write`,
the tokens that were written, from `Write.beginning` on to the one that holds the closing quote. All of these
but the last count as fed."""


def fill_form(form: Form, vocabulary: TokenTable, layouts: Sequence[Layout]) -> FormProgram:
    """Fill a form, with the most likely label at each choice and argmax in free text.

    Args:
        form: the form to fill.
        vocabulary: the model's.
        layouts: layouts that the model may write; the one that it finds likeliest at the beginning is taken.

    Yields:
        Operations.

    Returns:
        The filled form, with the probabilities of its choices and the mass of their labels.
    """
    filler = _FormFiller(form, Boundary(vocabulary))
    is_begun = len(layouts) > 1
    if is_begun:
        layouts = [(yield from filler.choose_layout(layouts))]
    filler.form = form.in_layout(layouts[0])
    walk = filler.form.walk()
    try:
        piece = next(walk)
        while True:
            match piece:
                case Literal(text):
                    answer = ""
                    filler.append(text, is_pending=is_begun)
                    is_begun = False
                case Text():
                    answer = yield from filler.write_text(piece)
                case _:
                    answer = yield from filler.choose_label(piece)
            piece = walk.send(answer)
    except StopIteration:
        return filler.reply


def read_layout(form: Form, vocabulary: TokenTable, layouts: Sequence[Layout]) -> FormProgram:
    """Read which layout a model finds likeliest at the beginning of a form.

    Args:
        form: the form.
        vocabulary: the model's.
        layouts: the layouts to compare.

    Yields:
        Operations.

    Returns:
        A reply whose text is the index of the layout.
    """
    layout = yield from _FormFiller(form, Boundary(vocabulary)).choose_layout(layouts)
    return Reply(str(layouts.index(layout)))


@dataclass
class _FormFiller:
    """The state of a form that is being filled."""

    form: Form
    boundary: Boundary
    answers: list[str] = field(default_factory=list)
    """Answers of the blanks before."""
    reply: Reply = field(default_factory=lambda: Reply("", label_mass={}))

    def append(self, text: str, *, is_pending: bool = False) -> None:
        """Append decided text, unless the boundary has it already."""
        self.boundary.pending += b"" if is_pending else text.encode()
        self.reply.text += text

    def choose_layout(self, layouts: Sequence[Layout]) -> Generator[Read, ReadResult, Layout]:
        """Compare the layouts by what the form begins with; that of the likeliest is then pending."""
        forms = [self.form.in_layout(layout) for layout in layouts]
        openings = [following_literal(form, ()) for form in forms]
        shares = yield from self.boundary.choose(
            openings, [b""] * len(forms), lambda index: continuations(forms[index], ()), "layout"
        )
        return layouts[int(shares.probabilities.argmax())]

    def choose_label(self, blank: Choice | Branch) -> Generator[Read, ReadResult, str]:
        """Choose the most likely label and report the probabilities of all."""
        labels = blank.labels
        if len(labels) == 1:
            self.reply.probabilities[blank.name] = {blank.reported_labels[0]: 1.0}
            self.append(labels[0])
            chosen = labels[0]
        else:
            following = literals_after(self.form, self.answers, blank)
            shares = yield from self.boundary.choose(
                [label.encode() for label in labels],
                following,
                lambda index: texts_after(self.form, self.answers, labels[index], following[index]),
                blank.name,
            )
            self.reply.probabilities[blank.name] = report_probabilities(blank, shares.probabilities)
            assert self.reply.label_mass is not None
            self.reply.label_mass[blank.name] = shares.mass
            chosen = labels[int(shares.probabilities.argmax())]
            self.append(chosen, is_pending=True)
        self.answers.append(chosen)
        return chosen

    def write_text(self, blank: Text) -> Generator[Write, Sequence[int], str]:
        """Write a text; its closing quote, and nothing after it, is then pending."""
        boundary, vocabulary = self.boundary, self.boundary.vocabulary
        *commit, beginning = boundary.encode(boundary.pending)
        endings = vocabulary.closing_endings(continuations(self.form, [*self.answers, ""]))
        boundary.advance(commit, b"")
        tokens = yield Write(commit, beginning, blank.max_chars, endings, blank.name)
        text, start = vocabulary.text(tokens), len(vocabulary.token_bytes(beginning))
        end = text.find(QUOTE, start)
        if end < 0:
            raise ReplyError(f"{blank.name}: not closed after {len(tokens)} tokens")
        fed = list(tokens[:-1])
        boundary.advance(fed, text[len(vocabulary.text(fed)) : end + 1])
        answer = text[start:end].decode("utf-8", "replace")
        self.append(f'{answer}"', is_pending=True)
        self.answers.append(answer)
        return answer


def check_choices_only(request: Request) -> Request:
    """Return a request if its form has choice blanks only.

    Raises:
        InputError: the form has other blanks.
    """
    for part in request.form.parts:
        if not isinstance(part, Literal | Choice):
            raise InputError("form", part.name, "choice blanks", 'use form.at_depth("score")')
    return request


def resolve_tokens(tokens: str, layout: str, trained: str, is_brief: bool) -> tuple[str, tuple[Layout, ...]]:
    """Check the options `tokens` and `layout` of a backend.

    Args:
        tokens: `auto`, `pieces` or `natural`.
        layout: `auto`, or the name of a layout.
        trained: how the model was trained, `pieces` or `natural`.
        is_brief: the model was fine-tuned on the rubrics, whose layout is compact.

    Returns:
        `pieces` or `natural`, and the layouts that the model may write.

    Raises:
        InputError: an option is not usable.
    """
    if tokens not in ("auto", "pieces", "natural"):
        raise InputError("tokens", tokens, "auto, pieces or natural", "leave it out")
    if layout not in ("auto", *LAYOUTS):
        raise InputError("layout", layout, f"auto, {', '.join(LAYOUTS)}", "leave it out")
    tokens = trained if tokens == "auto" else tokens
    if tokens == "pieces" and layout not in ("auto", "compact"):
        raise InputError("layout", layout, "compact for a model with tokens = pieces", "leave it out")
    if layout == "auto" and (is_brief or tokens == "pieces"):
        layout = "compact"
    known = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    return tokens, tuple(one for layouts in known for one in layouts)
