"""Read choices of a form in one forward pass: the generator of a row at depth `score`, and traced numbers."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from judge.backends.base import Reply
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.label_tree import ROOT, LabelTree
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
    ) -> ChoiceReader:
        """Lay out a form.

        Args:
            form: the form to read.
            tokenizer: the model's.
            values: values of the form, as in `Form.render`. Default: the first label of each blank.
            blanks: paths of the blanks to read. Default: all of them.

        Returns:
            The reader.

        Raises:
            InputError: the form has blanks that are no choices, and there are no values.
            ReplyError: the values do not fit the form.
        """
        reader, walk, last = cls(), form.walk(), ROOT
        answers = iter(()) if values is None else form.answers(values)
        try:
            piece = next(walk)
            while True:
                if isinstance(piece, Literal):
                    last, answer = reader._append_texts([piece.text], tokenizer, last), ""
                elif values is None and not isinstance(piece, Choice):
                    raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
                elif isinstance(piece, Text):
                    answer = next(answers)
                    last = reader._append_texts([answer, '"'], tokenizer, last)
                else:
                    answer = piece.labels[0] if values is None else next(answers)
                    if blanks is None or piece.name in blanks:
                        last = reader._append_blank(piece, answer, tokenizer, last)
                    else:
                        last = reader._append_texts([answer], tokenizer, last)
                piece = walk.send(answer)
        except StopIteration:
            return reader

    def _append_texts(self, texts: Sequence[str], tokenizer: ChatTokenizer, last: int) -> int:
        for text in texts:
            last = self.step.append_chain(tokenizer.encode_text(text), last)
            self.pieces.append(text)
        return last

    def _append_blank(self, blank: Choice | Branch, answer: str, tokenizer: ChatTokenizer, last: int) -> int:
        tree, step = tokenizer.label_tree(blank.labels, next_literal(blank)), self.step
        label = blank.labels.index(answer)
        start, edges = step.append_label_tree(tree, last)
        self.blanks.append((blank, tree, slice(len(step.edges), len(step.edges) + len(edges))))
        step.edges += edges
        self.pieces.append(blank)
        nodes = tree.inner_nodes[label]
        return step.append_chain(tree.unfed_tokens[label], start + nodes[-1] if nodes else last)

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
            found[blank.name] = dict(zip(blank.reported_labels, logs.sum(dim=1).softmax(dim=0), strict=True))
        return found


def read_choices(form: Form, tokenizer: ChatTokenizer) -> RowProgram:
    """Read every choice of a form in one step, with the first label in each blank before it.

    Args:
        form: a form of choice blanks only.
        tokenizer: the model's.

    Yields:
        The one step of the row.

    Returns:
        The most likely label of each blank, and the probabilities.
    """
    reader = ChoiceReader.for_form(form, tokenizer)
    scores = check_not_nan((yield reader.step), "reply")
    reply, best_labels = Reply(""), {}
    for blank, tree, part in reader.blanks:
        probabilities = tree.label_probabilities(scores[part])
        reply.probabilities[blank.name] = report_probabilities(blank, probabilities)
        best_labels[blank.name] = blank.labels[int(probabilities.argmax())]
    pieces = reader.pieces
    reply.text = "".join(piece if isinstance(piece, str) else best_labels[piece.name] for piece in pieces)
    return reply
