"""A backend without a model: it answers from a queue. For tests, yours as well as ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from judge.backends.base import Reply, Request
from judge.errors import BackendError, ReplyError
from judge.rubrics.form import dumps


class Scripted:
    """Gives queued replies in order and records what it was asked.

    Args:
        replies: each a `Reply`; a text or a dict, the filled form, whose labels then get probability 1; or
            an exception: a `ReplyError` fails its row, any other is raised.

    Example:
        >>> backend = Scripted([{"score": 4}])
        >>> verdict = Judge(backend=backend)("picture.png", prompt="a red circle")
        >>> backend.asks[0].messages
    """

    name = "scripted"
    version = ""
    model = "scripted"
    revision = ""
    adapter: str | None = None
    domain = ""

    def __init__(
        self,
        replies: Iterable[Reply | str | dict[str, Any] | Exception] = (),
        *,
        brief: bool = False,
        size: int | None = None,
        films: bool = False,
    ) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.brief, self.size, self.films = brief, size, films

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return [self._next(request) for request in requests]

    complete = choose

    def _next(self, request: Request) -> Reply | ReplyError:
        self.requests.append(request)
        if not self.replies:
            raise BackendError(f"scripted: asked {len(self.requests)} times, but no reply is left")
        reply = self.replies.pop(0)
        match reply:
            case Reply() | ReplyError():
                return reply
            case Exception():
                raise reply
        text = reply if isinstance(reply, str) else dumps(reply)
        return Reply(text, _certain(request, text))


def _certain(request: Request, text: str) -> dict[str, dict[str, float]]:
    """Probability 1 for every label that stands in the text; nothing where the text does not fit."""
    try:
        segments = request.form.segments(request.form.parse(text))
    except ReplyError:
        return {}
    certain = {}
    for segment in segments:
        if segment.role == "choice":
            certain[segment.blank] = {label: float(label == segment.text) for label in segment.labels}
        elif segment.role == "branch":
            closed = segment.text == "]"
            certain[segment.blank] = {"open": float(not closed), "close": float(closed)}
    return certain
