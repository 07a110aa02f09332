"""Sample a form under its grammar: the generator of a row whose every answer is a draw from the model.

A form is filled token by token. Wherever its grammar allows several tokens, one of them is drawn from the
model's distribution over the allowed ones (a `Decision`); everything else is fixed and costs no decision. So
every sample is valid, and nothing is spent on learning JSON. The policy that is trained is this one: the
softmax over the allowed tokens, at each decision. A coordinate that a vocabulary spells in digits is drawn
digit by digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from judge.backends.base import Reply
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.natural.alternatives import Boundary, common_prefix
from judge.backends.decoding.natural.continuations import continuations, literals_after
from judge.backends.decoding.natural.filling import QUOTE
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import RowProgram, StepInput, check_not_nan
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Text

Path = tuple[int, ...]
MAX_PREDICTED_TOKENS = 8
"""Greatest number of free-text tokens that are predicted in one step."""
THOUGHT = "thought"
"""Name of the decisions of a thought."""


@dataclass
class Decision:
    """One token that was drawn."""

    blank: str
    """Path of the blank that it belongs to."""
    node: int
    """Index of the token of the answer after which it was drawn; `ROOT`: after the prompt."""
    token: int
    log: float
    """Log-probability of the token among the allowed ones."""
    choices: tuple[int, ...] = ()
    """The allowed tokens; empty if `mask` has them."""
    mask: bytes = b""
    """The allowed tokens as packed bits, the first token in the lowest bit."""
    labels: tuple[str, ...] = ()
    """The label that each of `choices` decides, if this one decision decides the blank; else empty."""
    shares: tuple[float, ...] = ()
    """Probabilities of `choices`; empty for a mask."""


@dataclass
class Rollout:
    """One sampled form."""

    tokens: list[int] = field(default_factory=list)
    """The answer as it was fed, with a thought before it."""
    decisions: list[Decision] = field(default_factory=list)
    text: str = ""
    """The filled form."""


class SampleText(Protocol):
    """The text of a form as tokens."""

    def append(self, text: str) -> Sequence[int]:
        """Append fixed text; return the tokens that are known to follow."""
        ...

    def open_labels(
        self, blank: Choice | Branch, form: Form, answers: Sequence[str]
    ) -> tuple[Sequence[int], list[Path]]:
        """Return the tokens before the labels of a blank, and those of each label after them."""
        ...

    def close_labels(self, drawn: Path, label: str) -> Sequence[int]:
        """Go on with a label of which some tokens were fed; return the tokens that are known to follow."""
        ...

    def open_text(self, blank: Text, form: Form, answers: Sequence[str]) -> tuple[Sequence[int], Allowed]:
        """Return the tokens before a free text, and its grammar."""
        ...

    def closes(self, token: int) -> bool:
        """Return whether a token ends a text."""
        ...

    def close_text(self, written: Sequence[int]) -> tuple[str, int] | None:
        """Return the text and how many of its tokens are kept as they are; None if it goes on."""
        ...


Allowed = Callable[[Sequence[int]], NDArray[np.bool_]]
"""The grammar of one text: tokens written so far -> (V,) whether each token may follow."""


class PieceText:
    """Text of which each piece is encoded by itself, for a model of this project.

    Args:
        tokenizer: the model's.
        allowed: returns the grammar of a text of so many characters.
    """

    def __init__(self, tokenizer: ChatTokenizer, allowed: Callable[[int], Allowed]) -> None:
        self.tokenizer, self.allowed = tokenizer, allowed

    def append(self, text: str) -> Sequence[int]:
        """Append fixed text."""
        return self.tokenizer.encode_text(text)

    def open_labels(
        self, blank: Choice | Branch, form: Form, answers: Sequence[str]
    ) -> tuple[Sequence[int], list[Path]]:
        """Return the labels' tokens. If one label begins another, what follows tells them apart."""
        paths = [self.tokenizer.encode_text(label) for label in blank.labels]
        ordered = sorted(paths)
        if any(b[: len(a)] == a for a, b in zip(ordered, ordered[1:], strict=False)):
            after = blank.next_literal if isinstance(blank, Choice) else ""
            paths = [(*path, *self.tokenizer.encode_text(after)[:1]) for path in paths]
        return (), paths

    def close_labels(self, drawn: Path, label: str) -> Sequence[int]:
        """Return the rest of a label."""
        return self.tokenizer.encode_text(label)[len(drawn) :]

    def open_text(self, blank: Text, form: Form, answers: Sequence[str]) -> tuple[Sequence[int], Allowed]:
        """Return the grammar of a text."""
        return (), self.allowed(blank.max_chars)

    def closes(self, token: int) -> bool:
        """Return whether a token is the quote, which is a token of its own piece."""
        return self.tokenizer.token_text(token).endswith('"')

    def close_text(self, written: Sequence[int]) -> tuple[str, int] | None:
        """Return a text that ends with its quote."""
        if not self.closes(written[-1]):
            return None
        return self.tokenizer.decode(written)[:-1], len(written)


