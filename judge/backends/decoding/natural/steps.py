"""Run the operations of a form as the steps of a row, for a model in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.natural.alternatives import Draft, Path, Read, ReadResult
from judge.backends.decoding.natural.filling import QUOTE, FormProgram, Write, run_operations
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import RowProgram, StepInput, TextMask, check_not_nan

MAX_PREDICTED_TOKENS = 8
"""Greatest number of free-text tokens that are predicted in one step."""
MAX_DRAFT_TOKENS = 256
"""Greatest number of tokens of a step that are fed ahead."""
DRAFT_TOKENS_ON_CPU = 16
"""The same on a CPU, for the step after one that fed ahead in vain. There a pass over 16 tokens takes a fifth
longer than one over 8, one over 64 more than twice as long (Qwen3-VL of 290 million weights)."""

MaskFactory = Callable[[int, bytes, tuple[bytes, ...]], TextMask]
"""Greatest number of characters, the bytes before the text, what may follow it -> the grammar of the text."""


def run_form(
    program: FormProgram,
    vocabulary: Vocabulary,
    text_mask: MaskFactory,
    phrases: PhraseCache,
    *,
    draft_tokens: int = MAX_DRAFT_TOKENS,
) -> RowProgram:
    """Run a form.

    Args:
        program: the form.
        vocabulary: the model's.
        text_mask: returns the grammar of a text blank.
        phrases: texts that the model often writes.
        draft_tokens: greatest number of tokens that are fed ahead, where an operation has a draft, after a
            draft that was wrong; 0 to feed none ahead at all. The number for the first draft is
            `MAX_DRAFT_TOKENS`. A draft that was right to its end doubles it for the next one.

    Yields:
        The steps of the row.

    Returns:
        The filled form.
    """
    return run_operations(program, _Runner(vocabulary, text_mask, phrases.child(), draft_tokens))


@dataclass
class _Runner:
    """What the last step of a row fed and read.

    Paths of tokens start at the base, which is what the row had fed for good before its last step.
    """

    vocabulary: Vocabulary
    text_mask: MaskFactory
    phrases: PhraseCache
    draft_tokens: int
    draft_limit: int = MAX_DRAFT_TOKENS
    """Greatest number of tokens that the next draft may feed."""
    drafted: int = 0
    """Number of operations of the last draft."""
    used: int = 0
    """Number of operations since then that needed no step."""
    fed: dict[Path, int] = field(default_factory=dict)
    """Path -> index of its last token in the last step."""
    fed_count: int = 0
    """Number of tokens of the last step."""
    committed: Path = ()
    """The tokens after the base that are fed for good."""
    scores: dict[Path, dict[int, float]] = field(default_factory=dict)
    """Path -> token -> its log-probability there."""
    rows: dict[Path, Any] = field(default_factory=dict)
    """Path -> (V,) logits there."""

    def read(self, operation: Read) -> Generator[StepInput, Any, ReadResult]:
        """Run a `Read`."""
        self.committed += tuple(operation.commit)
        nodes = [((*self.committed, *path), tokens) for path, tokens in operation.nodes]
        if (known := self._look_up(nodes)) is not None:
            self.used += 1
            return known
        start = len(self.committed)
        wanted = [(path[start:], tokens) for path, tokens in nodes if not self._is_known(path, tokens)]
        step = self._begin(any(not path for path, _ in wanted))
        batch = _StepReads(step, self.fed)
        for path, tokens in wanted:
            batch.append((*self.committed, *path), tokens)
        drafted = self._append_draft(operation.draft, batch)
        scores = yield step
        self.fed_count = len(step.tokens)
        for path, found in batch.split(scores):
            self.scores.setdefault(path, {}).update(found)
        if operation.draft is not None and drafted:
            operation.draft.learn([self._look_up(nodes) or () for nodes in drafted])
        result = self._look_up([((*self.committed, *path), tokens) for path, tokens in operation.nodes])
        assert result is not None
        return result

    def _append_draft(
        self, draft: Draft | None, batch: _StepReads
    ) -> list[list[tuple[Path, tuple[int, ...]]]]:
        """Append what is probably read next; returns its nodes."""
        drafted: list[list[tuple[Path, tuple[int, ...]]]] = []
        if draft is None or not self.draft_tokens:
            return drafted
        if self.drafted:
            was_right = self.used >= self.drafted
            self.draft_limit = min(2 * self.draft_limit, MAX_DRAFT_TOKENS) if was_right else self.draft_tokens
        limit = len(batch.step.tokens) + self.draft_limit
        before = self.committed
        for operation in draft.reads():
            before += tuple(operation.commit)
            nodes = [((*before, *path), tokens) for path, tokens in operation.nodes]
            if batch.count_with(nodes) > limit:
                break
            for path, tokens in nodes:
                batch.append(path, tokens)
            drafted.append(nodes)
        self.drafted, self.used = len(drafted), 0
        return drafted

    def write(self, operation: Write) -> Generator[StepInput, Any, list[int]]:
        """Run a `Write`. Predicted tokens are fed ahead, and kept as far as the model chooses the same."""
        vocabulary = self.vocabulary
        prefix = vocabulary.token_bytes(operation.beginning)
        mask = self.text_mask(operation.max_chars, prefix, operation.endings)
        self.committed += tuple(operation.commit)
        step = self._begin(True)
        written, text, predicted = list[int](), b"", [operation.beginning]
        while True:
            count = len(step.tokens)
            step.append_chain(predicted, count - 1 if count else ROOT)
            step.num_logits = 1 + len(predicted)
            rows = check_not_nan((yield step), operation.blank)
            self.fed_count = len(step.tokens)
            for index, logits in enumerate(rows):
                token = int(mask(written, logits.copy()).argmax())
                written.append(token)
                text += vocabulary.token_bytes(token)
                is_closed = QUOTE in text[len(prefix) :]
                if is_closed or predicted[index : index + 1] != [token]:
                    break
            used = count + index
            # The base is before the last token that was kept, which can so be fed again.
            self.committed = (step.tokens[used - 1],) if used else ()
            self.fed = {self.committed: used - 1} if used else {}
            self.scores, self.rows = {}, {self.committed: rows[index]}
            if is_closed:
                self.phrases.add(written)
                return written
            step = StepInput(discarded=list(range(used, len(step.tokens))))
            step.append_chain([token], ROOT)
            candidates = self.phrases.predict(written, MAX_PREDICTED_TOKENS)
            predicted = list(takewhile(lambda one: QUOTE not in vocabulary.token_bytes(one), candidates))

    def _begin(self, reads_boundary: bool) -> StepInput:
        """Begin a step that feeds what is not fed yet of the committed tokens, and move the base.

        Args:
            reads_boundary: what follows the last committed token is read. A token that was fed in an earlier
                step cannot be read, so this one is then fed again.
        """
        kept = 0
        while kept < len(self.committed) and self.committed[: kept + 1] in self.fed:
            kept += 1
        if reads_boundary and kept and kept == len(self.committed):
            kept -= 1
        assert self.committed or not reads_boundary or not self.fed_count, "the token is of the prompt"
        own = {self.fed[self.committed[:length]] for length in range(1, kept + 1)}
        step = StepInput(discarded=[n for n in range(self.fed_count) if n not in own])
        base, self.committed = self.committed[:kept], self.committed[kept:]
        self.scores = {path[kept:]: found for path, found in self.scores.items() if path[:kept] == base}
        self.rows = {path[kept:]: row for path, row in self.rows.items() if path[:kept] == base}
        self.fed = {}
        last = ROOT
        for length, token in enumerate(self.committed, 1):
            last = step.append_chain([token], last)
            self.fed[self.committed[:length]] = last
        return step

    def _is_known(self, path: Path, tokens: Sequence[int]) -> bool:
        return path in self.rows or (path in self.scores and self.scores[path].keys() >= set(tokens))

    def _look_up(self, nodes: Sequence[tuple[Path, tuple[int, ...]]]) -> ReadResult | None:
        """Return what was read at some nodes; None unless all of it was."""
        if not all(self._is_known(path, tokens) for path, tokens in nodes):
            return None
        return [self._scores_of(path, tokens) for path, tokens in nodes]

    def _scores_of(self, path: Path, tokens: Sequence[int]) -> NDArray[np.floating[Any]]:
        if path in self.rows:
            row = self.rows[path].astype(np.float64)
            scores: NDArray[np.floating[Any]] = row[list(tokens)] - np.logaddexp.reduce(row)
            return scores
        found = self.scores[path]
        return np.array([found[token] for token in tokens])


@dataclass
class _StepReads:
    """A step to which nodes are appended that are read."""

    step: StepInput
    fed: dict[Path, int]
    """Path -> index of its last token in the step."""
    reads: list[tuple[Path, tuple[int, ...]]] = field(default_factory=list)

    def append(self, path: Path, tokens: tuple[int, ...]) -> None:
        """Append a node, with the tokens on the way to it, and the tokens to read there."""
        parent = ROOT
        for length in range(1, len(path) + 1):
            if (node := self.fed.get(path[:length])) is None:
                node = self.fed[path[:length]] = self.step.append_chain(path[length - 1 : length], parent)
            parent = node
        self.reads.append((path, tokens))
        self.step.edges += [(parent, token) for token in tokens]

    def count_with(self, nodes: Sequence[tuple[Path, tuple[int, ...]]]) -> int:
        """Return the number of tokens of the step if some nodes were appended."""
        paths = {path[:length] for path, _ in nodes for length in range(1, len(path) + 1)}
        return len(self.step.tokens) + sum(path not in self.fed for path in paths)

    def split(self, scores: Any) -> Iterator[tuple[Path, dict[int, float]]]:
        """Yield the log-probabilities that were read at each node."""
        ends = np.cumsum([len(tokens) for _, tokens in self.reads])[:-1]
        for (path, tokens), found in zip(self.reads, np.split(scores, ends), strict=True):
            yield path, dict(zip(tokens, found.tolist(), strict=True))
