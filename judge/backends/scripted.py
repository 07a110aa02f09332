"""A backend without a model, which answers from a queue of replies. For tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from judge.backends.base import Reply, Request
from judge.errors import BackendError, ReplyError
from judge.rubrics.form_nodes import canonical_json


class Scripted:
    """Return queued replies in order, and record the requests.

    Args:
        replies: what to return. Each is a `Reply`; a string or a dict, the filled form, whose labels then get
            probability 1; or an exception. A `ReplyError` is returned for its row, any other exception is
            raised.
        brief: as `Backend.brief`.
        size: as `Backend.size`.
        takes_video: as the optional attribute of `Backend`.
        lists_elements: as the optional attribute of `Backend`. False by default, also for general models: the
            queue then holds the answers about images only.

    Attributes:
        requests: every request so far, in order.

    Example:
        >>> backend = Scripted([{"score": 4}])
        >>> verdict = Judge(backend=backend)("image.png", prompt="a red circle")
        >>> backend.requests[0].messages
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
        takes_video: bool = False,
        lists_elements: bool = False,
    ) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.brief, self.size, self.takes_video = brief, size, takes_video
        self.lists_elements = lists_elements

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Return the next reply for each request; see `Backend.choose`."""
        return [self._next_reply(request) for request in requests]

    complete = choose

    def _next_reply(self, request: Request) -> Reply | ReplyError:
        self.requests.append(request)
        if not self.replies:
            raise BackendError(f"scripted: no reply is left for request {len(self.requests)}")
        reply = self.replies.pop(0)
        match reply:
            case Reply() | ReplyError():
                return reply
            case Exception():
                raise reply
        text = reply if isinstance(reply, str) else canonical_json(reply)
        return Reply(text, _certain_probabilities(request, text))


def _certain_probabilities(request: Request, text: str) -> dict[str, dict[str, float]]:
    """Give probability 1 to every label in the text; nothing if the text does not fit the form."""
    try:
        segments = request.form.segments(request.form.parse(text))
    except ReplyError:
        return {}
    probabilities = {}
    for segment in segments:
        if segment.role == "choice":
            probabilities[segment.blank] = {label: float(label == segment.text) for label in segment.labels}
        elif segment.role == "branch":
            is_closed = segment.text == "]"
            probabilities[segment.blank] = {"open": float(not is_closed), "close": float(is_closed)}
    return probabilities