class NaturalText:
    """Text in the tokens that the tokenizer would write for it as a whole.

    Args:
        vocabulary: the model's.
        allowed: returns the grammar of a text: greatest number of characters, what stands before it, what may
            follow its quote.
    """

    def __init__(
        self, vocabulary: Vocabulary, allowed: Callable[[int, bytes, tuple[bytes, ...]], Allowed]
    ) -> None:
        self.vocabulary, self.allowed = vocabulary, allowed
        self.boundary = Boundary(vocabulary)
        self.ahead = 0
        """Bytes of the next fixed text that were fed already."""
        self.shared = 0
        """Bytes that all labels of the open blank begin with and that were fed with the text before them."""

    def append(self, text: str) -> Sequence[int]:
        """Append fixed text, whose tokens depend on what follows."""
        data = text.encode()
        self.boundary.pending += data[self.ahead :]
        self.ahead = max(0, self.ahead - len(data))
        return ()

    def open_labels(
        self, blank: Choice | Branch, form: Form, answers: Sequence[str]
    ) -> tuple[Sequence[int], list[Path]]:
        """Return the tokens that all labels share, and the others of each."""
        boundary, labels = self.boundary, [label.encode() for label in blank.labels]
        following = literals_after(form, answers, blank)
        paths = self.vocabulary.encode_labels(boundary.context, boundary.pending, labels, following)
        common = common_prefix(paths)
        start = len(self.vocabulary.text(common))
        self.shared = max(0, start - len(boundary.pending))
        boundary.advance(common, boundary.pending[start:])
        return common, [path[len(common) :] for path in paths]

    def close_labels(self, drawn: Path, label: str) -> Sequence[int]:
        """Go on with a label."""
        text, start = self.boundary.pending + label.encode(), self.shared + len(self.vocabulary.text(drawn))
        self.ahead = max(0, start - len(text))
        self.boundary.advance(drawn, text[start:])
        return ()

    def open_text(self, blank: Text, form: Form, answers: Sequence[str]) -> tuple[Sequence[int], Allowed]:
        """Return the tokens up to the opening quote, and the grammar behind them."""
        tokens = self.boundary.encode(self.boundary.pending)
        self.boundary.advance(tokens, b"")
        endings = self.vocabulary.closing_endings(continuations(form, [*answers, ""]))
        return tokens, self.allowed(blank.max_chars, b"", endings)

    def closes(self, token: int) -> bool:
        """Return whether a token holds a quote."""
        return QUOTE in self.vocabulary.token_bytes(token)

    def close_text(self, written: Sequence[int]) -> tuple[str, int] | None:
        """Return a text once a token holds its quote. This token is encoded again with what follows."""
        text = self.vocabulary.text(written)
        end = text.find(QUOTE)
        if end < 0:
            return None
        kept = written[:-1]
        self.boundary.advance(kept, text[len(self.vocabulary.text(kept)) : end + 1])
        return text[:end].decode("utf-8", "replace"), len(kept)


