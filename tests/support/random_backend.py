"""A backend that fills any form with seeded random answers and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.rubrics.form_nodes import Literal, Text


class RandomBackend:
    """Answers each blank with the likeliest of randomly weighted labels.

    Args:
        seed: seed of the random weights.
        size: input size of the model in pixels; None for a model without a fixed size.
        brief: whether the model counts as tuned on the rubric.
    """

    name, version, model, revision = "random", "1", "random", ""
    adapter: str | None = None
    domain = "nothing at all"

    def __init__(self, seed: int = 0, size: int | None = 32, *, brief: bool = True) -> None:
        self.random, self.size, self.brief = Random(seed), size, brief
        self.lists_elements = False  # its random answers are about images
        self.requests: list[Request] = []
        """All requests so far."""

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return [self._fill(request) for request in requests]

    complete = choose

    def _fill(self, request: Request) -> Reply:
        self.requests.append(request)
        text, probabilities, walk = "", dict[str, dict[str, float]](), request.form.walk()
        piece = next(walk)
        while True:
            answer = ""
            if isinstance(piece, Literal):
                text += piece.text
            elif isinstance(piece, Text):
                answer = "it is *so* [red]"[: piece.max_chars]
                text += answer + '"'
            else:
                weights = [self.random.random() + 1e-3 for _ in piece.labels]
                total = sum(weights)
                shares = [weight / total for weight in weights]
                probabilities[piece.name] = dict(zip(piece.reported_labels, shares, strict=True))
                answer = piece.labels[weights.index(max(weights))]
                text += answer
            try:
                piece = walk.send(answer)
            except StopIteration:
                return Reply(text, probabilities)
