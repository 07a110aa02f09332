"""A form that vLLM fills token by token: what must be mended in it, and what else could have stood there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from judge.backends.base import Reply
from judge.backends.decoding import grammar, logprobs
from judge.errors import ReplyError
from judge.rubrics.form import Form, Text


class Draft:
    """A form that is being filled with tokens.

    Args:
        form: what is filled.
        plain: encodes a piece of the form.
        spelled: the bytes that a token stands for.
    """

    def __init__(
        self, form: Form, plain: Callable[[str], Sequence[int]], spelled: Callable[[int], bytes]
    ) -> None:
        self.form, self.plain, self.spelled = form, plain, spelled
        self.tokens: list[int] = []
        self.told: list[Callable[[], Mapping[bytes, float]]] = []
        """Tells what could have stood at each token; nothing for those that were put there."""
        self.answers: list[str] = []
        """Of the blanks that are settled."""
        self.room: int | None = None
        """Characters that still fit into the text that is begun; None when none is."""
        self.done = False
        for text in grammar.before(form):
            self._put(text)

    def take(self, output: Any) -> None:
        """Take in what the engine wrote, up to the first thing to mend. Raises `ReplyError`."""
        finished, standing = output.finish_reason == "stop", len(self.tokens)
        written = list(output.token_ids)[: -1 if finished else None]  # the last one closes the turn
        self.tokens += written
        self.told += [partial(_alternatives, output.logprobs, n, self.spelled) for n in range(len(written))]
        if finished:
            self._put(grammar.behind(self.form))
        text = self._text()
        trail = logprobs.follow(self.form, text)
        before, self.room = self.answers, None
        for number, (place, said) in enumerate(zip(trail.places, trail.answers, strict=False)):
            if not isinstance(place.blank, Text):
                continue
            open_ended = text[place.start + len(said.encode()) :] == b""
            if len(said) > place.blank.max_chars or open_ended:
                self._keep(place.start + len(said[: place.blank.max_chars].encode()))
                self.answers = trail.answers[:number]
                self.room = place.blank.max_chars - len(self._text()[place.start :].decode())
                break
        else:
            self.done = finished and trail.stuck is None
            if trail.stuck is not None:
                self._back_to(trail.stuck)
                self.answers = trail.answers
        if (not finished and len(self.tokens) <= standing) or (trail.stuck and self.answers == before):
            raise ReplyError(f"reply: not finished after {len(self.tokens)} tokens")

    def reply(self) -> Reply:
        pieces = list(map(self.spelled, self.tokens))
        probabilities, exact = logprobs.read(self.form, pieces, lambda n: self.told[n]())
        return Reply(self._text().decode("utf-8", "replace"), probabilities, exact)

    def _put(self, text: str) -> None:
        added = self.plain(text)
        self.tokens += added
        self.told += [dict] * len(added)

    def _text(self) -> bytes:
        return b"".join(map(self.spelled, self.tokens))

    def _keep(self, offset: int) -> None:
        """Take back the tokens that do not end at a place or before it, and half a character before those."""
        while len(text := self._text()) > offset or not _is_whole(text):
            del self.tokens[-1], self.told[-1]

    def _back_to(self, offset: int) -> None:
        """Take back what stands behind a place; the beginning of a token that reaches there stays as text."""
        rest = self._text()
        self._keep(offset)
        self._put(rest[len(self._text()) : offset].decode())


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _alternatives(told: Any, position: int, spelled: Callable[[int], bytes]) -> dict[bytes, float]:
    """What could have stood at a position of `FlatLogprobs`."""
    span = range(told.start_indices[position], told.end_indices[position])
    return {spelled(told.token_ids[n]): told.logprobs[n] for n in reversed(span)}
