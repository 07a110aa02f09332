"""Refine phrases without a parser: "two small red cats" becomes cats, two cats, small cats and red cats.

Only words that are listed as numbers, colours, materials or adjectives are taken off the beginning of a
phrase, so
a name such as "black hole" loses its first word too, but no noun is taken for an adjective.
"""

from __future__ import annotations

from judge.elements.grammar.words import (
    ADJECTIVES,
    COLOUR_SHADES,
    COLOUR_WORDS,
    MATERIALS,
    QUANTITY_WORDS,
    STYLE_NOUNS,
    is_adjective_like,
)
from judge.elements.statements import Kind, Statement, annotate_elements

_KINDS: tuple[Kind, ...] = ("object", "count")


def refine_statements(statements: list[Statement]) -> list[Statement]:
    """Split the phrases among statements into a thing, its number and its attributes.

    Args:
        statements: of `judge.elements.statements.annotate_elements`.

    Returns:
        Distinct statements; each thing stands before what is said of it. Relations and activities keep their
        wording and need the things that they mention.
    """
    refined: dict[str, Statement] = {}
    for statement in statements:
        for part in _refine(statement):
            refined.setdefault(part.name.casefold(), part)
    needs = {
        statement.name: statement.needs for statement in annotate_elements([s.name for s in refined.values()])
    }
    own = {statement.name for statement in refined.values()}
    return [
        statement
        if statement.kind in ("object", "style", "text") or _is_refined(statement, own)
        else statement.model_copy(update={"needs": needs[statement.name]})
        for statement in refined.values()
    ]


def _is_refined(statement: Statement, names: set[str]) -> bool:
    return bool(statement.needs) and names.issuperset(statement.needs)


def _refine(statement: Statement) -> list[Statement]:
    words = statement.name.split()
    if statement.kind not in _KINDS or len(words) < 2 or words[-1].lower() in STYLE_NOUNS:
        return [statement]
    count, at = _leading_count(words)
    modifiers: list[tuple[Kind, str]] = [("count", count)] if count else []
    while at < len(words) - 1:
        size = _modifier_size(words[at:-1])
        if not size:
            break
        modifiers.append(("attribute", " ".join(words[at : at + size])))
        at += size
    thing = " ".join(words[at:])
    if not modifiers or not thing[:1].isalnum():
        return [statement]
    parts = [Statement(name=thing, kind="object")]
    return parts + [
        Statement(name=f"{word} {thing}", kind=kind, needs=[thing], word=word) for kind, word in modifiers
    ]


def _leading_count(words: list[str]) -> tuple[str, int]:
    """Return the number that a phrase begins with, and the index of the word after it."""
    first = words[0].lower()
    if first.isdigit() or first in QUANTITY_WORDS and first != "one":
        if len(words) > 2 and words[1].lower() == "of":
            return words[0], 2
        return words[0], 1
    return "", 0


def _modifier_size(words: list[str]) -> int:
    """Return the number of words at the beginning that are one modifier; 0 if they are none."""
    first = words[0].lower().rstrip(",")
    second = words[1].lower() if len(words) > 1 else ""
    if first in COLOUR_SHADES and second in COLOUR_WORDS:
        return 2
    if first in COLOUR_WORDS and second == "and" and len(words) > 2 and words[2].lower() in COLOUR_WORDS:
        return 3
    if first.endswith("ly") and second and _modifier_size(words[1:]):
        return 2  # "freshly picked"
    is_modifier = (
        first in COLOUR_WORDS or first in MATERIALS or first in ADJECTIVES or is_adjective_like(first)
    )
    return int(is_modifier or ("-" in first and first.endswith(("ed", "ing"))))
