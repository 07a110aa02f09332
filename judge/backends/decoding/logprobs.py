"""Compute label probabilities from the tokens of a reply and the alternatives at each token.

A server reports tokens and a form asks for labels, and the two need not line up: `},{` may be one token and
`missing part` two. So the form is aligned with the text of the reply. At each blank, the first token that
reaches into the blank is where the model decided. Every alternative to that token counts for the label whose
text it agrees with, including the literal text before and after the label. Alternatives that agree with
several labels (`1` of `10` and `100`) are resolved by the tokens that follow, as far as the reply took that
way. If too much probability stays unresolved, the blank gets no report rather than a guess.

Probabilities are relative: each label's share of what the alternatives give to all labels of the blank.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

from judge.backends.decoding.reply_alignment import (
    OUTSIDE,
    WHITESPACE,
    align_reply,
    next_state,
)
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Text

Alternatives = Callable[[int], Mapping[bytes, float]]
"""Index of a token of the reply -> tokens that were possible there, itself included, with log-probabilities.
Empty if they are unknown."""
MAX_UNRESOLVED_SHARE = 0.005
"""Share of a blank's probability that may stay unresolved. It then counts for none of the labels."""
COVERED_PROBABILITY = 0.999
"""If the alternatives hold so much probability, labels that are not among them are certainly unlikely."""
MIN_LOG_PROBABILITY = -9000.0
"""Log-probabilities below mean probability 0; vLLM writes -9999 for minus infinity."""


def read_probabilities(
    form: Form,
    tokens: Sequence[bytes],
    alternatives: Alternatives,
    *,
    estimates: bool = True,
    label_mass: dict[str, float] | None = None,
) -> tuple[dict[str, dict[str, float]], bool]:
    """Compute the probabilities of the labels at the blanks of a reply.

    Args:
        form: the form that the reply fills.
        tokens: the text of the reply, token by token.
        alternatives: the possible tokens at each of them.
        estimates: also report blanks with labels that are missing among the alternatives.
        label_mass: gets, for each blank whose labels are all among the alternatives, the probability of the
            alternatives that agree with a label, at the token that decides. It is close to 1 if the
            alternatives are given under a grammar.

    Returns:
        Path of a blank -> label -> probability, summing to 1, for every blank that can be read; and whether
        all of them are the model's own, that is, no label was missing because the alternatives are limited.

    Raises:
        ReplyError: a log-probability is NaN.
    """
    text = b"".join(tokens)
    alignment = align_reply(form, text)
    ends = list(accumulate(map(len, tokens)))
    starts = [0, *ends]
    report, exact = dict[str, dict[str, float]](), True
    labels: dict[str, tuple[str, ...]] = {}
    for position in alignment.blanks:
        blank = position.blank
        if isinstance(blank, Text):
            continue
        labels[blank.name] = _labels_with_excluded(blank, labels)
        # White space before a branch already says whether the list goes on; see `_without_whitespace`.
        start = (
            len(text[: position.start].rstrip(WHITESPACE)) if isinstance(blank, Branch) else position.start
        )
        first = bisect_right(ends, start)
        before = text[starts[first] : start]
        resolver = _LabelResolver(
            blank, labels[blank.name], _strip_whitespace(before, alignment.states[starts[first]])
        )
        written = _tokens_from(first, tokens, starts, alignment.states, alternatives, blank)
        if (shares := resolver.resolve(written)) and (resolver.is_covered or estimates):
            report[blank.name] = dict(zip(blank.reported_labels, shares, strict=True))
            if label_mass is not None and resolver.is_covered:
                label_mass[blank.name] = min(1.0, resolver.mass)
            exact = exact and resolver.is_covered
    return report, exact


def _tokens_from(
    first: int,
    tokens: Sequence[bytes],
    starts: Sequence[int],
    states: bytearray,
    alternatives: Alternatives,
    blank: Choice | Branch,
) -> Iterator[tuple[bytes, Mapping[bytes, float]]]:
    """Yield the tokens of a reply from one on, without whitespace, and the probabilities at each of them."""
    for index in range(first, len(tokens)):
        if starts[index] < len(states):
            state = states[starts[index]]
            probabilities = _to_probabilities(blank, alternatives(index), state)
            yield _without_whitespace(tokens[index], state, blank), probabilities


def read_single_token(
    blank: Choice, token: bytes, alternatives: Mapping[bytes, float]
) -> tuple[list[float], bool, float]:
    """Compute the probabilities of the labels of a blank from the token that begins its answer.

    Args:
        blank: the blank.
        token: the token.
        alternatives: the possible tokens, with log-probabilities.

    Returns:
        The share of each label, empty if the token cannot tell the labels apart; whether every label was
        among the alternatives; and the probability of the alternatives that agree with a label.

    Raises:
        ReplyError: a log-probability is NaN.
    """
    resolver = _LabelResolver(blank, blank.labels, b"")
    probabilities = _to_probabilities(blank, alternatives, OUTSIDE + blank.quoted)
    shares = resolver.resolve(iter([(token, probabilities)]))
    return shares, resolver.is_covered, min(1.0, resolver.mass)


