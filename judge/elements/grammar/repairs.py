"""Mend parses of phrases that prompts have and news has not: "mechanic repairs car", "masked dancer"."""

from __future__ import annotations

from typing import Any

from judge.elements.grammar.things import is_noun
from judge.elements.grammar.words import PLURAL_MODIFIERS
from judge.elements.lexicon import ING_NOUNS

_NO_VERBS = ("VERB", "AUX", "ADP", "DET", "PRON", "ADV", "CCONJ", "SCONJ", "PART")


def repair_parse(doc: Any) -> Any:
    """Return the parse of a segment with its mistakes mended: a new `Doc`, or the same if nothing is to mend.

    Args:
        doc: the parsed segment.
    """
    parse = _Parse(doc)
    for token in doc:
        is_verb = any(child.dep_ in ("aux", "nsubj") for child in token.lefts)
        if token.pos_ == "VERB" and token.lower_ in ING_NOUNS and not is_verb:  # "in blue icing"
            parse.set(token.i, pos="NOUN", tag="NN", dep="pobj" if token.dep_ == "pcomp" else token.dep_)
    if not _repair_participle(doc, parse):
        _repair_headline(doc, parse)
    return parse.build()


class _Parse:
    """The columns of a parse, which can be changed one by one."""

    def __init__(self, doc: Any) -> None:
        self.doc, self.is_changed = doc, False
        self.columns: dict[str, list[Any]] = {
            "heads": [token.head.i for token in doc],
            "deps": [token.dep_ for token in doc],
            "pos": [token.pos_ for token in doc],
            "tags": [token.tag_ for token in doc],
            "lemmas": [token.lemma_ for token in doc],
        }

    def set(
        self, index: int, *, head: int | None = None, dep: str = "", pos: str = "", tag: str = ""
    ) -> None:
        """Change what is given of one token."""
        self.is_changed = True
        for column, value in (("heads", head), ("deps", dep), ("pos", pos), ("tags", tag)):
            if value is not None and value != "":
                self.columns[column][index] = value

    def build(self) -> Any:
        """Return the changed parse; the old one if nothing changed, or if the changes would make a circle."""
        if not self.is_changed or not self._is_tree():
            return self.doc
        from spacy.tokens import Doc

        words, spaces = [token.text for token in self.doc], [bool(token.whitespace_) for token in self.doc]
        columns: dict[str, Any] = self.columns
        doc = Doc(self.doc.vocab, words=words, spaces=spaces, **columns)
        doc.user_data.update(self.doc.user_data)
        return doc

    def _is_tree(self) -> bool:
        heads = self.columns["heads"]
        for index in range(len(heads)):
            at = index
            for _ in heads:
                at = heads[at]
            if heads[at] != at:
                return False
        return True


def _repair_participle(doc: Any, parse: _Parse) -> bool:
    """Turn "masked dancer" and "stop sign", read as a verb with its object, into a noun with a modifier."""
    verb = doc[0]
    if len(doc) < 2 or verb.tag_ not in ("VBN", "VBD", "VB", "VBP") or verb.dep_ != "ROOT":
        return False
    noun = next(
        (child for child in verb.rights if child.dep_ in ("dobj", "nsubj", "oprd") and is_noun(child)), None
    )
    if noun is None or any(token.dep_ in ("det", "poss", "prep") for token in doc[1 : noun.i]):
        return False
    for child in verb.children:
        parse.set(child.i, head=noun.i)
    parse.set(noun.i, head=noun.i, dep="ROOT")
    if verb.tag_ in ("VBN", "VBD"):
        parse.set(verb.i, head=noun.i, dep="amod", pos="ADJ")
    else:
        parse.set(verb.i, head=noun.i, dep="compound", pos="NOUN", tag="NN")
    return True


def _repair_headline(doc: Any, parse: _Parse) -> None:
    """Turn a plural between two nouns into a verb with subject and object.

    English seldom puts a plural before a noun ("sports car" and a few others are listed), and never right
    before
    an article or a possessive ("fisherman repairs his net").
    """
    has_verb = any(token.pos_ in ("VERB", "AUX") or token.dep_ == "prep" for token in doc)
    for verb in doc[1:-1]:
        subject, following = doc[verb.i - 1], doc[verb.i + 1]
        if not _is_like_verb(verb) or not (is_noun(subject) or subject.dep_ in ("amod", "compound")):
            continue
        if following.dep_ in ("det", "poss") and following.head.i > verb.i:
            _make_verb(doc, parse, verb, subject, following.head)
            return
        is_before_noun = verb.dep_ in ("compound", "amod", "nmod") and verb.head.i > verb.i
        if (
            not has_verb
            and is_before_noun
            and (is_noun(subject) or not subject.i or is_noun(subject.nbor(-1)))
        ):
            _make_verb(doc, parse, verb, subject, verb.head)
            return


def _is_like_verb(token: Any) -> bool:
    word = token.lower_
    if token.pos_ in _NO_VERBS:
        return False
    return (
        word.endswith("s")
        and not word.endswith(("ss", "'s"))
        and word not in PLURAL_MODIFIERS
        and len(word) > 3
    )


def _make_verb(doc: Any, parse: _Parse, verb: Any, subject: Any, obj: Any) -> None:
    for token in doc[: verb.i]:
        if token != subject and (token.head.i >= verb.i or token.head == token):
            parse.set(token.i, head=subject.i)
    governor, role = obj.head, obj.dep_
    is_root = governor in (obj, verb, subject) or verb.dep_ == "ROOT" or governor.i < verb.i
    parse.set(
        verb.i, head=verb.i if is_root else governor.i, dep="ROOT" if is_root else role, pos="VERB", tag="VBZ"
    )
    parse.columns["lemmas"][verb.i] = verb.lower_.removesuffix("s")
    parse.set(subject.i, head=verb.i, dep="nsubj", pos="NOUN", tag="NN")
    parse.set(obj.i, head=verb.i, dep="dobj")
