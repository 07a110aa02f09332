"""A stand-in for a model that fills every form at once, at both depths."""

from __future__ import annotations

from collections.abc import Sequence

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.rubrics.form_nodes import Literal, Text


class FormFiller:
    """Answers each blank with its first label; all labels are as likely."""

    name = model = "stand-in"
    version = revision = domain = ""
    adapter: str | None = None
    brief, size, lists_elements = True, 224, False

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill the forms of requests."""
        return [_fill(request) for request in requests]

    complete = choose


def _fill(request: Request) -> Reply:
    text, probabilities, walk = "", dict[str, dict[str, float]](), request.form.walk()
    piece = next(walk)
    while True:
        answer = ""
        if isinstance(piece, Literal):
            text += piece.text
        elif isinstance(piece, Text):
            answer = "nothing"[: piece.max_chars]
            text += f'{answer}"'
        else:
            probabilities[piece.name] = dict.fromkeys(piece.reported_labels, 1 / len(piece.labels))
            answer = piece.labels[0]
            text += answer
        try:
            piece = walk.send(answer)
        except StopIteration:
            return Reply(text, probabilities)
