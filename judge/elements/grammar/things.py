"""The things of a parsed segment: nouns with the adjectives and numbers that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from judge.elements.grammar.words import (
    ADJECTIVES,
    COLOUR_SHADES,
    COLOUR_WORDS,
    MATERIALS,
    QUALITY_LEVELS,
    QUALITY_NOUNS,
    QUANTITY_WORDS,
    is_adjective_like,
)
from judge.elements.lexicon import ING_NOUNS
from judge.elements.statements import Kind
from judge.elements.text import HAS_CONTENT

_NOUN_TAGS = ("NN", "NNS", "NNP", "NNPS", "FW")
_BEFORE_ADJECTIVES = ("advmod", "compound", "npadvmod", "amod", "nummod", "quantmod", "nmod", "punct")


@dataclass
class Thing:
    """A noun of a prompt with its modifiers."""

    name: str
    """The noun with the nouns before it, as the prompt writes it."""
    token: Any
    """The last noun, a `spacy.tokens.Token`."""
    modifiers: list[tuple[Kind, str]] = field(default_factory=list)
    """(attribute or count, wording), in the order of the prompt."""
    is_style: bool = False
    activity: str = ""
    """A participle that the parser took for a part of the noun: "dancing" in "a ballerina dancing"."""
    whole: Thing | None = None
    """The things that this is one of: the dogs, for "one" in "two dogs, one black"."""

    @property
    def is_plural(self) -> bool:
        """Whether the noun is a plural, or is counted."""
        counts = [
            word for kind, word in self.modifiers if kind == "count" and word.lower() not in ("one", "1")
        ]
        return self.token.tag_ in ("NNS", "NNPS") or bool(counts)

    @property
    def full_name(self) -> str:
        """The noun with its modifiers."""
        return " ".join([*(word for _, word in self.modifiers), self.name])

    @property
    def needed(self) -> str:
        """Name of the object that statements about this thing need."""
        return self.whole.name if self.whole else self.name


def original_text(doc: Any, start: int, end: int) -> str:
    """Return the tokens from `start` to `end`, exclusive, as the prompt writes them."""
    span = doc[start:end]
    text: str = doc.user_data["text"]
    return text[span.start_char : span.end_char]


def find_things(doc: Any) -> dict[int, Thing]:
    """Return the things of a parsed segment by the index of their noun, in order."""
    things: dict[int, Thing] = {}
    for token in doc:
        if is_thing(token):
            thing, start = _read_thing(token)
            if not thing.modifiers and start and _is_loose_adjective(doc[start - 1]):
                thing.modifiers.append(("attribute", wording(doc[start - 1])))
            things[token.i] = thing
    return things


def is_thing(token: Any) -> bool:
    """Return whether a token is the last noun of a thing."""
    if not is_noun(token) or not HAS_CONTENT.search(token.text):
        return False
    if token.dep_ in ("compound", "npadvmod", "nmod") and token.head.i > token.i and is_noun(token.head):
        return any(child.dep_ == "cc" for child in token.children)
    return not (token.like_num and token.dep_ == "nummod")


def is_noun(token: Any) -> bool:
    """Return whether a token is a noun or a name."""
    is_emoji = (
        not token.text.isascii() and bool(HAS_CONTENT.match(token.text)) and not token.text[0].isalnum()
    )
    return token.pos_ in ("NOUN", "PROPN") or token.tag_ in _NOUN_TAGS or is_emoji


def _read_thing(token: Any) -> tuple[Thing, int]:
    """Return a thing and the index of the first word of its name."""
    doc, start, end, activity = token.doc, token.i, token.i + 1, ""
    for child in sorted(token.lefts, key=lambda child: -child.i):
        is_part = child.dep_ in ("compound", "nmod", "npadvmod") and is_noun(child) and not child.like_num
        is_part = is_part and not _is_attribute_noun(child) or _is_name(child, token)
        if is_part and child.i + 1 == start:
            start = child.left_edge.i
            while start < child.i and (
                doc[start].pos_ in ("ADJ", "DET", "NUM") or _is_attribute_noun(doc[start])
            ):
                start += 1
    if token.lower_.endswith("ing") and token.lower_ not in ING_NOUNS and start < token.i:
        end, activity = token.i, original_text(doc, token.i, token.i + 1)
    name = original_text(doc, start, end)
    owner = next((child for child in token.lefts if child.dep_ == "poss" and is_noun(child)), None)
    if owner is not None:
        name = f"{original_text(doc, owner.i, owner.i + 1)}'s {name}"
    modifiers: list[tuple[Kind, str]] = []
    for child in (child for child in token.subtree if child.i < start):
        head = child.head
        if (
            head == token
            or head.i in range(start, token.i)
            or (_is_attribute_noun(head) and head.i < start)
            or child.lower_ in QUANTITY_WORDS
        ):
            modifiers += _read_modifier(child)
    return Thing(name, token, modifiers, activity=activity), start


def _is_name(token: Any, noun: Any) -> bool:
    """Return whether a word and the noun after it are a name by their capitals: "Oculus Rift"."""
    words = [original_text(token.doc, n, n + 1) for n in range(len(token.doc))]
    capitals = sum(word[:1].isupper() for word in words)
    is_pair = words[token.i][:1].isupper() and words[noun.i][:1].isupper() and token.i > 0
    return (
        is_pair
        and token.lower_ not in COLOUR_WORDS
        and token.pos_ != "NUM"
        and 2 * capitals <= len(words) + 1
    )


def _is_attribute_noun(token: Any) -> bool:
    """Return whether a noun before a thing is a colour or material of it."""
    if token.lower_ in QUALITY_NOUNS:
        return token.i > 0 and token.nbor(-1).lower_ in QUALITY_LEVELS
    if token.lower_ in COLOUR_SHADES:
        return token.i + 1 < len(token.doc) and token.nbor().lower_ in COLOUR_WORDS
    word = token.lower_
    return word in MATERIALS or word in COLOUR_WORDS or word in ADJECTIVES or is_adjective_like(word)


def _read_modifier(token: Any) -> list[tuple[Kind, str]]:
    if _is_shade(token):
        return []  # a part of the colour's wording
    if token.like_num or token.lower_ in QUANTITY_WORDS:
        return [("count", wording(token))]
    if token.tag_ == "VBG" and token.i and token.nbor(-1).lower_ in ("both", "each", "all", "one", "other"):
        return []
    if token.dep_ in ("det", "poss", "punct", "cc", "prep", "case", "predet", "nsubj", "mark", "advcl"):
        return []
    is_size = token.dep_ == "nummod"  # "4k", which is no number
    if is_size or token.pos_ in ("ADJ", "VERB", "NOUN", "PROPN", "ADV") and token.dep_ != "conj":
        return [("attribute", text) for text in _attribute_wordings(token)]
    return []


def _is_shade(token: Any) -> bool:
    """Return whether a word belongs to the colour or quality after it: "midnight" in "midnight blue"."""
    if token.i + 1 == len(token.doc):
        return False
    following = token.nbor().lower_
    is_colour = token.lower_ in COLOUR_SHADES and following in COLOUR_WORDS
    return is_colour or (token.lower_ in QUALITY_LEVELS and following in QUALITY_NOUNS)


def _is_loose_adjective(token: Any) -> bool:
    """Return whether an adjective before a thing was attached to something else by the parser."""
    return token.pos_ == "ADJ" and token.dep_ in ("conj", "amod", "nmod", "compound", "ROOT", "appos", "dep")


def _attribute_wordings(token: Any) -> list[str]:
    """Return the wordings of an adjective and of those that "and" joins to it; colours stay together."""
    conjuncts = [child for child in token.rights if child.dep_ == "conj" and child.pos_ in ("ADJ", "NOUN")]
    if conjuncts and all(word.lower_ in COLOUR_WORDS for word in (token, *conjuncts)):
        return [original_text(token.doc, token.left_edge.i, conjuncts[-1].i + 1)]
    return [wording(token), *(text for child in conjuncts for text in _attribute_wordings(child))]


def wording(token: Any) -> str:
    """Return a modifier with the words that belong to it on its left, for example "freshly picked"."""
    start = token.i
    for child in sorted(token.lefts, key=lambda child: -child.i):
        if child.dep_ in _BEFORE_ADJECTIVES and child.right_edge.i + 1 == start:
            if (
                child.pos_ == "DET"
                or child.lower_ in QUANTITY_WORDS
                or (_is_attribute_noun(child) and child.lower_ not in COLOUR_SHADES)
            ):
                break
            start = child.left_edge.i
    if start == token.i and start and _is_shade(token.nbor(-1)):
        start -= 1
    while start < token.i and (
        token.doc[start].pos_ in ("DET", "PUNCT") or token.doc[start].lower_ in QUANTITY_WORDS
    ):
        start += 1
    return original_text(token.doc, start, token.i + 1)
