"""From the tokens of a reply, and what else could have stood at each of them, to probabilities of labels.

A server reports tokens, a form asks for labels, and the two need not line up: `},{` may be one token and
`missing part` two. So the form is walked against the reply's text; at each blank the first token that reaches
into it is where the model decided, and every alternative to that token counts for the label whose way through
the text it agrees with, the literal text before and after the label included. Alternatives that several
labels agree with (`1` of `10` and `100`) are settled by the tokens that follow, as far as the reply went that
way; where probability worth naming is left over, the blank gets no report rather than a guess.

Probabilities are relative: of what a token's alternatives give to the blank's labels, each label's share.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

from judge.errors import ReplyError
from judge.rubrics.form import Blank, Branch, Choice, Form, Literal, Piece, Text

Alternatives = Callable[[int], Mapping[bytes, float]]
"""Number of a token -> what could have stood there, itself included, with log-probabilities; empty: unknown.
"""
UNSETTLED = 0.005
"""Share of a blank's probability that may stay unsettled, and then counts for none of its labels."""
COVERED = 0.999
"""Labels that are not among the alternatives are unlikely for sure once these hold so much probability."""
IMPOSSIBLE = -9000.0
"""Log-probabilities below stand for "not at all"; vLLM writes -9999 for minus infinity."""
_SPACE, _QUOTE, _BACKSLASH = b" \t\r\n", ord('"'), ord("\\")
_BLANK = re.compile(rb"[ \t\r\n]*")
_WORD = re.compile(rb"[^ \t\r\n,\]}\"]*")
_STRING = re.compile(rb'(?:[^"\\]|\\.)*', re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A blank found in a reply."""

    blank: Blank
    start: int
    """Offset in bytes of its answer."""


@dataclass
class Trail:
    """A form followed through a reply, as far as they agree."""

    places: list[Place] = field(default_factory=list)
    states: bytearray = field(default_factory=bytearray)
    """For each byte passed: `OUTSIDE`, `INSIDE` or `ESCAPED`."""
    stuck: int | None = None
    """Offset of the first answer that its blank does not allow; None when there is none such."""
    answers: list[str] = field(default_factory=list)
    """Of the blanks ahead of `stuck`, in order, as `Form.walk` takes them."""


def follow(form: Form, text: bytes) -> Trail:
    """Walk the form along a reply. Blank space outside strings is passed over. A number off the menu, of a
    server that knows no grid, is passed too, as the nearest one on it; other strange text ends the trail.
    """
    reader, walk = _Reader(text), form.walk()
    trail = Trail(states=reader.states)
    try:
        piece = next(walk)
        while True:
            piece = walk.send(_passed(piece, reader, trail))
    except (StopIteration, ReplyError):
        return trail


def _passed(piece: Piece, reader: _Reader, trail: Trail) -> str:
    """Go past one piece and note what stands there. Raises `ReplyError` where the reply reads otherwise."""
    if isinstance(piece, Literal):
        reader.past(piece.text.encode())
        return ""
    start, answer = reader.answer(piece)
    labels: Sequence[str] = (answer,) if isinstance(piece, Text) else piece.labels
    if answer in labels:
        trail.places.append(Place(piece, start))
    elif trail.stuck is None:
        trail.stuck = start
    if trail.stuck is None:
        trail.answers.append(answer)
    return answer if answer in labels else _nearest(answer, labels, piece.name)


def _nearest(answer: str, labels: Sequence[str], blank: str) -> str:
    numbers = [label for label in labels if label.isdecimal()]
    if not numbers or not answer.isdecimal():
        raise ReplyError(f"{blank}: {answer!r} is off its menu")
    return min(numbers, key=lambda label: abs(int(label) - int(answer)))


def read(
    form: Form, tokens: Sequence[bytes], alternatives: Alternatives, *, estimates: bool = True
) -> tuple[dict[str, dict[str, float]], bool]:
    """Probabilities of the labels at the blanks of a reply.

    Args:
        form: what the reply fills.
        tokens: the reply's text, token by token.
        alternatives: what could have stood at each of them.
        estimates: also report blanks of which some labels were missing among the alternatives.

    Returns:
        Path of a blank -> label -> probability, summing to 1, for every blank that can be read; and whether
        all of them are the model's own: no label was missing among the alternatives for want of room.
    """
    trail = follow(form, b"".join(tokens))
    ends = list(accumulate(map(len, tokens)))
    starts = [0, *ends]
    report, exact = dict[str, dict[str, float]](), True
    labels: dict[str, tuple[str, ...]] = {}
    for place in trail.places:
        blank = place.blank
        if isinstance(blank, Text):
            continue
        labels[blank.name] = _all_labels(blank, labels)
        first, states = bisect_right(ends, place.start), trail.states
        before = b"".join(tokens)[starts[first] : place.start]
        split = _Split(blank, labels[blank.name], _squeezed(before, states[starts[first]]))
        written = (
            (
                _squeezed(tokens[number], states[starts[number]]),
                _likely(blank.name, alternatives(number), states[starts[number]]),
            )
            for number in range(first, len(tokens))
            if starts[number] < len(states)
        )
        if (shares := split.settle(written)) and (split.covered or estimates):
            report[blank.name] = dict(zip(blank.reported, shares, strict=True))
            exact = exact and split.covered
    return report, exact


def read_one(blank: Choice, token: bytes, told: Mapping[bytes, float]) -> tuple[list[float], bool]:
    """Shares of the labels of a blank that a token begins, and whether all labels were in sight; no shares
    when that token cannot tell."""
    split = _Split(blank, blank.labels, b"")
    shares = split.settle(iter([(token, _likely(blank.name, told, OUTSIDE + blank.quoted))]))
    return shares, split.covered


def _all_labels(blank: Choice | Branch, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The labels of a blank, and those that the answer to an earlier one ruled out: tokens may mean them."""
    if isinstance(blank, Branch) or not blank.above:
        return blank.labels
    scope, dot, _ = blank.name.rpartition(".")
    below = known.get(f"{scope}{dot}{blank.above.rpartition('.')[2]}", ())
    return (*blank.labels, *(label for label in below if label not in blank.labels))


class _Reader:
    """A position in a reply's bytes; raises `ReplyError` where they are not what was expected."""

    def __init__(self, text: bytes) -> None:
        self.text, self.at, self.state = text, 0, OUTSIDE
        self.states = bytearray()
        """Of every byte passed."""

    def past(self, literal: bytes) -> None:
        for byte in literal:
            if self.state == OUTSIDE:
                self._take(_BLANK)
            if self.at >= len(self.text) or self.text[self.at] != byte:
                raise ReplyError(f"reply: {literal!r} is not at byte {self.at}")
            self._move(1)

    def answer(self, blank: Blank) -> tuple[int, str]:
        """Go past an answer; returns where it starts, and what it says in the form's own spelling."""
        if self.state == OUTSIDE:
            self._take(_BLANK)
        start = self.at
        match blank:
            case Choice():
                return start, self._take(_WORD if self.state == OUTSIDE else _STRING)
            case Text():
                content = self._take(_STRING)
                self._move(1)  # the quote that closes it
                return start, content
        answer = "]" if self.text[start : start + 1] == b"]" else blank.opening
        self.past(answer.encode())
        return start, answer

    def _take(self, pattern: re.Pattern[bytes]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None  # all of them match nothing, too
        self._move(len(found[0]))
        return found[0].decode("utf-8", "replace")

    def _move(self, count: int) -> None:
        for byte in self.text[self.at : self.at + count]:
            self.states.append(self.state)
            self.state = _after(self.state, byte)
        self.at += count


OUTSIDE, INSIDE, ESCAPED = range(3)
"""What a byte of JSON is: outside strings, in one, or in one and behind a backslash."""


def _after(state: int, byte: int) -> int:
    """The state of the byte that follows."""
    if state == OUTSIDE:
        return INSIDE if byte == _QUOTE else OUTSIDE
    if state == INSIDE:
        return {_QUOTE: OUTSIDE, _BACKSLASH: ESCAPED}.get(byte, INSIDE)
    return INSIDE


@lru_cache(maxsize=1 << 14)  # it is asked of the same tokens again and again
def _squeezed(text: bytes, state: int) -> bytes:
    """Without blank space outside strings, given the state of the first byte."""
    if not any(byte in _SPACE for byte in text):
        return text
    kept = bytearray()
    for byte in text:
        if state != OUTSIDE or byte not in _SPACE:
            kept.append(byte)
        state = _after(state, byte)
    return bytes(kept)


@dataclass
class _Split:
    """How the probability at one blank falls to its labels."""

    blank: Choice | Branch
    labels: tuple[str, ...]
    """Those of the blank, and behind them those that were ruled out."""
    before: bytes
    """What the deciding token says ahead of the label."""
    shares: list[float] = field(init=False)
    unsettled: float = 0.0
    covered: bool = True

    def __post_init__(self) -> None:
        after = self.blank.then.encode() if isinstance(self.blank, Choice) else b""
        self.own = [self.before + label.encode() for label in self.labels]
        self.number = {own: label for label, own in enumerate(self.own)}
        self.ways = [own + after for own in self.own]
        self.longer = _longer(self.labels)
        self.shares = [0.0] * len(self.own)

    def settle(self, tokens: Iterator[tuple[bytes, Mapping[bytes, float]]]) -> list[float]:
        """Follow the reply from the deciding token on, until its own label is clear.

        Args:
            tokens: what was written and what could have been, with probabilities.

        Returns:
            The share of each label of the blank, summing to 1; empty when too much stays unsettled.
        """
        live, said, weight = list(range(len(self.own))), b"", 1.0
        for taken, told in tokens:
            groups = {
                other: found
                for other, p in told.items()
                if p and (found := self._agreeing(said, other, told, live))
            }
            total = sum(told[other] for other in groups)
            if not total:
                break
            if not said:
                sighted = {label for found in groups.values() for label in found}
                sighted |= {label for label, own in enumerate(self.own) if own in told}
                self.covered = sum(told.values()) >= COVERED or sighted >= set(range(len(self.blank.labels)))
            for other, found in groups.items():
                if len(found) == 1:
                    self.shares[found[0]] += weight * told[other] / total
                elif other != taken:
                    self.unsettled += weight * told[other] / total
            live = groups.get(taken, [])
            if len(live) < 2:
                return self._result()
            said, weight = said + taken, weight * told[taken] / total
        self.unsettled += weight
        return self._result()

    def _agreeing(self, said: bytes, other: bytes, told: Mapping[bytes, float], live: list[int]) -> list[int]:
        """Labels that may come of an alternative. A label that is an alternative as a whole is not spelled
        in pieces: then `10` means 10 and not the beginning of 100."""
        way = said + other
        if (label := self.number.get(way)) is not None and label in live:
            rivals = [rival for rival in self.longer[label] if rival in live]
            return [label, *(rival for rival in rivals if self.own[rival][len(said) :] not in told)]
        return [
            label
            for label in live
            if (self.ways[label].startswith(way) or way.startswith(self.ways[label]))
            and (len(way) >= len(self.own[label]) or self.own[label][len(said) :] not in told)
        ]

    def _result(self) -> list[float]:
        allowed = self.shares[: len(self.blank.labels)]
        total = sum(allowed)
        if not total or self.unsettled > UNSETTLED * (total + self.unsettled):
            return []
        return [share / total for share in allowed]


@lru_cache(maxsize=1024)
def _longer(labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """For each label, those that begin with it and go on."""
    numbered = list(enumerate(labels))
    return tuple(
        tuple(n for n, other in numbered if other != label and other.startswith(label)) for label in labels
    )


def _likely(blank: str, alternatives: Mapping[bytes, float], state: int) -> dict[bytes, float]:
    """Probabilities of alternatives, 0 for the impossible, without those that say nothing."""
    told: dict[bytes, float] = {}
    for other, score in alternatives.items():
        if math.isnan(score):
            raise ReplyError(f"{blank}: the model answered NaN")
        if said := _squeezed(other, state):
            told[said] = told.get(said, 0.0) + (math.exp(score) if score > IMPOSSIBLE else 0.0)
    return told
