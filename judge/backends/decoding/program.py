"""The protocol between one row and the batch that it runs in.

Each row is a generator that knows nothing of the other rows. It yields a `StepInput` with the tokens to feed
and the positions to read, and is sent what was read there. Its return value is the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from judge.backends.base import Reply
from judge.backends.decoding.label_tree import TokenTree
from judge.errors import ReplyError
from judge.rubrics.form_nodes import Branch, Choice


@dataclass
class StepInput(TokenTree):
    """The tokens that a row feeds in one forward pass, and what it reads there."""

    edges: list[tuple[int, int]] = field(default_factory=list)
    """(index of a token of this step, token that may follow it): the log-probability of each is read."""
    num_logits: int = 0
    """If not 0: read the logits of the whole vocabulary after this many of the last tokens, and no edges."""
    discarded: list[int] = field(default_factory=list)
    """Indexes of tokens of the row's previous step that lie on branches not taken."""


RowProgram = Generator[StepInput, Any, Reply]
"""A row: yields steps and is sent (edges,) log-probabilities or (`num_logits`, V) logits, in float32."""
TextMask = Callable[[Sequence[int], Any], Any]
"""The grammar of one text blank: tokens written so far and logits (V,) -> logits with an allowed maximum."""


def check_not_nan(scores: Any, blank: str) -> Any:
    """Check that a model's output holds no NaN.

    Args:
        scores: array of log-probabilities or logits.
        blank: path of the blank that they were read for.

    Returns:
        `scores`.

    Raises:
        ReplyError: one of them is NaN.
    """
    if np.isnan(scores).any():
        raise ReplyError(f"{blank}: the model answered NaN")
    return scores


def next_literal(blank: Choice | Branch) -> str:
    """Return the literal text after a blank, as far as the blank knows it."""
    return blank.next_literal if isinstance(blank, Choice) else ""


def report_probabilities(blank: Choice | Branch, probabilities: Any) -> dict[str, float]:
    """Name the probabilities of a blank's labels, as `Reply.probabilities` does."""
    return dict(zip(blank.reported_labels, probabilities.tolist(), strict=True))