@dataclass
class Sampler:
    """Draws the answers of one row.

    Args:
        text: the text of the form.
        random: source of random numbers, of this row alone.
        temperature: logits are divided by it.
        rollout: what was drawn so far.
    """

    text: SampleText
    random: np.random.Generator
    temperature: float
    rollout: Rollout
    phrases: PhraseCache
    """Texts that the model often writes; they save forward passes."""
    draws_texts: bool = True
    """Whether free text is drawn. Else its likeliest tokens are written, and are no decisions; a text that
    ends the form, which nothing is drawn behind, is left empty."""
    fed: int = 0
    """Number of tokens of the answer that were fed."""
    last_index: int = ROOT
    """Index of the last of them in the last step."""
    discarded: list[int] = field(default_factory=list)
    """Indexes of tokens of the last step that are no part of the answer."""

    def fill(self, form: Form) -> RowProgram:
        """Fill a form with draws.

        Args:
            form: the form.

        Yields:
            The steps of the row.

        Returns:
            The filled form. The decisions are in `rollout`.
        """
        walk, answers, text = form.walk(), list[str](), ""
        last = next((part for part in reversed(form.parts) if not isinstance(part, Literal)), None)
        unread = last.name if isinstance(last, Text) and not self.draws_texts else None
        try:
            piece = next(walk)
            while True:
                match piece:
                    case Literal():
                        self.rollout.tokens += self.text.append(piece.text)
                        answer, written = "", piece.text
                    case Text() if piece.name == unread:
                        answer, written = "", '"'
                    case Text():
                        answer = yield from self._write_text(piece, form, answers)
                        written = f'{answer}"'
                    case _:
                        answer = written = yield from self._draw_label(piece, form, answers)
                if not isinstance(piece, Literal):
                    answers.append(answer)
                text += written
                piece = walk.send(answer)
        except StopIteration:
            self.rollout.text = text
            return Reply(text)

    def think(self, tokenizer: ChatTokenizer, budget: int) -> Generator[StepInput, Any, None]:
        """Draw a thought of at most `budget` tokens, and close it.

        Only tokens that a thought may hold are allowed: text, what closes the thought, or the end of the
        turn, which closes it too.
        """
        ends = {tokenizer.thought_end, *tokenizer.end_of_turn}
        forbidden = np.array(sorted(tokenizer.control_tokens - ends), dtype=np.int64)
        written: list[int] = []
        while len(written) < budget:
            (logits,), _ = yield from self._read_logits(THOUGHT)
            allowed = np.ones(len(logits), dtype=bool)
            allowed[forbidden[forbidden < len(logits)]] = False
            token = self._draw_masked(logits, allowed, THOUGHT)
            if token in ends:
                break
            written.append(token)
            self.rollout.tokens.append(token)
        _, closed = tokenizer.close_thought(written)
        self.rollout.tokens += closed[len(written) :]

    def _draw_label(
        self, blank: Choice | Branch, form: Form, answers: Sequence[str]
    ) -> Generator[StepInput, Any, str]:
        """Draw a label, one decision for each token at which labels differ."""
        labels = blank.labels
        if len(labels) == 1:
            self.rollout.tokens += self.text.append(labels[0])
            return labels[0]
        before, paths = self.text.open_labels(blank, form, answers)
        self.rollout.tokens += before
        drawn: Path = ()
        own = list(range(len(labels)))
        while len(own) > 1:
            depth = len(drawn)
            branches: dict[int, list[int]] = {}
            if any(len(paths[label]) == depth for label in own):
                raise ReplyError(f"{blank.name}: the tokens of one label begin those of another")
            for label in own:
                branches.setdefault(paths[label][depth], []).append(label)
            token = next(iter(branches))
            if len(branches) > 1:
                choices = tuple(branches)
                scores = yield from self._read_choices(choices, blank.name)
                decides = not drawn and all(len(found) == 1 for found in branches.values())
                names = tuple(labels[found[0]] for found in branches.values()) if decides else ()
                token = self._draw(scores, choices, blank.name, names)
            own = branches[token]
            if len(own) > 1:
                drawn = (*drawn, token)
                self.rollout.tokens.append(token)
        chosen = labels[own[0]]
        self.rollout.tokens += self.text.close_labels(drawn, chosen)
        return chosen

    def _write_text(self, blank: Text, form: Form, answers: Sequence[str]) -> Generator[StepInput, Any, str]:
        """Draw a free text up to its closing quote."""
        before, allowed = self.text.open_text(blank, form, answers)
        self.rollout.tokens += before
        start, written = len(self.rollout.tokens), list[int]()
        while True:
            predicted = self.phrases.predict(written, MAX_PREDICTED_TOKENS)
            predicted = list(takewhile(lambda token: not self.text.closes(token), predicted))
            closed, index = None, 0
            rows, base = yield from self._read_logits(blank.name, predicted)
            for index, logits in enumerate(rows):
                own = allowed(written)
                mask = np.zeros(len(logits), dtype=bool)
                mask[: len(own)] = own[: len(logits)]
                if self.draws_texts:
                    written.append(self._draw_masked(logits, mask, blank.name))
                else:
                    written.append(int(np.where(mask, logits, -np.inf).argmax()))
                closed = self.text.close_text(written)
                if closed is not None or predicted[index : index + 1] != written[-1:]:
                    break
                self.rollout.tokens.append(written[-1])
            self._discard(base, index, len(predicted))
            if closed is not None:
                text, kept = closed
                self.rollout.tokens[start:] = written[:kept]
                self.phrases.add(written)
                return text
            self.rollout.tokens.append(written[-1])

    def _begin_step(self, predicted: Sequence[int] = ()) -> tuple[StepInput, int]:
        """Return a step with the tokens that were not fed, and the index of the last one, or `ROOT`.

        A row cannot read behind a token of an earlier step. If there is nothing new, the last token is taken
        back and fed again.

        Args:
            predicted: tokens that may follow.
        """
        tokens, step = self.rollout.tokens[self.fed :], StepInput(discarded=self.discarded)
        if not tokens and self.fed:
            tokens = self.rollout.tokens[-1:]
            step.discarded = sorted([self.last_index, *self.discarded])
        last = step.append_chain(tokens, ROOT)
        step.append_chain(predicted, last)
        self.fed, self.last_index, self.discarded = len(self.rollout.tokens), last, []
        return step, last

    def _discard(self, base: int, right: int, predicted: int) -> None:
        """Keep the first `right` of so many predicted tokens, which follow `base` tokens of the last step."""
        self.fed += right
        self.last_index = base + right - 1
        self.discarded = list(range(base + right, base + predicted))

    def _read_choices(self, choices: Path, blank: str) -> Generator[StepInput, Any, Any]:
        step, last = self._begin_step()
        step.edges = [(last, token) for token in choices]
        return check_not_nan((yield step), blank)

    def _read_logits(
        self, blank: str, predicted: Sequence[int] = ()
    ) -> Generator[StepInput, Any, tuple[Any, int]]:
        """Read logits behind what was written, and behind each predicted token.

        Returns:
            (1 + predicted, V) logits, and the number of tokens of the step before the predicted ones.
        """
        step, last = self._begin_step(predicted)
        step.num_logits = 1 + len(predicted)
        return check_not_nan((yield step), blank), last + 1

    def _draw(self, scores: Any, choices: Path, blank: str, labels: tuple[str, ...]) -> int:
        logs = log_softmax(scores, self.temperature)
        shares = np.exp(logs)
        index = self._pick(shares)
        decision = Decision(blank, len(self.rollout.tokens) - 1, choices[index], float(logs[index]), choices)
        decision.labels, decision.shares = labels, tuple(shares.tolist())
        self.rollout.decisions.append(decision)
        return choices[index]

    def _draw_masked(self, logits: Any, allowed: NDArray[np.bool_], blank: str) -> int:
        """Draw one of the allowed tokens of the whole vocabulary, in float32, which has 1e-6 of precision."""
        scaled = np.where(allowed, logits, -np.inf).astype(np.float32) / np.float32(self.temperature)
        top = scaled.max()
        weights = np.exp(scaled - top)
        token = self._pick(weights)
        log = float(scaled[token] - top) - math.log(float(weights.sum(dtype=np.float64)))
        mask = np.packbits(allowed, bitorder="little").tobytes()
        self.rollout.decisions.append(Decision(blank, len(self.rollout.tokens) - 1, token, log, mask=mask))
        return token

    def _pick(self, shares: NDArray[np.floating[Any]]) -> int:
        """Draw an index by shares. Rounding never leads past the last one that is possible."""
        sums = np.cumsum(shares, dtype=np.float64)
        index = int(np.searchsorted(sums, self.random.random() * sums[-1], side="right"))
        return min(index, int(np.flatnonzero(shares)[-1]))


def log_softmax(scores: Any, temperature: float) -> NDArray[np.float64]:
    """Return log-probabilities of scores divided by a temperature, in float64."""
    scaled = np.asarray(scores, dtype=np.float64) / temperature
    logs: NDArray[np.float64] = scaled - np.logaddexp.reduce(scaled)
    return logs


def sample_program(sampler: Sampler, form: Form, tokenizer: ChatTokenizer) -> RowProgram:
    """Return the program of a row: a thought, if the model is to think, and the form behind it.

    Args:
        sampler: draws the answers.
        form: the form, with the model's own boxes.
        tokenizer: the model's; its `thinking` is the budget of the thought.
    """
    if tokenizer.thinking:
        yield from sampler.think(tokenizer, tokenizer.thinking)
    reply = yield from sampler.fill(form)
    return reply
