"""The elements of a prompt, from its text to a list of statements that must hold or must not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from judge.elements.negation import split_negation
from judge.elements.prompt_syntax import PlainPrompt, read_prompt
from judge.elements.splitting import split_prompt
from judge.elements.statements import Statement, annotate_elements

MAX_LISTED_ELEMENTS = 24
"""Default of the largest number of elements of one prompt."""

Splitter = Callable[[str, int], list[Statement]]
"""Returns the statements of a plain text without negation; the number is the largest number of statements."""


@dataclass(frozen=True)
class ElementList:
    """The elements of one prompt."""

    statements: list[Statement]
    """Distinct statements in the order of the prompt; those that must not hold stand last."""
    prompt: PlainPrompt
    """The prompt without the syntax of a generator."""
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about the list."""


def split_by_rules(text: str, limit: int) -> list[Statement]:
    """Split plain text by the rules of `judge.elements.splitting`."""
    return annotate_elements(split_prompt(text, limit))


def list_elements(
    prompt: str,
    negative_prompt: str = "",
    *,
    split: Splitter = split_by_rules,
    limit: int = MAX_LISTED_ELEMENTS,
) -> ElementList:
    """List the elements of a prompt.

    Args:
        prompt: the prompt as its author wrote it.
        negative_prompt: what the image must not show.
        split: takes the elements out of plain text.
        limit: largest number of elements.
    """
    plain = read_prompt(prompt)
    positive, _ = split_negation(plain.text)
    return ElementList(split(positive, limit), plain, [*plain.notes])
