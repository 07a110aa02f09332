"""What pronouns and "one ... the other" refer to: the things that the prompt named before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from judge.elements.grammar.things import Thing

PERSONS = frozenset(
    "man woman boy girl child kid baby person people lady guy gentleman king queen prince princess soldier "
    "knight "
    "wizard witch doctor nurse teacher student chef worker farmer artist dancer player mother father son "
    "daughter "
    "brother sister friend couple warrior samurai monk priest astronaut pilot sailor pirate police officer "
    "policeman fisherman clown singer musician rider driver bride groom elf vampire angel mermaid waiter "
    "clerk "
    "customer mechanic lawyer judge scientist engineer detective ballerina cyclist skater surfer toddler "
    "teenager "
    "adult grandmother grandfather grandma grandpa aunt uncle hero heroine model actor actress men women "
    "children "
    "boys girls".split()
)
"""Nouns for people, which "he", "she" and "who" refer to."""
_PERSONAL = frozenset("he she him her his hers himself herself".split())
_PLURAL = frozenset("they them their themselves".split())
_THING = frozenset("it its itself".split())
PARTS = frozenset({"one", "another", "other", "others", "both", "each", "all"})
"""Words for a part of the things named before, as in "two dogs, one black and the other white"."""


def refer(token: Any, things: Sequence[Thing]) -> Thing | None:
    """Return what a pronoun refers to.

    Args:
        token: the pronoun, a `spacy.tokens.Token`.
        things: the things that the prompt named before it, in order.

    Returns:
        The most recent thing that agrees with the pronoun in number and person. A subject is preferred to
        other things. None if no thing agrees.
    """
    word = token.lower_
    candidates = [thing for thing in things if not thing.is_style]
    if word in PARTS:
        plurals = [thing for thing in candidates if thing.is_plural and not thing.whole]
        counted = [thing for thing in plurals if any(kind == "count" for kind, _ in thing.modifiers)]
        wholes = counted or _subjects(plurals) or plurals
        whole = wholes[-1] if wholes else None
        if whole is None or word in ("both", "each", "others", "all"):
            return whole
        return Thing(f"{'other' if word == 'other' else word} {_singular_name(whole)}", token, whole=whole)
    if word in _PLURAL:
        agreeing = [thing for thing in candidates if thing.is_plural or _is_joined(thing)]
        agreeing = agreeing or [thing for thing in candidates if is_person(thing)]
    elif word in _PERSONAL:
        agreeing = [thing for thing in candidates if is_person(thing)] or _singular(candidates)
    elif word in _THING:
        agreeing = [thing for thing in _singular(candidates) if not is_person(thing)]
    else:
        return None
    subjects = _subjects(agreeing)
    own_sentence = [thing for thing in agreeing if thing.token.doc == token.doc]
    for group in ([t for t in subjects if t in own_sentence], subjects, agreeing):
        if group:
            return group[-1]
    return None


def _subjects(things: Sequence[Thing]) -> list[Thing]:
    return [thing for thing in things if thing.token.dep_ in ("nsubj", "nsubjpass", "ROOT")]


def is_person(thing: Thing) -> bool:
    """Return whether a thing is a person, by its last noun."""
    return thing.token.lower_ in PERSONS or thing.token.lemma_.lower() in PERSONS


def _singular_name(thing: Thing) -> str:
    """Return the name of one of several things, by the lemma of its noun."""
    words = thing.name.split()
    return " ".join([*words[:-1], thing.token.lemma_ or words[-1]])


def _singular(things: Sequence[Thing]) -> list[Thing]:
    return [thing for thing in things if not thing.is_plural]


def _is_joined(thing: Thing) -> bool:
    return any(child.dep_ == "conj" for child in thing.token.rights)
