"""A form that vLLM fills token by token: its corrections, and the alternatives at each token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from judge.backends.base import Reply
from judge.backends.decoding import grammar, logprobs
from judge.backends.decoding.reply_alignment import ReplyAlignment, align_reply
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Text


class PartialForm:
    """A form that is being filled with tokens.

    Args:
        form: the form to fill.
        encode: encodes a piece of the form.
        token_bytes: returns the bytes that a token stands for.
    """

    def __init__(
        self, form: Form, encode: Callable[[str], Sequence[int]], token_bytes: Callable[[int], bytes]
    ) -> None:
        self.form, self.encode, self.token_bytes = form, encode, token_bytes
        self.tokens: list[int] = []
        self.alternatives: list[Callable[[], Mapping[bytes, float]]] = []
        """For each token, a function that returns the possible tokens there with their log-probabilities;
        empty for tokens that the model did not choose."""
        self.answers: list[str] = []
        """Answers of the blanks that are settled."""
        self.remaining_chars: int | None = None
        """Characters that still fit into the text that is begun; None if no text is begun."""
        self.is_done = False
        for text in grammar.leading_literals(form):
            self._append(text)

    def add_output(self, output: Any) -> None:
        """Add what the engine wrote, up to the first answer that has to be corrected.

        Args:
            output: vLLM's `CompletionOutput`.

        Raises:
            ReplyError: the engine made no progress.
        """
        is_finished, count = output.finish_reason == "stop", len(self.tokens)
        written = list(output.token_ids)[: -1 if is_finished else None]  # the last token ends the turn
        self.tokens += written
        self.alternatives += [
            partial(_alternatives_at, output.logprobs, n, self.token_bytes) for n in range(len(written))
        ]
        if is_finished:
            self._append(grammar.trailing_literal(self.form))
        alignment = align_reply(self.form, self._text())
        before, self.remaining_chars = self.answers, None
        if not self._cut_text(alignment):
            self.is_done = is_finished and alignment.mismatch is None
            if alignment.mismatch is not None:
                self._truncate_exactly(alignment.mismatch)
                self.answers = alignment.answers
        has_no_new_token = not is_finished and len(self.tokens) <= count
        if has_no_new_token or (alignment.mismatch and self.answers == before):
            raise ReplyError(f"reply: not finished after {len(self.tokens)} tokens")

    def _cut_text(self, alignment: ReplyAlignment) -> bool:
        """Cut the first text that is too long or not closed; returns whether there is one."""
        text = self._text()
        for index, (position, answer) in enumerate(zip(alignment.blanks, alignment.answers, strict=False)):
            if not isinstance(position.blank, Text):
                continue
            max_chars = position.blank.max_chars
            is_open = text[position.start + len(answer.encode()) :] == b""
            if len(answer) > max_chars or is_open:
                self._truncate(position.start + len(answer[:max_chars].encode()))
                self.answers = alignment.answers[:index]
                self.remaining_chars = max_chars - len(self._text()[position.start :].decode())
                return True
        return False

    def reply(self) -> Reply:
        """Return the filled form with the probabilities of its labels."""
        tokens = list(map(self.token_bytes, self.tokens))
        mass: dict[str, float] = {}
        probabilities, is_exact = logprobs.read_probabilities(
            self.form, tokens, lambda n: self.alternatives[n](), label_mass=mass
        )
        text = self._text().decode("utf-8", "replace")
        return Reply(text, probabilities, is_exact, label_mass=mass or None)

    def _append(self, text: str) -> None:
        added = self.encode(text)
        self.tokens += added
        self.alternatives += [dict] * len(added)

    def _text(self) -> bytes:
        return b"".join(map(self.token_bytes, self.tokens))

    def _truncate(self, offset: int) -> None:
        """Remove the tokens that end after a byte offset, and then any half character at the end."""
        while len(text := self._text()) > offset or not _is_utf8(text):
            del self.tokens[-1], self.alternatives[-1]

    def _truncate_exactly(self, offset: int) -> None:
        """Remove all text after a byte offset; a token that crosses it is replaced by its first part."""
        text = self._text()
        self._truncate(offset)
        self._append(text[len(self._text()) : offset].decode())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _alternatives_at(logprobs: Any, position: int, token_bytes: Callable[[int], bytes]) -> dict[bytes, float]:
    """Return the possible tokens at a position of vLLM's `FlatLogprobs`, with their log-probabilities."""
    span = range(logprobs.start_indices[position], logprobs.end_indices[position])
    return {token_bytes(logprobs.token_ids[n]): logprobs.logprobs[n] for n in reversed(span)}
