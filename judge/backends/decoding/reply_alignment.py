"""Align the text of a reply with its form: where each blank starts, and what was answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Blank, Choice, Literal, Piece, Text

OUTSIDE, INSIDE, ESCAPED = range(3)
"""State of a byte of JSON: outside strings, inside one, or inside one and after a backslash."""
WHITESPACE = b" \t\r\n"
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_SPACES = re.compile(rb"[ \t\r\n]*")
_WORD = re.compile(rb"[^ \t\r\n,\]}\"]*")
_STRING = re.compile(rb'(?:[^"\\]|\\.)*', re.DOTALL)


@dataclass(frozen=True)
class BlankPosition:
    """A blank found in a reply."""

    blank: Blank
    start: int
    """Offset of its answer, in bytes."""


@dataclass
class ReplyAlignment:
    """A form followed through a reply, as far as the two agree."""

    blanks: list[BlankPosition] = field(default_factory=list)
    """The blanks with an answer that they allow, in order."""
    states: bytearray = field(default_factory=bytearray)
    """For each byte up to where reply and form part: `OUTSIDE`, `INSIDE` or `ESCAPED`."""
    mismatch: int | None = None
    """Offset of the first answer that its blank does not allow; None if there is none."""
    answers: list[str] = field(default_factory=list)
    """Answers of the blanks before `mismatch`, in order, as `Form.walk` takes them."""


def align_reply(form: Form, text: bytes) -> ReplyAlignment:
    """Follow a form through a reply.

    Whitespace outside strings is skipped. A number that is no label of its blank, from a server that knows no
    grid, is read as the nearest label. Any other text that the form does not allow ends the alignment.

    Args:
        form: the form that the reply should fill.
        text: the reply, in UTF-8.

    Returns:
        The blanks that were found.
    """
    reader, walk = _ReplyReader(text), form.walk()
    alignment = ReplyAlignment(states=reader.states)
    try:
        piece = next(walk)
        while True:
            piece = walk.send(_read_piece(piece, reader, alignment))
    except (StopIteration, ReplyError):
        return alignment


def _read_piece(piece: Piece, reader: _ReplyReader, alignment: ReplyAlignment) -> str:
    """Read one piece of the form and record its answer.

    Returns:
        The answer to send to the walk.

    Raises:
        ReplyError: the reply has other text here.
    """
    if isinstance(piece, Literal):
        reader.skip_literal(piece.text.encode())
        return ""
    start, answer = reader.read_answer(piece)
    labels: Sequence[str] = (answer,) if isinstance(piece, Text) else piece.labels
    if answer in labels:
        alignment.blanks.append(BlankPosition(piece, start))
    elif alignment.mismatch is None:
        alignment.mismatch = start
    if alignment.mismatch is None:
        alignment.answers.append(answer)
    return answer if answer in labels else _nearest_label(answer, labels, piece.name)


def _nearest_label(answer: str, labels: Sequence[str], blank: str) -> str:
    """Return the label nearest to a number; raise `ReplyError` if there are no numbers to compare."""
    numbers = [label for label in labels if label.isdecimal()]
    if not numbers or not answer.isdecimal():
        raise ReplyError(f"{blank}: {answer!r} is none of its labels")
    return min(numbers, key=lambda label: abs(int(label) - int(answer)))


class _ReplyReader:
    """A position in the bytes of a reply; its methods raise `ReplyError` if they find other bytes."""

    def __init__(self, text: bytes) -> None:
        self.text, self.offset, self.state = text, 0, OUTSIDE
        self.states = bytearray()
        """State of every byte before the offset."""

    def skip_literal(self, literal: bytes) -> None:
        """Move past a literal text."""
        for byte in literal:
            if self.state == OUTSIDE:
                self._read_match(_SPACES)
            if self.offset >= len(self.text) or self.text[self.offset] != byte:
                raise ReplyError(f"reply: {literal!r} is not at byte {self.offset}")
            self._move(1)

    def read_answer(self, blank: Blank) -> tuple[int, str]:
        """Move past an answer.

        Returns:
            Offset of the answer, and its text in the spelling of the form.
        """
        if self.state == OUTSIDE:
            self._read_match(_SPACES)
        start = self.offset
        match blank:
            case Choice():
                return start, self._read_match(_WORD if self.state == OUTSIDE else _STRING)
            case Text():
                content = self._read_match(_STRING)
                self._move(1)  # the closing quote
                return start, content
        answer = "]" if self.text[start : start + 1] == b"]" else blank.opening
        self.skip_literal(answer.encode())
        return start, answer

    def _read_match(self, pattern: re.Pattern[bytes]) -> str:
        match = pattern.match(self.text, self.offset)
        assert match is not None  # every pattern also matches the empty text
        self._move(len(match[0]))
        return match[0].decode("utf-8", "replace")

    def _move(self, count: int) -> None:
        for byte in self.text[self.offset : self.offset + count]:
            self.states.append(self.state)
            self.state = next_state(self.state, byte)
        self.offset += count


def next_state(state: int, byte: int) -> int:
    """Return the state of the byte after one.

    Args:
        state: the state of the byte: `OUTSIDE`, `INSIDE` or `ESCAPED`.
        byte: the byte itself.

    Returns:
        The state of the byte that follows.
    """
    if state == OUTSIDE:
        return INSIDE if byte == _QUOTE else OUTSIDE
    if state == INSIDE:
        return {_QUOTE: OUTSIDE, _BACKSLASH: ESCAPED}.get(byte, INSIDE)
    return INSIDE
