"""What the clauses of a parsed segment state about things: activities, relations and properties."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from judge.elements.grammar.references import is_person
from judge.elements.grammar.segments import Segment
from judge.elements.grammar.things import Thing, is_noun, original_text, wording
from judge.elements.grammar.words import HOLDERS, IMAGE_PLACES, STATES, TIMES
from judge.elements.statements import Kind

PLACE_PREPOSITIONS = frozenset(
    "on under behind beside near above below over inside between around underneath beneath atop against "
    "among "
    "amid amidst across along beyond upon onto in".split()
)
"""Prepositions that state where one thing is relative to another."""
_PASSIVE_PREPOSITIONS = frozenset("of with in by from out".split())
_COPULAS = frozenset({"be", "have", "become", "look", "seem", "appear", "stay", "remain"})
_EMPTY_VERBS = frozenset("show depict feature include draw paint generate create make image".split())
_OBJECTS = frozenset({"dobj", "obj", "dative", "oprd", "attr"})

Find = Callable[[Any], list[Thing]]
"""Returns the things that a token stands for: its own, those joined to it by "and", or those it refers to."""


@dataclass(frozen=True)
class Link:
    """A statement about one thing or more."""

    kind: Kind
    word: str
    """Word or words of the prompt that it stands for."""
    subjects: list[Thing]
    objects: list[Thing]
    preposition: str = ""
    """Between the word and the objects, if it is no part of the word."""


def find_links(doc: Any, segment: Segment, find: Find) -> Iterator[Link]:
    """Yield the activities, relations and properties of a parsed segment, in order.

    Args:
        doc: the parsed segment.
        segment: where it came from.
        find: returns the things of a token.
    """
    for token in doc:
        if is_activity(token):
            yield from _read_activity(token, segment, find)
        elif token.lemma_ == "have" and token.pos_ == "VERB":
            yield Link("relation", token.text, find_subjects(token, find), _direct_objects(token, find))
        elif token.pos_ in ("ADP", "SCONJ") or token.dep_ == "prep" or token.idx in segment.relations:
            yield from _read_relation(token, segment, find)
        elif (
            token.pos_ == "ADJ" and token.dep_ in ("amod", "acl", "advcl", "appos") and token.head.i < token.i
        ):
            yield from _read_later_adjective(token, find)
        elif token.dep_ in ("acomp", "oprd") or (token.dep_ == "attr" and token.head.lemma_ in _COPULAS):
            yield from _read_property(token, find)


def is_activity(token: Any) -> bool:
    """Return whether a token is a verb that states what a thing does or what is done to it."""
    if token.pos_ != "VERB" or len(token) < 2 or token.dep_ in ("amod", "aux", "auxpass", "compound"):
        return False
    if any(child.dep_ in ("oprd", "acomp") and child.pos_ == "ADJ" for child in token.rights):
        return False  # "painted blue" says that it is blue
    return token.lemma_ not in _COPULAS and token.lemma_ not in _EMPTY_VERBS or token.tag_ == "VBN"


def _read_activity(verb: Any, segment: Segment, find: Find) -> Iterator[Link]:
    subjects = find_subjects(verb, find)
    last = max([verb.i, *(child.i for child in verb.rights if child.dep_ == "prt" and child.i == verb.i + 1)])
    word = original_text(verb.doc, verb.i, last + 1)
    objects, preposition = _direct_objects(verb, find), ""
    if not objects:
        objects, words = _read_prepositional_object(verb, segment, find)
        if objects and verb.tag_ == "VBN" and words[-1] in _PASSIVE_PREPOSITIONS:
            word = " ".join([verb.text, *words])
        elif words and (words[-1] in PLACE_PREPOSITIONS or not objects):
            objects = []  # "birds sitting on a wire": the birds sit, and they are on the wire
        else:
            preposition = " ".join(words)
    yield Link("activity", word, subjects, objects, preposition)


def _direct_objects(verb: Any, find: Find) -> list[Thing]:
    return [thing for child in verb.children if child.dep_ in _OBJECTS for thing in find(child)]


def _read_prepositional_object(verb: Any, segment: Segment, find: Find) -> tuple[list[Thing], list[str]]:
    """Return the things after the first preposition of a verb, and the preposition: ["out", "of"]."""
    for child in verb.rights:
        if child.dep_ not in ("prep", "agent", "prt") or child.idx in segment.relations:
            continue
        inner = [end for end in child.rights if end.dep_ == "prep"]
        last = inner[0] if inner and not any(end.dep_ == "pobj" for end in child.rights) else child
        objects = [thing for end in last.rights if end.dep_ in ("pobj", "pcomp") for thing in find(end)]
        if objects:
            return objects, [child.text] if last == child else [child.text, last.text]
    return [], []


def find_subjects(verb: Any, find: Find, depth: int = 0) -> list[Thing]:
    """Return the things that do what a verb says; those of the verb that governs it if it has none itself."""
    for child in verb.lefts:
        if child.dep_ in ("nsubj", "nsubjpass", "csubj"):
            if child.tag_ in ("WDT", "WP"):
                break
            return find(child)
    head = verb.head
    if head == verb or depth > 8:
        return []
    if verb.dep_ == "pcomp":  # "a garden with children playing"
        return [
            thing
            for child in head.rights
            if child.dep_ == "pobj" and child.i < verb.i
            for thing in find(child)
        ]
    if (
        verb.tag_ == "VBG"
        and verb.dep_ == "acl"
        and head.dep_ == "pobj"
        and head.head.lower_ in ("with", "in")
    ):
        owners = find(head.head.head)  # "a woman in a coat holding a cup"
        if owners and is_person(owners[0]) and not any(is_person(thing) for thing in find(head)):
            return owners
    if (
        verb.dep_ == "acl"
        and head.dep_ == "conj"
        and not any(child.dep_ in ("acl", "prep") for child in head.head.rights)
    ):
        return [*find(head.head), *find(head)] if find(head.head)[:1] != find(head)[:1] else find(head)
    if verb.dep_ in ("acl", "relcl", "appos") or (
        verb.dep_ in ("conj", "advcl", "dep", "prep") and head.pos_ in ("NOUN", "PROPN")
    ):
        return find(head)
    return find_subjects(head, find, depth + 1) if head.pos_ in ("VERB", "AUX") else []


def _read_relation(preposition: Any, segment: Segment, find: Find) -> Iterator[Link]:
    long = segment.relations.get(preposition.idx)
    is_possession = preposition.lower_ == "with" and preposition.head.pos_ in ("NOUN", "PROPN")
    if not long and not is_possession and preposition.lower_ not in PLACE_PREPOSITIONS:
        return
    ends = [child for child in preposition.children if child.dep_ in ("pobj", "pcomp", "obj")]
    places = [end for end in ends if is_image_place(end)]
    for place in places:
        yield Link(
            "relation", f"{preposition.text} the {place.text}", _place_subjects(preposition, place, find), []
        )
    objects = [thing for end in ends if end not in places for thing in find(end)]
    subjects = _governor(preposition.head, find)
    objects = [thing for thing in objects if thing.token.lower_ not in TIMES]
    if preposition.lower_ == "in" and not long:
        is_state = any(f"in {thing.name.lower()}" in STATES for thing in objects)
        objects = [thing for thing in objects if thing.token.lower_ in HOLDERS or is_state]
    state = f"{preposition.lower_} {objects[0].name.lower()}" if objects else ""
    if subjects and state in STATES:
        yield Link("attribute", state, subjects, [])
    elif subjects and objects:
        yield Link("relation", long or preposition.text, subjects, objects)


def is_image_place(token: Any) -> bool:
    """Return whether a noun is a place in the image: "left" in "a boy on the left"."""
    has_more = any(child.dep_ in ("amod", "compound", "prep") for child in token.children)
    return token.lower_ in IMAGE_PLACES and token.dep_ in ("pobj", "conj") and not has_more


def _place_subjects(preposition: Any, place: Any, find: Find) -> list[Thing]:
    """Return what is at a place in the image: the noun before it, the subject, or what follows."""
    before = preposition.nbor(-1) if preposition.i else None
    if before is not None and is_noun(before):
        return find(before)[:1]
    if before is not None and before.pos_ in ("VERB", "AUX", "ADV", "ADJ"):
        return _governor(preposition.head, find)
    return next((found[:1] for token in place.doc[place.i + 1 :] if (found := find(token))), [])


def _governor(head: Any, find: Find) -> list[Thing]:
    """Return the things that a preposition's phrase is said of."""
    if head.pos_ in ("VERB", "AUX"):
        return find_subjects(head, find)
    if head.pos_ == "ADP" or head.dep_ in ("acomp", "advmod"):
        return _governor(head.head, find) if head.head != head else []
    return find(head)[:1]


def _read_later_adjective(token: Any, find: Find) -> Iterator[Link]:
    """Yield the property in "a cubicle full of papers"."""
    for child in token.rights:
        ends = [thing for end in child.rights if end.dep_ == "pobj" for thing in find(end)]
        if child.dep_ == "prep" and ends and token.head.pos_ in ("NOUN", "PROPN"):
            yield Link("relation", f"{token.text} {child.text}", find(token.head)[:1], ends)


def _read_property(token: Any, find: Find) -> Iterator[Link]:
    subjects = find_subjects(token.head, find)
    if not subjects:
        return
    if token.pos_ in ("ADJ", "VERB", "ADV"):
        objects, word, preposition = list[Thing](), wording(token), ""
        for child in token.rights:
            if child.dep_ == "prep" and child.lower_ in ("than", "as", "of", "with"):
                ends = [thing for end in child.children if end.dep_ == "pobj" for thing in find(end)]
                if ends:
                    objects, preposition = ends, child.text
        yield Link("relation" if objects else "attribute", word, subjects, objects, preposition)
        for child in token.rights:
            if child.dep_ == "conj" and child.pos_ == "ADJ":
                yield Link("attribute", wording(child), subjects, [])
