"""Statements about a picture: what kind each is, and which others must hold before it can.

The dependencies are those of a Davidsonian scene graph (DSG, Cho et al. 2024, arXiv 2310.18235): no colour
without its object, no relation without both ends. A statement is no more probable than what it needs, so one
whose object is absent counts as absent, whatever the model said of it.

Three ways to statements: `of` reads kinds and dependencies off elements as `judge.elements.splitting.split` gives them,
by rules; `judge.elements.atomic.atoms` takes a prompt apart word by word; `judge.elements.by_model` lets a large model do it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from judge.elements.splitting import (
    ARTICLES,
    BREAKS,
    COLOURS,
    COPULAS,
    ING_NOUNS,
    MEDIA,
    RELATIONS,
    normalise,
)
from judge.types import Model

Kind = Literal["object", "attribute", "count", "relation", "activity", "style", "text"]

NUMBERS = frozenset(
    "two three four five six seven eight nine ten eleven twelve dozen several many few couple pair multiple "
    "numerous single lots dozens hundreds".split()
)
_TEXT = re.compile(
    r"[\"“”‘’]|(?<!\w)'|^(?:the\s+)?(?:text|word|words|letter|letters|caption|writing)\b", re.I
)
_STYLE = frozenset(MEDIA) | frozenset(
    "style art artstation 4k 8k hd cinematic bokeh lighting aesthetic".split()
)
_WORDINGS = "|".join(sorted(map(re.escape, set(RELATIONS.values())), key=len, reverse=True))
_RELATION = re.compile(rf"(?<=\w)\s(?:{_WORDINGS}|\w+er than)\s", re.I)
_JOINTS = COPULAS | BREAKS | {"than"} | {word for phrase in RELATIONS.values() for word in phrase.split()}


class Statement(Model):
    """One statement to check."""

    name: str
    """What the judge is asked, as an element."""
    kind: Kind
    needs: list[str] = []
    """Names of other statements of the same list that must hold before it can."""
    word: str = ""
    """The word or words of the prompt that it stands for; empty where that is the name."""


def of(elements: Sequence[str]) -> list[Statement]:
    """Kinds and dependencies of elements, in their order.

    An element needs each other one that it names as a thing: "two red cats on a mat" needs "red cat", "cat"
    and "mat" where these are elements too. "No hat" needs nothing.
    """
    words = [_words(name) for name in elements]
    return [
        Statement(
            name=name,
            kind=kind_of(name),
            needs=[
                other
                for at, other in enumerate(elements)
                if at != own and not _denies(words[own]) and _names(words[own], words[at])
            ],
        )
        for own, name in enumerate(elements)
    ]


def kind_of(element: str) -> Kind:
    """What sort of statement an element is, by its words."""
    words = element.lower().split()
    if not words:
        return "object"
    if _TEXT.search(element):
        return "text"
    if _RELATION.search(element):
        return "relation"
    if any(_is_verb(word) for word in words[1:]):
        return "activity"
    if words[0] in NUMBERS or words[0].isdigit():
        return "count"
    if words[-1] in _STYLE:
        return "style"
    if any(word in COPULAS for word in words[1:-1]) or set(words) <= COLOURS:
        return "attribute"
    return "object"


def held(statements: Sequence[Statement], chances: Mapping[str, float]) -> dict[str, float]:
    """Name -> probability, none above that of a statement it needs.

    Args:
        statements: with dependencies in no circle.
        chances: name -> probability as the model gave it.
    """
    needs = {one.name: one.needs for one in statements}
    found: dict[str, float] = {}

    def settle(name: str, below: tuple[str, ...] = ()) -> float:
        if name not in found:
            mine = [settle(n, (*below, name)) for n in needs[name] if n in needs and n not in (*below, name)]
            found[name] = min([chances[name], *mine])
        return found[name]

    return {one.name: settle(one.name) for one in statements}


def _words(element: str) -> list[str]:
    return [word if word in _JOINTS else singular(word) for word in normalise(element).split()]


def singular(word: str) -> str:
    """A plain English plural without its ending; other words as they are."""
    if word == "people":
        return "person"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _denies(words: Sequence[str]) -> bool:
    return bool(words) and words[0] in ("no", "without", "not")


def _names(whole: Sequence[str], part: Sequence[str]) -> bool:
    """Whether the part stands in the whole as a thing: in "cat house" the house does, the cat does not."""
    if not part or len(part) >= len(whole):
        return False
    for start in range(len(whole) - len(part) + 1):
        end = start + len(part)
        if list(whole[start:end]) == list(part) and (
            end == len(whole) or whole[end] in _JOINTS | ARTICLES or _is_verb(whole[end])
        ):
            return True
    return False


def _is_verb(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in ING_NOUNS
