"""Fill a form from left to right: the generator of a row at depth `verdict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from judge.backends.base import Reply
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.label_tree import ROOT, LabelTree
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import (
    RowProgram,
    StepInput,
    TextMask,
    check_not_nan,
    next_literal,
    report_probabilities,
)
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Text

MAX_ONE_STEP_NODES = 8
"""A label tree with more inner tokens is read in two steps: the first tokens, then the likely branches."""
MIN_BRANCH_SHARE = 1e-5
"""A branch of such a tree is read only if its first token has at least this share of the probability of all
labels that were read whole. The labels on a branch that is not read share the probability of its first token
evenly."""
MAX_PREDICTED_TOKENS = 8
"""Greatest number of free-text tokens that are predicted in one step."""


def fill_form(
    form: Form, tokenizer: ChatTokenizer, text_mask: Callable[[int], TextMask], phrases: PhraseCache
) -> RowProgram:
    """Fill a form, with the most likely label at each choice and argmax in free text.

    Args:
        form: the form to fill.
        tokenizer: the model's.
        text_mask: returns the grammar of a text blank of so many characters.
        phrases: texts that the model often writes.

    Yields:
        The steps of the row.

    Returns:
        The filled form with the probabilities of its choices.
    """
    mass: dict[str, float] = {}
    walk, filler, reply, phrases = (
        form.walk(),
        _FormFiller(tokenizer),
        Reply("", label_mass=mass),
        phrases.child(),
    )
    try:
        piece = next(walk)
        while True:
            match piece:
                case Literal(text):
                    filler.pending += tokenizer.encode_text(text)
                    answer, written = "", text
                case Text():
                    answer = yield from filler.write_text(piece, text_mask(piece.max_chars), phrases)
                    written = f'{answer}"'
                case _:
                    probabilities, mass[piece.name] = yield from filler.choose_label(piece)
                    reply.probabilities[piece.name] = report_probabilities(piece, probabilities)
                    answer = written = piece.labels[int(probabilities.argmax())]
            reply.text += written
            piece = walk.send(answer)
    except StopIteration:
        return reply


@dataclass
class _FormFiller:
    """The state of a form that is being filled."""

    tokenizer: ChatTokenizer
    pending: list[int] = field(default_factory=list)
    """Tokens that are decided but not fed yet."""
    discarded: list[int] = field(default_factory=list)
    """Indexes of tokens of the last step that are no part of the answer."""

    def choose_label(self, blank: Choice | Branch) -> Generator[StepInput, Any, Any]:
        """Feed the pending tokens and the label tree, and choose the most likely label.

        Returns:
            (labels,) probabilities, and the probability of all labels together.
        """
        tree = self.tokenizer.label_tree(blank.labels, next_literal(blank))
        step = StepInput(discarded=self.discarded)
        last = step.append_chain(self.pending, ROOT)
        if len(tree.tokens) > MAX_ONE_STEP_NODES:
            scores, placed = yield from self._read_in_two_steps(tree, step, last, blank.name)
        else:
            start, step.edges = step.append_label_tree(tree, last)
            scores = check_not_nan((yield step), blank.name)
            placed = {node: start + node for node in range(len(tree.tokens))}
        probabilities = tree.label_probabilities(scores)
        chosen = int(probabilities.argmax())
        self.discarded = [index for node, index in placed.items() if node not in tree.inner_nodes[chosen]]
        self.pending = list(tree.unfed_tokens[chosen])
        return probabilities, tree.label_mass(scores)

    def _read_in_two_steps(
        self, tree: LabelTree, step: StepInput, last: int, blank: str
    ) -> Generator[StepInput, Any, tuple[Any, dict[int, int]]]:
        """Read the first tokens of the labels, then the likely branches in a step of their own.

        Args:
            tree: the labels.
            step: the pending tokens.
            last: index of the last of them, or `ROOT`.
            blank: path of the blank.

        Returns:
            The scores of all edges, and the index of each inner token in the second step.
        """
        step.edges = [(last, tree.edges[edge][1]) for edge in tree.root_edges]
        scores = tree.uniform_scores.copy()
        scores[tree.root_edges] = root_scores = check_not_nan((yield step), blank)
        self.discarded = []
        total = float(np.logaddexp.reduce(root_scores))
        while True:
            branches = StepInput(discarded=self.discarded)
            nodes = tree.select_nodes(root_scores, total + math.log(MIN_BRANCH_SHARE))
            placed = branches.append_branches(tree, nodes)
            if placed:
                read = [edge for edge, (node, _) in enumerate(tree.edges) if node in placed]
                branches.edges = [(placed[tree.edges[edge][0]], tree.edges[edge][1]) for edge in read]
                scores[read] = check_not_nan((yield branches), blank)
            # A likely first token may lead to no likely label. The other branches then count for more.
            total = tree.total_log_probability(scores, nodes)
            if len(tree.select_nodes(root_scores, total + math.log(MIN_BRANCH_SHARE))) <= len(nodes):
                return scores, placed
            self.discarded = list(placed.values())

    def write_text(self, blank: Text, mask: TextMask, phrases: PhraseCache) -> Generator[StepInput, Any, str]:
        """Write free text up to its closing quote, which stays pending.

        Predicted tokens are fed ahead, and kept as far as the model chooses the same tokens.

        Returns:
            The text without the quote.
        """
        written: list[int] = []
        while not written or self._is_open(written[-1]):
            predicted = list(takewhile(self._is_open, phrases.predict(written, MAX_PREDICTED_TOKENS)))
            step = StepInput(num_logits=1 + len(predicted), discarded=self.discarded)
            step.append_chain([*self.pending, *predicted], ROOT)
            rows = iter(check_not_nan((yield step), blank.name))
            self.discarded = []
            for index, logits in enumerate(rows):
                token = int(mask(written, logits).argmax())
                written.append(token)
                if predicted[index : index + 1] != [token]:
                    break
            used = len(step.tokens) - len(predicted) + index
            self.pending, self.discarded = [token], list(range(used, len(step.tokens)))
        phrases.add(written)
        return self.tokenizer.decode(written)[:-1]

    def _is_open(self, token: int) -> bool:
        """Return whether a text goes on after a token: the closing quote ends it."""
        return not self.tokenizer.token_text(token).endswith('"')
