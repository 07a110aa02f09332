"""Run the operations of a form as the steps of a row, for a model in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.natural.alternatives import Path, Read, ReadResult
from judge.backends.decoding.natural.filling import QUOTE, FormProgram, Write, run_operations
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import RowProgram, StepInput, TextMask, check_not_nan

MAX_PREDICTED_TOKENS = 8
"""Greatest number of free-text tokens that are predicted in one step."""

MaskFactory = Callable[[int, bytes, tuple[bytes, ...]], TextMask]
"""Greatest number of characters, the bytes before the text, what may follow it -> the grammar of the text."""


def run_form(
    program: FormProgram, vocabulary: Vocabulary, text_mask: MaskFactory, phrases: PhraseCache
) -> RowProgram:
    """Run a form.

    Args:
        program: the form.
        vocabulary: the model's.
        text_mask: returns the grammar of a text blank.
        phrases: texts that the model often writes.

    Yields:
        The steps of the row.

    Returns:
        The filled form.
    """
    return run_operations(program, _Runner(vocabulary, text_mask, phrases.child()))


@dataclass
class _Runner:
    """What the last step of a row fed.

    A row cannot read what follows a token that it fed in an earlier step. So if nothing new is to be fed, the
    last token before the boundary is taken back and fed again.
    """

    vocabulary: Vocabulary
    text_mask: MaskFactory
    phrases: PhraseCache
    nodes: dict[Path, int] = field(default_factory=dict)
    """Path after the boundary -> index of its last token in the last step. A later operation may commit
    it."""
    spare: list[int] = field(default_factory=list)
    """Indexes of tokens of the last step that no later operation commits."""
    last: tuple[int, int] | None = None
    """The last token before the boundary and its index in the last step; None at the end of the prompt."""
    row: Any = None
    """(V,) logits after the boundary; None if they were not read as a whole."""

    def read(self, operation: Read) -> Generator[StepInput, Any, ReadResult]:
        """Run a `Read`."""
        if not operation.commit and self.row is not None and [path for path, _ in operation.nodes] == [()]:
            return [self._read_row(operation.nodes[0][1])]
        step, boundary = self._begin(operation.commit)
        placed: dict[Path, int] = {(): boundary}
        for path, _ in operation.nodes:
            for length in range(1, len(path) + 1):
                if path[:length] not in placed:
                    parent = placed[path[: length - 1]]
                    placed[path[:length]] = step.append_chain(path[length - 1 : length], parent)
        for path, tokens in operation.nodes:
            step.edges += [(placed[path], token) for token in tokens]
        scores = yield step
        self._finish(step, boundary)
        self.nodes = {path: index for path, index in placed.items() if path}
        return np.split(scores, np.cumsum([len(tokens) for _, tokens in operation.nodes])[:-1])

    def write(self, operation: Write) -> Generator[StepInput, Any, list[int]]:
        """Run a `Write`. Predicted tokens are fed ahead, and kept as far as the model chooses the same."""
        vocabulary = self.vocabulary
        prefix = vocabulary.token_bytes(operation.beginning)
        mask = self.text_mask(operation.max_chars, prefix, operation.endings)
        step, _ = self._begin(operation.commit)
        written, text, predicted = list[int](), b"", [operation.beginning]
        while True:
            count = len(step.tokens)
            step.append_chain(predicted, count - 1 if count else ROOT)
            step.num_logits = 1 + len(predicted)
            rows = check_not_nan((yield step), operation.blank)
            for index, logits in enumerate(rows):
                token = int(mask(written, logits.copy()).argmax())
                written.append(token)
                text += vocabulary.token_bytes(token)
                is_closed = QUOTE in text[len(prefix) :]
                if is_closed or predicted[index : index + 1] != [token]:
                    break
            used = count + index
            self._finish(step, used - 1)
            self.spare = list(range(used, len(step.tokens)))
            if is_closed:
                self.row = rows[index]
                self.phrases.add(written)
                return written
            step = StepInput(discarded=self.spare)
            step.append_chain([token], ROOT)
            candidates = self.phrases.predict(written, MAX_PREDICTED_TOKENS)
            predicted = list(takewhile(lambda one: QUOTE not in vocabulary.token_bytes(one), candidates))

    def _begin(self, commit: Sequence[int]) -> tuple[StepInput, int]:
        """Begin a step that feeds what is not fed yet of the committed tokens, at least one.

        Returns:
            The step, and the index of its last token or, at the end of the prompt, `ROOT`.
        """
        kept = 0
        while kept < len(commit) - 1 and tuple(commit[: kept + 1]) in self.nodes:
            kept += 1
        kept_paths = {tuple(commit[:length]) for length in range(1, kept + 1)}
        discarded = [*self.spare, *(n for path, n in self.nodes.items() if path not in kept_paths)]
        tokens = list(commit[kept:])
        if not commit and self.last is not None:
            tokens = [self.last[0]]
            discarded.append(self.last[1])
        step = StepInput(discarded=sorted(discarded))
        return step, step.append_chain(tokens, ROOT)

    def _finish(self, step: StepInput, boundary: int) -> None:
        """Note what a step fed up to the boundary."""
        self.nodes, self.spare, self.row = {}, [], None
        self.last = None if boundary == ROOT else (step.tokens[boundary], boundary)

    def _read_row(self, tokens: Sequence[int]) -> Any:
        row = self.row.astype(np.float64)
        return row[list(tokens)] - np.logaddexp.reduce(row)
