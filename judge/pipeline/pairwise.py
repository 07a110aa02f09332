"""Two pictures shown together: asked twice, in both orders, since models lean to one side.

What the two answers have in common is the preference: the mean of the probabilities that they give to a. How
far they lie apart is the swap disagreement: 0 for a judge that reads pictures, 1 for one that reads places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.pipeline.parsing import Answer
from judge.rubrics.form import Choice, Form, Object, Text
from judge.rubrics.rubric import LANGUAGES
from judge.rubrics.templates import template
from judge.types import Depth

if TYPE_CHECKING:
    from judge.pipeline.prepared import PreparedSample
    from judge.rubrics.rubric import Rubric

SIDES = ("first", "second", "tie")
REASON = 160
"""Characters of the reason where the rubric asks for none about a picture alone."""
TIE = 0.02
"""Mean probabilities this close to one half are a tie."""


@dataclass(frozen=True)
class Preference:
    """What two answers, one in each order, say together."""

    orders: tuple[float, float]
    """Probability that a is better where a stands first, and where b does; a tie counts half."""
    explanation: str
    exact: bool
    """Whether the probabilities are the model's own."""

    @property
    def probability(self) -> float:
        return sum(self.orders) / 2

    @property
    def disagreement(self) -> float:
        return abs(self.orders[0] - self.orders[1])


def form(rubric: Rubric, depth: Depth) -> Form:
    """The answer: at depth `verdict` a reason first, then the side."""
    reason = Text("explanation", rubric.explanation or REASON)
    better = Choice("better", SIDES, quoted=True)
    return Form(Object((("explanation", reason), ("better", better)))).at_depth(depth)


def requests(rubric: Rubric, a: PreparedSample, b: PreparedSample) -> list[Request]:
    """The two questions: a first, then b first.

    Args:
        rubric: what decides.
        a, b: cases of the two pictures, of one prompt and prepared for one model.
    """
    depth, wanted = a.depth, form(rubric, a.depth)
    assert a.picture is not None and b.picture is not None
    shared = [a.reference] if a.reference is not None else []
    text = template("pairwise").render(rubric=rubric, prompt=a.prompt, depth=depth, reference=bool(shared))
    if LANGUAGES[rubric.language] and depth == "verdict":
        text += f"\n\n{LANGUAGES[rubric.language]}"
    parts: list[dict[str, Any]] = [{"type": "image"} for _ in range(2 + len(shared))]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    return [
        Request(
            images=[*shared, *sides], messages=messages, form=wanted, rubric=rubric.name, seed=a.request.seed
        )
        for sides in ((a.picture, b.picture), (b.picture, a.picture))
    ]


def read(form: Form, replies: Sequence[Reply | ReplyError]) -> Preference:
    """Raises `ReplyError` when one of the answers cannot be used: half of a comparison is none."""
    chances, words, exact = [], [], True
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
        answer = Answer(form, reply)
        shares = answer.probabilities("better", SIDES, answer.values["better"])
        chances.append(shares["first"] + shares["tie"] / 2)
        words.append(answer.values.get("explanation", ""))
        exact = exact and answer.exact and answer.complete
    return Preference((chances[0], 1 - chances[1]), words[0], exact)
