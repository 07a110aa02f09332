"""Read choices of a form in one forward pass: the generator of a row at depth `score`, and traced numbers."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from judge.backends.base import Reply
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.label_tree import ROOT, LabelTree
from judge.backends.decoding.natural.canonical import CanonicalText
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.backends.decoding.program import (
    RowProgram,
    StepInput,
    check_not_nan,
    next_literal,
    report_probabilities,
)
from judge.errors import InputError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Text


@dataclass
class ChoiceReader:
    """A form laid out as one step that reads the probabilities of some of its choices."""

    step: StepInput = field(default_factory=StepInput)
    """The tokens of the whole form, and the edges of the labels."""
    blanks: list[tuple[Choice | Branch, LabelTree, slice]] = field(default_factory=list)
    """Each blank to read, its label tree, and the slice of its edges among those of the step."""
    pieces: list[str | Choice | Branch] = field(default_factory=list)
    """The form in order: fixed text, and the blanks to read."""

    @classmethod
    def for_form(
        cls,
        form: Form,
        tokenizer: ChatTokenizer,
        values: dict[str, Any] | None = None,
        blanks: Container[str] | None = None,
        vocabulary: TokenTable | None = None,
    ) -> ChoiceReader:
        """Lay out a form.

        Args:
            form: the form to read.
            tokenizer: the model's.
            values: values of the form, as in `Form.render`. Default: the first label of each blank.
            blanks: paths of the blanks to read. Default: all of them.
            vocabulary: lay it out in natural tokens of this vocabulary. Default: in pieces.

        Returns:
            The reader.

        Raises:
            InputError: the form has blanks that are no choices, and there are no values.
            ReplyError: the values do not fit the form.
        """
        reader, walk = cls(), form.walk()
        layout = (
            _Pieces(reader, tokenizer) if vocabulary is None else _NaturalTokens(reader, form, vocabulary)
        )
        answers = iter(()) if values is None else form.answers(values)
        try:
            piece = next(walk)
            while True:
                if isinstance(piece, Literal):
                    layout.append(piece.text)
                    answer = ""
                elif values is None and not isinstance(piece, Choice):
                    raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
                elif isinstance(piece, Text):
                    answer = next(answers)
                    layout.append(answer)
                    layout.append('"')
                else:
                    answer = piece.labels[0] if values is None else next(answers)
                    if isinstance(piece, Branch):
                        answer = piece.to_label(answer)
                    if blanks is None or piece.name in blanks:
                        layout.append_blank(piece, answer)
                    else:
                        layout.append(answer)
                if not isinstance(piece, Literal):
                    layout.answers.append(answer)
                piece = walk.send(answer)
        except StopIteration:
            layout.finish()
            return reader

    def append_tree(self, blank: Choice | Branch, tree: LabelTree, last: int) -> int:
        """Append the labels of a blank after a token; returns the index of the first token of the tree."""
        start, edges = self.step.append_label_tree(tree, last)
        self.blanks.append((blank, tree, slice(len(self.step.edges), len(self.step.edges) + len(edges))))
        self.step.edges += edges
        self.pieces.append(blank)
        return start

    def probabilities(self, scores: Any) -> dict[str, dict[str, Any]]:
        """Compute the probabilities of the labels as tensors, with the gradient of the scores.

        Args:
            scores: (edges,) tensor of log-probabilities of the step's edges.

        Returns:
            Path of a blank -> label -> probability, a tensor without dimensions.
        """
        import torch

        found = {}
        for blank, tree, part in self.blanks:
            logs = torch.cat([scores[part], scores.new_zeros(1)])[torch.from_numpy(tree.paths)]
            shares = logs.sum(dim=1).softmax(dim=0)
            if tree.owners is not None:
                owners = torch.from_numpy(tree.owners).to(shares.device)
                shares = shares.new_zeros(len(blank.labels)).index_add(0, owners, shares)
            found[blank.name] = dict(zip(blank.reported_labels, shares, strict=True))
        return found


@dataclass
class _Pieces:
    """Lays out a form whose literals and labels are encoded one by one."""

    reader: ChoiceReader
    tokenizer: ChatTokenizer
    last: int = ROOT
    """Index of the last token."""
    answers: list[str] = field(default_factory=list)

    def append(self, text: str) -> None:
        """Append text that is not read."""
        self.last = self.reader.step.append_chain(self.tokenizer.encode_text(text), self.last)
        self.reader.pieces.append(text)

    def append_blank(self, blank: Choice | Branch, answer: str) -> None:
        """Append a blank that is read, and its answer."""
        tree, step = self.tokenizer.label_tree(blank.labels, next_literal(blank)), self.reader.step
        label = blank.labels.index(answer)
        start = self.reader.append_tree(blank, tree, self.last)
        nodes = tree.inner_nodes[label]
        self.last = step.append_chain(tree.unfed_tokens[label], start + nodes[-1] if nodes else self.last)

    def finish(self) -> None:
        """Do nothing: every token is appended."""


class _NaturalTokens:
    """Lays out a form in the tokens that the tokenizer would write."""

    def __init__(self, reader: ChoiceReader, form: Form, vocabulary: TokenTable) -> None:
        self.reader, self.form, self.text = reader, form, CanonicalText(vocabulary)
        self.last, self.answers = ROOT, list[str]()

    def append(self, text: str) -> None:
        """Append text that is not read."""
        self.text.append(text)
        self.reader.pieces.append(text)

    def append_blank(self, blank: Choice | Branch, answer: str) -> None:
        """Append a blank that is read, and its answer."""
        tokens, tree = self.text.append_blank(blank, self.form, self.answers, answer)
        self.last = self.reader.step.append_chain(tokens, self.last)
        self.reader.append_tree(blank, tree, self.last)

    def finish(self) -> None:
        """Append the tokens of the rest of the text."""
        self.reader.step.append_chain(self.text.finish(), self.last)


def read_choices(form: Form, tokenizer: ChatTokenizer, vocabulary: TokenTable | None = None) -> RowProgram:
    """Read every choice of a form in one step, with the first label in each blank before it.

    Args:
        form: a form of choice blanks only.
        tokenizer: the model's.
        vocabulary: read it in natural tokens of this vocabulary. Default: in pieces.

    Yields:
        The one step of the row.

    Returns:
        The most likely label of each blank, and the probabilities.
    """
    reader = ChoiceReader.for_form(form, tokenizer, vocabulary=vocabulary)
    scores = check_not_nan((yield reader.step), "reply")
    mass: dict[str, float] = {}
    reply, best_labels = Reply("", label_mass=mass), {}
    for blank, tree, part in reader.blanks:
        probabilities = tree.label_probabilities(scores[part])
        mass[blank.name] = tree.label_mass(scores[part])
        reply.probabilities[blank.name] = report_probabilities(blank, probabilities)
        best_labels[blank.name] = blank.labels[int(probabilities.argmax())]
    pieces = reader.pieces
    reply.text = "".join(piece if isinstance(piece, str) else best_labels[piece.name] for piece in pieces)
    return reply