def _labels_with_excluded(blank: Choice | Branch, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the labels of a blank, then those that an earlier answer excluded: tokens may mean them too."""
    if isinstance(blank, Branch) or not blank.greater_than:
        return blank.labels
    scope, dot, _ = blank.name.rpartition(".")
    lower = known.get(f"{scope}{dot}{blank.greater_than.rpartition('.')[2]}", ())
    return (*blank.labels, *(label for label in lower if label not in blank.labels))


@lru_cache(maxsize=1 << 14)  # the same tokens come again and again
def _strip_whitespace(text: bytes, state: int) -> bytes:
    """Remove whitespace outside strings, given the state of the first byte."""
    if not any(byte in WHITESPACE for byte in text):
        return text
    stripped = bytearray()
    for byte in text:
        if state != OUTSIDE or byte not in WHITESPACE:
            stripped.append(byte)
        state = next_state(state, byte)
    return bytes(stripped)


def _without_whitespace(token: bytes, state: int, blank: Choice | Branch) -> bytes:
    """Remove whitespace outside strings, but keep what it says about a list that goes on or ends.

    Indented JSON has a new line between `[` and the first item, but none in an empty list; it has one between
    the last item and `]`, but a comma before any other item.
    """
    text = _strip_whitespace(token, state)
    if not isinstance(blank, Branch) or not text or token[-1:] not in (b"\n", b"\r"):
        return text
    for byte in token:
        state = next_state(state, byte)
    if state == OUTSIDE and text.endswith(b"["):
        return text + b"{"
    return text + b"]" if state == OUTSIDE and text.endswith(b"}") else text


def _to_probabilities(
    blank: Choice | Branch, alternatives: Mapping[bytes, float], state: int
) -> dict[bytes, float]:
    """Convert log-probabilities of tokens to probabilities, without tokens of whitespace only."""
    probabilities: dict[bytes, float] = {}
    for token, score in alternatives.items():
        if math.isnan(score):
            raise ReplyError(f"{blank.name}: the model answered NaN")
        if text := _without_whitespace(token, state, blank):
            probability = math.exp(score) if score > MIN_LOG_PROBABILITY else 0.0
            probabilities[text] = probabilities.get(text, 0.0) + probability
    return probabilities


@dataclass
class _LabelResolver:
    """Distributes the probability at one blank over its labels."""

    blank: Choice | Branch
    labels: tuple[str, ...]
    """The labels of the blank, then those that an earlier answer excluded."""
    before: bytes
    """Text of the deciding token ahead of the label."""
    shares: list[float] = field(init=False)
    unresolved: float = 0.0
    is_covered: bool = True
    """Whether every label was among the alternatives of the deciding token, or certainly unlikely."""

    mass: float = 0.0
    """Probability of the alternatives of the deciding token that agree with a label."""

    def __post_init__(self) -> None:
        after = self.blank.next_literal.encode() if isinstance(self.blank, Choice) else b""
        self.texts = [self.before + label.encode() for label in self.labels]
        self.index = {text: label for label, text in enumerate(self.texts)}
        self.texts_with_literal = [text + after for text in self.texts]
        self.extensions = _find_extensions(self.labels)
        self.shares = [0.0] * len(self.texts)

    def resolve(self, tokens: Iterator[tuple[bytes, Mapping[bytes, float]]]) -> list[float]:
        """Follow the reply from the deciding token until its own label is clear.

        Args:
            tokens: each token of the reply, and the probabilities of the alternatives.

        Returns:
            The share of each label of the blank, summing to 1; empty if too much stays unresolved.
        """
        candidates, prefix, weight = list(range(len(self.texts))), b"", 1.0
        for token, probabilities in tokens:
            groups = {
                other: found
                for other, p in probabilities.items()
                if p and (found := self._matching_labels(prefix, other, probabilities, candidates))
            }
            total = sum(probabilities[other] for other in groups)
            if not total:
                break
            if not prefix:
                self.mass = total
                seen = {label for found in groups.values() for label in found}
                seen |= {label for label, text in enumerate(self.texts) if text in probabilities}
                is_certain = sum(probabilities.values()) >= COVERED_PROBABILITY
                self.is_covered = is_certain or seen >= set(range(len(self.blank.labels)))
            for other, found in groups.items():
                if len(found) == 1:
                    self.shares[found[0]] += weight * probabilities[other] / total
                elif other != token:
                    self.unresolved += weight * probabilities[other] / total
            candidates = groups.get(token, [])
            if len(candidates) < 2:
                return self._normalized_shares()
            prefix, weight = prefix + token, weight * probabilities[token] / total
        self.unresolved += weight
        return self._normalized_shares()

    def _matching_labels(
        self, prefix: bytes, token: bytes, probabilities: Mapping[bytes, float], candidates: list[int]
    ) -> list[int]:
        """Return the labels that an alternative may lead to.

        A label that is an alternative as a whole is not spelled in pieces: then `10` means 10, not the
        beginning of 100.
        """
        text = prefix + token
        if (label := self.index.get(text)) is not None and label in candidates:
            longer = [other for other in self.extensions[label] if other in candidates]
            return [
                label,
                *(other for other in longer if self.texts[other][len(prefix) :] not in probabilities),
            ]
        return [
            label
            for label in candidates
            if (
                self.texts_with_literal[label].startswith(text)
                or text.startswith(self.texts_with_literal[label])
            )
            and (len(text) >= len(self.texts[label]) or self.texts[label][len(prefix) :] not in probabilities)
        ]

    def _normalized_shares(self) -> list[float]:
        allowed = self.shares[: len(self.blank.labels)]
        total = sum(allowed)
        if not total or self.unresolved > MAX_UNRESOLVED_SHARE * (total + self.unresolved):
            return []
        return [share / total for share in allowed]


@lru_cache(maxsize=1024)
def _find_extensions(labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """For each label, the indexes of the longer labels that begin with it."""
    numbered = list(enumerate(labels))
    return tuple(
        tuple(n for n, other in numbered if other != label and other.startswith(label)) for label in labels
    )
