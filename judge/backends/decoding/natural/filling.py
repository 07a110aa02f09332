"""Fill a form from left to right in the model's own tokens, whatever engine runs the model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from judge.backends.base import Reply, Request
from judge.backends.decoding.natural.alternatives import Boundary, OpenChoice, Read, ReadResult
from judge.backends.decoding.natural.continuations import continuations, first_characters
from judge.backends.decoding.natural.drafts import FormDraft, open_blank
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.backends.decoding.program import report_probabilities
from judge.errors import InputError, ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Piece, Text
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


class OperationRunner(Protocol):
    """What runs the operations of a form on a model; its methods yield what the model is to do."""

    def read(self, operation: Read) -> Generator[Any, Any, ReadResult]:
        """Run a `Read`."""
        ...

    def write(self, operation: Write) -> Generator[Any, Any, list[int]]:
        """Run a `Write`; return the tokens of the text."""
        ...


def run_operations(program: FormProgram, runner: OperationRunner) -> Generator[Any, Any, Reply]:
    """Run a form to its end.

    Args:
        program: the form.
        runner: runs its operations.

    Yields:
        What the runner yields.

    Returns:
        The filled form.
    """
    try:
        operation = next(program)
        while True:
            result: Any
            if isinstance(operation, Read):
                result = yield from runner.read(operation)
            else:
                result = yield from runner.write(operation)
            operation = program.send(result)
    except StopIteration as done:
        reply: Reply = done.value
        return reply


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
    walks = _LayoutWalks.begin(form, layouts)
    while (piece := walks.piece) is not None:
        filler.form, filler.piece_count = walks.forms[0], walks.piece_count
        match piece:
            case Literal():
                answer = ""
                yield from filler.append_literal(walks)
            case Text():
                answer = yield from filler.write_text(piece)
            case _:
                answer = yield from filler.choose_label(piece)
        walks.send(answer)
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
    walks = _LayoutWalks.begin(form, layouts)
    yield from _FormFiller(form, Boundary(vocabulary)).append_literal(walks)
    return Reply(str(layouts.index(walks.forms[0].layout)))


@dataclass
class _LayoutWalks:
    """Walks over a form in several layouts; those that a model does not write are dropped on the way."""

    forms: list[Form]
    walks: list[Generator[Piece, str, None]]
    pieces: list[Piece]
    """The piece that each walk is at; empty at the end."""
    piece_count: int = 0
    """Number of pieces before."""

    @classmethod
    def begin(cls, form: Form, layouts: Sequence[Layout]) -> Self:
        """Begin a walk in each layout."""
        forms = [form.in_layout(layout) for layout in layouts]
        walks = [one.walk() for one in forms]
        return cls(forms, walks, [next(walk) for walk in walks])

    @property
    def piece(self) -> Piece | None:
        """The piece of the first layout; None at the end."""
        return self.pieces[0] if self.pieces else None

    @property
    def literals(self) -> list[str]:
        """The texts that the layouts have here, each once."""
        return list(dict.fromkeys(piece.text for piece in self.pieces if isinstance(piece, Literal)))

    def keep(self, literal: str) -> None:
        """Drop the layouts that have another text here."""
        kept = [n for n, piece in enumerate(self.pieces) if piece == Literal(literal)]
        self.forms, self.walks = [self.forms[n] for n in kept], [self.walks[n] for n in kept]
        self.pieces = [self.pieces[n] for n in kept]

    def send(self, answer: str) -> None:
        """Send the answer to every walk."""
        self.piece_count += 1
        try:
            self.pieces = [walk.send(answer) for walk in self.walks]
        except StopIteration:
            self.pieces = []


@dataclass
class _FormFiller:
    """The state of a form that is being filled."""

    form: Form
    boundary: Boundary
    answers: list[str] = field(default_factory=list)
    """Answers of the blanks before."""
    piece_count: int = 0
    """Number of pieces before, literals included."""
    expected: dict[str, str] = field(default_factory=dict)
    """Path of a blank -> the label that was the likeliest when it was last read ahead."""
    reply: Reply = field(default_factory=lambda: Reply("", label_mass={}))

    def append(self, text: str, *, is_pending: bool = False) -> None:
        """Append decided text, unless the boundary has it already."""
        self.boundary.pending += b"" if is_pending else text.encode()
        self.reply.text += text

    def append_literal(self, walks: _LayoutWalks) -> Generator[Read, ReadResult, None]:
        """Append a literal. If the layouts differ in it, the likeliest text is taken."""
        texts = walks.literals
        if len(texts) > 1:
            forms = dict(reversed(list(zip(map(_literal_text, walks.pieces), walks.forms, strict=True))))
            alternatives = [
                (text, start) for text in texts for start in first_characters(forms[text], self.answers)
            ]
            choice = self.boundary.open_choice(
                [text.encode() for text, _ in alternatives],
                [start for _, start in alternatives],
                lambda index: (b"",),
                "layout",
            )
            # No draft: in another layout than the one that is taken, all of it would be read in vain.
            shares = yield from choice.read()
            sums = {text: 0.0 for text in texts}
            for (text, _), share in zip(alternatives, shares.probabilities.tolist(), strict=True):
                sums[text] += share
            texts = [max(sums, key=lambda text: sums[text])]
            walks.keep(texts[0])
            self.append(texts[0], is_pending=True)
        else:
            self.append(texts[0])

    def choose_label(self, blank: Choice | Branch) -> Generator[Read, ReadResult, str]:
        """Choose the most likely label and report the probabilities of all."""
        labels = blank.labels
        if len(labels) == 1:
            self.reply.probabilities[blank.name] = {blank.reported_labels[0]: 1.0}
            self.append(labels[0])
            chosen = labels[0]
        else:
            choice = open_blank(self.boundary, self.form, self.answers, blank)
            shares = yield from choice.read(self._draft(choice))
            self.reply.probabilities[blank.name] = report_probabilities(blank, shares.probabilities)
            assert self.reply.label_mass is not None
            self.reply.label_mass[blank.name] = shares.mass
            chosen = labels[int(shares.probabilities.argmax())]
            self.append(chosen, is_pending=True)
        self.answers.append(chosen)
        return chosen

    def _draft(self, choice: OpenChoice) -> FormDraft:
        """Return what is read after a choice if every label is the expected one."""
        return FormDraft(
            choice, self.form, replace(choice.boundary), list(self.answers), self.piece_count, self.expected
        )

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


def _literal_text(piece: Piece) -> str:
    return piece.text if isinstance(piece, Literal) else ""


def check_choices_only(request: Request) -> Request:
    """Return a request if its form has choice blanks only.

    Raises:
        InputError: the form has other blanks.
    """
    for part in request.form.parts:
        if not isinstance(part, Literal | Choice):
            raise InputError("form", part.name, "choice blanks", 'use form.at_depth("score")')
    return request


def resolve_tokens(tokens: str, layout: str, trained: str, is_tuned: bool) -> tuple[str, tuple[Layout, ...]]:
    """Check the options `tokens` and `layout` of a backend.

    Args:
        tokens: `auto`, `pieces` or `natural`.
        layout: `auto`, or the name of a layout.
        trained: how the model was trained, `pieces` or `natural`.
        is_tuned: the model was fine-tuned on forms of this project, whose layout is compact.

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
    if layout == "auto" and (is_tuned or tokens == "pieces"):
        layout = "compact"
    known = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    return tokens, tuple(one for layouts in known for one in layouts)
