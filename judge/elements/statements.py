"""Statements about an image: the kind of each statement and which other statements must hold first.

The dependencies are those of a Davidsonian scene graph (DSG, Cho et al. 2024, arXiv 2310.18235): a colour
needs its object, a relation needs both of its ends. A statement is never more probable than the statements it
needs, so a statement about an absent object counts as absent whatever probability the model gave it.

There are three ways to get statements: `annotate_elements` derives kinds and dependencies by rules from the
elements of `judge.elements.splitting.split_prompt`; `judge.elements.atomic.extract_atomic_statements` takes a
prompt apart word by word; `judge.elements.model_extraction` lets a large model list them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from judge.elements.lexicon import (
    ARTICLES,
    COLOURS,
    COPULAS,
    FINITE_VERBS,
    ING_NOUNS,
    MEDIUM_NOUNS,
    NUMBERS,
    PHRASE_BREAKS,
    RELATIONS,
)
from judge.elements.text import normalise_element
from judge.types import Element, StrictModel

Kind = Literal["object", "attribute", "count", "relation", "activity", "style", "text"]
"""Kinds that a splitter gives."""
AnyKind = Literal[Kind, "unchanged"]
"""All kinds; unchanged: as in the reference image."""

_TEXT = re.compile(
    r"[\"“”‘’]|(?<!\w)'|^(?:the\s+)?(?:text|word|words|letter|letters|caption|writing)\b", re.I
)
_NAMED_TEXT = re.compile(r"[^\"“”‘’']*$")
"""Matches an element that names a text without quotation marks, as "letter a" does."""
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|‘([^’]+)’")
_PARTICLES = (["off"], ["out"], ["up"], ["down"], ["away"])
_STYLE_NOUNS = frozenset(MEDIUM_NOUNS) | frozenset(
    "style art artstation 4k 8k hd cinematic bokeh lighting aesthetic".split()
)
_RELATION_WORDINGS = "|".join(sorted(map(re.escape, set(RELATIONS.values())), key=len, reverse=True))
_RELATION = re.compile(rf"(?<=\S)\s(?:{_RELATION_WORDINGS}|\w+er than)\s", re.I)
_FUNCTION_WORDS = (
    COPULAS | PHRASE_BREAKS | {"than"} | {word for phrase in RELATIONS.values() for word in phrase.split()}
)


class Statement(StrictModel):
    """One statement to check."""

    name: str
    """The text of the element that the judge checks."""
    kind: AnyKind
    needs: list[str] = []
    """Names of the statements in the same list that must hold before this one can."""
    expected: bool = True
    """False: the image must not show it. `name` says what it must not show, without a negation."""
    word: str = ""
    """The word or words of the prompt that the statement stands for; empty if equal to `name`."""


def annotate_elements(elements: Sequence[str]) -> list[Statement]:
    """Return the elements, in order, with their kinds and dependencies.

    An element needs each other element that it mentions as a thing: "two red cats on a mat" needs "red cat",
    "cat" and "mat" if these are elements too. "No hat" needs nothing.

    Args:
        elements: distinct element texts.

    Returns:
        One statement for each element.
    """
    words = [_normalised_words(name) for name in elements]
    return [
        Statement(
            name=name,
            kind=kind,
            needs=[
                other
                for at, other in enumerate(elements)
                if at != own and not _is_negated(words[own]) and _mentions(words[own], words[at])
            ],
            word=_own_word(name, kind),
        )
        for own, (name, kind) in enumerate(zip(elements, map(classify_element, elements), strict=True))
    ]


def _own_word(element: str, kind: Kind) -> str:
    """Return the words of an element that say more than the elements it needs; empty: all of them."""
    words = element.split()
    match kind:
        case "relation":
            return (
                element[found.start() : found.end()].strip() if (found := _RELATION.search(element)) else ""
            )
        case "activity":
            verb = next(
                at for at, w in enumerate(words) if at and (_is_verb(w.lower()) or w.lower() in FINITE_VERBS)
            )
            return " ".join(words[verb : verb + 1 + (words[verb + 1 : verb + 2] in _PARTICLES)])
        case "attribute" if len(words) > 2:
            copula = next((at for at, word in enumerate(words[:-1]) if at and word.lower() in COPULAS), -1)
            return " ".join(words[copula + 1 :]) if copula > 0 else ""
        case "text":
            return next(filter(None, found.groups()), "") if (found := _QUOTED.search(element)) else ""
    return ""


def classify_element(element: str) -> Kind:
    """Return the kind of an element, derived from its words."""
    words = element.lower().split()
    if not words:
        return "object"
    if _TEXT.search(element) and (not _NAMED_TEXT.match(element) or not _RELATION.search(element)):
        return "text"
    if _RELATION.search(element):
        return "relation"
    if any(_is_verb(word) or word in FINITE_VERBS for word in words[1:]):
        return "activity"
    if words[0] in NUMBERS or words[0].isdigit():
        return "count"
    if words[-1] in _STYLE_NOUNS:
        return "style"
    if any(word in COPULAS for word in words[1:-1]) or set(words) <= COLOURS:
        return "attribute"
    return "object"


def cap_by_dependencies(
    statements: Sequence[Statement | Element], probabilities: Mapping[str, float]
) -> dict[str, float]:
    """Limit the probability of each statement to that of the statements it needs.

    Args:
        statements: statements or elements whose dependencies form no cycle.
        probabilities: name -> probability given by the model.

    Returns:
        Name -> probability; the minimum over the statement and everything it needs, directly or indirectly.
    """
    needs = {statement.name: statement.needs for statement in statements}
    capped: dict[str, float] = {}

    def cap(name: str, dependents: tuple[str, ...] = ()) -> float:
        if name not in capped:
            chain = (*dependents, name)
            needed = [cap(n, chain) for n in needs[name] if n in needs and n not in chain]
            capped[name] = min([probabilities[name], *needed])
        return capped[name]

    return {statement.name: cap(statement.name) for statement in statements}


def cap_elements(elements: Sequence[Element]) -> list[Element]:
    """Return the elements, none more probable than an element it needs; see `cap_by_dependencies`."""
    capped = cap_by_dependencies(elements, {element.name: element.probability for element in elements})
    return [
        element.model_copy(
            update={"probability": capped[element.name], "present": capped[element.name] >= 0.5}
        )
        for element in elements
    ]


def singularise(word: str) -> str:
    """Remove the ending of a regular English plural; other words are returned unchanged."""
    if word == "people":
        return "person"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def singularise_last(name: str) -> str:
    """Return a phrase with its last word in the singular, unless it begins with a number: "blue cats"."""
    words = name.split()
    if not words or words[0].lower() in NUMBERS or words[0].isdigit():
        return name
    return " ".join([*words[:-1], singularise(words[-1])])


def _normalised_words(element: str) -> list[str]:
    return [
        word if word in _FUNCTION_WORDS else singularise(word) for word in normalise_element(element).split()
    ]


def _is_negated(words: Sequence[str]) -> bool:
    return bool(words) and words[0] in ("no", "without", "not")


def _mentions(whole: Sequence[str], part: Sequence[str]) -> bool:
    """Return whether `whole` mentions `part` as a thing: "cat house" mentions the house but not the cat."""
    if not part or part[0] not in whole or len(part) >= len(whole):
        return False
    for start in range(len(whole) - len(part) + 1):
        end = start + len(part)
        if list(whole[start:end]) == list(part) and (
            end == len(whole) or whole[end] in _FUNCTION_WORDS | ARTICLES or _is_verb(whole[end])
        ):
            return True
    return False


def _is_verb(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in ING_NOUNS
