"""Mend parses of phrases that prompts have and news has not: "mechanic repairs car", "masked dancer"."""

from __future__ import annotations

from typing import Any

from judge.elements.grammar.things import is_noun
from judge.elements.lexicon import ING_NOUNS
from judge.elements.grammar.words import PLURAL_MODIFIERS


def repair_parse(doc: Any) -> None:
    """Mend the parse of a segment in place.

    Args:
        doc: the parsed segment.
    """
    for token in doc:
        if token.pos_ == "VERB" and token.lower_ in ING_NOUNS:  # "in blue icing"
            token.pos_, token.tag_ = "NOUN", "NN"
            token.dep_ = "pobj" if token.dep_ == "pcomp" else token.dep_
    _repair_participle(doc)
    _repair_headline(doc)


def _repair_participle(doc: Any) -> None:
    """Turn "masked dancer" and "stop sign", read as a verb with its object, into a noun with a modifier."""
    verb = doc[0]
    if len(doc) < 2 or verb.tag_ not in ("VBN", "VBD", "VB", "VBP") or verb.dep_ != "ROOT":
        return
    noun = next((child for child in verb.rights if child.dep_ in ("dobj", "nsubj", "oprd") and is_noun(child)), None)
    if noun is None or any(token.dep_ in ("det", "poss", "prep") for token in doc[1 : noun.i]):
        return
    for child in [*verb.children]:
        if child != noun:
            child.head = noun
    noun.head, noun.dep_ = noun, "ROOT"
    if verb.tag_ in ("VBN", "VBD"):
        verb.head, verb.dep_, verb.pos_ = noun, "amod", "ADJ"
    else:
        verb.head, verb.dep_, verb.pos_, verb.tag_ = noun, "compound", "NOUN", "NN"


def _repair_headline(doc: Any) -> None:
    """Turn a plural between two nouns into a verb with subject and object.

    English seldom puts a plural before a noun ("sports car" and a few others are listed), and never right before
    an article or a possessive ("fisherman repairs his net").
    """
    has_verb = any(token.pos_ in ("VERB", "AUX") or token.dep_ == "prep" for token in doc)
    for verb in doc[1:-1]:
        subject, following = doc[verb.i - 1], doc[verb.i + 1]
        if not _is_like_verb(verb) or not (is_noun(subject) or subject.dep_ in ("amod", "compound")):
            continue
        if following.dep_ in ("det", "poss") and following.head.i > verb.i:
            _make_verb(doc, verb, subject, following.head)
            return
        is_before_noun = verb.dep_ in ("compound", "amod", "nmod") and verb.head.i > verb.i
        if not has_verb and is_before_noun and (is_noun(subject) or not subject.i or is_noun(subject.nbor(-1))):
            _make_verb(doc, verb, subject, verb.head)
            return


def _is_like_verb(token: Any) -> bool:
    word = token.lower_
    if token.pos_ in ("VERB", "AUX", "ADP", "DET", "PRON", "ADV", "CCONJ", "SCONJ", "PART"):
        return False
    return word.endswith("s") and not word.endswith(("ss", "'s")) and word not in PLURAL_MODIFIERS and len(word) > 3


def _make_verb(doc: Any, verb: Any, subject: Any, obj: Any) -> None:
    governor, role = obj.head, obj.dep_
    for token in doc[: verb.i]:
        if token != subject and (token.head.i >= verb.i or token.head == token):
            token.head = subject
    if governor in (obj, verb, subject) or verb.dep_ == "ROOT":
        verb.head, verb.dep_ = verb, "ROOT"
    else:
        verb.head, verb.dep_ = governor, role
    verb.pos_, verb.tag_, verb.lemma_ = "VERB", "VBZ", verb.lower_.removesuffix("s")
    subject.pos_, subject.tag_, subject.dep_, subject.head = "NOUN", "NN", "nsubj", verb
    obj.dep_, obj.head = "dobj", verb
