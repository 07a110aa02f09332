"""Read the statements of an English text from the dependencies of its words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from judge.elements.grammar.links import Link, find_links, is_activity, is_image_place
from judge.elements.grammar.pipeline import parse_texts
from judge.elements.grammar.references import PARTS, refer
from judge.elements.grammar.repairs import repair_parse
from judge.elements.grammar.segments import STYLE_TAG, Segment, cut_segments
from judge.elements.grammar.things import Thing, find_things, original_text
from judge.elements.grammar.words import (
    AMOUNT_NOUNS,
    COLOUR_WORDS,
    EMPTY_NOUNS,
    PLAIN_MEDIA,
    STATES,
    STYLE_NOUNS,
    UNIT_NOUNS,
)
from judge.elements.statements import Kind, Statement
from judge.elements.text import HAS_CONTENT, truncate


def read_statements(text: str) -> list[Statement]:
    """Read the statements of an English text.

    Args:
        text: plain text on one line.

    Returns:
        Distinct statements in the order of the text, each thing before the statements about it; `needs` holds
        names of the list.
    """
    distinct: dict[tuple[str, ...], Segment] = {}
    for segment in cut_segments(text):
        distinct.setdefault((segment.text, *segment.texts.values()), segment)
    segments = list(distinct.values())
    reader = _Reader()
    for segment, doc in zip(segments, parse_texts(segment.text for segment in segments), strict=True):
        reader.read(segment, doc)
    return reader.finish()


def _is_state(thing: Thing) -> bool:
    """Return whether a thing is part of a state such as "on fire"."""
    return thing.token.dep_ == "pobj" and f"{thing.token.head.lower_} {thing.name.lower()}" in STATES


@dataclass
class _Reader:
    """Collects the statements of the segments of a prompt."""

    statements: dict[str, Statement] = field(default_factory=dict)
    """Name in lower case -> statement."""
    things: list[Thing] = field(default_factory=list)
    """All things so far."""
    companions: list[Link] = field(default_factory=list)
    """What is with what; listed if there are several, since who has what is then a question."""
    aliases: dict[int, Thing] = field(default_factory=dict)
    """Nouns of the current segment that are part of another thing: "pancakes" of "stack of pancakes"."""
    parts: list[tuple[str, str, str, Thing]] = field(default_factory=list)
    """Properties of one of several things: "one ", the property, the noun, the thing."""
    pending: list[tuple[Kind, str]] = field(default_factory=list)
    """Adjectives that wait for their noun: "tall" in "a tall, dark man"."""

    def read(self, segment: Segment, doc: Any) -> None:
        """Read one parsed segment."""
        self.aliases.clear()
        doc = repair_parse(doc)
        things = find_things(doc)
        if not segment.texts and self._read_tag(doc, things):
            return
        known = [*self.things]
        self._read_parts(doc, things, known)
        for thing in [*things.values()][:1]:
            thing.modifiers[:0] = self.pending
            self.pending = []
        self._join_units(things)
        for thing in things.values():
            if not _is_state(thing) and not is_image_place(thing.token):
                self._add_thing(thing, segment)
        self.things += [thing for thing in things.values() if thing.token.idx not in segment.texts]
        for link in find_links(doc, segment, lambda token: self._find(token, segment, things, known)):
            self._add_link(link)
        for start, word, noun, thing in self.parts:
            self._add("attribute", f"{start}{word} {noun}", word, [thing])
        self.parts.clear()
        self._add_texts(segment, things)

    def _read_tag(self, doc: Any, things: dict[int, Thing]) -> bool:
        """Read a segment that is one phrase of style or one property; return whether it is."""
        words = [token for token in doc if not token.is_punct]
        while words and words[0].dep_ == "det":
            words.pop(0)
        if not words:
            return True
        name = original_text(doc, words[0].i, words[-1].i + 1)
        if STYLE_TAG.fullmatch(name):
            self._add("style", name.removeprefix("by "))
            return True
        if re.fullmatch(r"\d+[ -]years?[ -]old", name, re.I):
            self._add("attribute", name)
            return True
        if any(
            token.dep_ in ("prep", "cc") or (is_activity(token) and token.dep_ != "ROOT") for token in words
        ):
            return False
        if words[-1].lower_ in STYLE_NOUNS and (len(words) > 1 or words[-1].lower_ not in PLAIN_MEDIA):
            is_split = len(things) == 1 and self._is_split_style(next(iter(things.values())), is_tag=True)
            if not is_split:
                self._add("style", name)
            return not is_split
        if not things and not any(is_activity(token) for token in words):
            if doc[0].dep_ == "det" or doc[0].tag_ == "DT":
                self.pending.append(("attribute", name))
            else:
                self._add("attribute", name)
            return True
        return False

    def _join_units(self, things: dict[int, Thing]) -> None:
        """Join "stack of books" to one thing, and make "lots of cats" a number of cats."""
        for index in sorted(things):
            if index not in things:
                continue
            thing = things[index]
            ends = [end.i for child in thing.token.rights if child.lower_ == "of" for end in child.children]
            following = thing.token.nbor() if thing.token.i + 1 < len(thing.token.doc) else None
            if (
                thing.token.lower_ in ("letter", "number", "digit")
                and following is not None
                and following.is_alpha
            ):
                if len(following.text) == 1 or following.like_num:
                    things.pop(following.i, None)
                    thing.name = f"{thing.name} {original_text(following.doc, following.i, following.i + 1)}"
            for part in (things[end] for end in ends if end in things):
                if thing.token.lower_ in AMOUNT_NOUNS:
                    del things[index]
                    part.modifiers.insert(0, ("count", thing.name))
                elif thing.token.lower_ in UNIT_NOUNS:
                    del things[part.token.i]
                    self.aliases[part.token.i] = thing
                    thing.name = f"{thing.name} of {part.full_name}"

    def _add_thing(self, thing: Thing, segment: Segment) -> None:
        noun = thing.token
        if noun.idx in segment.texts:
            return
        if noun.lower_ in STYLE_NOUNS:
            self._add_style(thing)
            return
        if noun.lower_ in EMPTY_NOUNS and not thing.modifiers and thing.name.lower() in EMPTY_NOUNS:
            return
        self._add("object", thing.name)
        for kind, word in thing.modifiers:
            self._add(kind, f"{word} {thing.name}", word, [thing])
        if thing.activity:
            self._add("activity", f"{thing.name} {thing.activity}", thing.activity, [thing])

    def _add_style(self, thing: Thing) -> None:
        """Add a medium: a noun with one adjective as one statement, else one for each adjective."""
        thing.is_style = True
        words = [word for _, word in thing.modifiers]
        if words and not self._is_split_style(thing):
            self._add("style", f"{words[0]} {thing.name}")
            return
        if thing.name.lower() not in PLAIN_MEDIA:
            self._add("style", thing.name)
        for word in words:
            self._add("style", f"{word} {thing.name}", word)

    @staticmethod
    def _is_split_style(thing: Thing, is_tag: bool = False) -> bool:
        """Return whether the adjectives of a medium are statements of their own."""
        words = [word for _, word in thing.modifiers]
        return (
            len(words) > 1
            or any(" " in word for word in words)
            or bool(words and not is_tag and " " in thing.name)
        )

    def _add_link(self, link: Link, is_last: bool = False) -> None:
        subjects = [thing for thing in link.subjects if not thing.is_style]
        objects = [thing for thing in link.objects if not thing.is_style and thing not in subjects]
        is_complete = bool(subjects and (objects or not link.objects))
        if link.kind == "relation" and not is_complete or link.subjects and not subjects:
            return
        if link.word == "with" and not is_last:
            self.companions.append(link)
            return
        if link.kind == "attribute":
            names = [f"{link.word} {thing.name}" for thing in subjects[:1]] or [link.word]
        else:
            names = [self._label(subjects), link.word]
            names += [link.preposition, self._label(objects)] if objects else []
        self._add(link.kind, " ".join(filter(None, names)), link.word, [*subjects, *objects])

    def _label(self, things: list[Thing]) -> str:
        """Return the name of things in a link; of two cats, which cat it is."""
        labels = []
        for thing in things:
            same = [other for other in self.things if other.name.casefold() == thing.name.casefold()]
            is_ambiguous = any(other.modifiers != thing.modifiers for other in same) and thing.modifiers
            labels.append(f"{thing.modifiers[0][1]} {thing.name}" if is_ambiguous else thing.name)
        return " and ".join(dict.fromkeys(labels))

    def _read_parts(self, doc: Any, things: dict[int, Thing], known: list[Thing]) -> None:
        """Take the properties in "two dogs, one black and the other white" out of the things."""
        for token in doc[1:]:
            part = doc[token.i - 1]
            is_property = token.pos_ == "ADJ" or token.lower_ in COLOUR_WORDS
            if (
                part.lower_ not in PARTS
                or not is_property
                or (token.head.i in things and token.dep_ == "amod")
            ):
                continue
            if token.i + 1 < len(doc) and token.nbor().i in things:
                continue
            earlier = [*known, *(thing for index, thing in things.items() if index < token.i)]
            thing = refer(part, earlier)
            if thing:
                things.pop(token.i, None)
                noun = thing.name.split(" ", 1)[-1] if thing.whole else thing.name
                word = original_text(doc, token.i, token.i + 1)
                self.parts.append(("one " if thing.whole else "", word, noun, thing))

    def _add_texts(self, segment: Segment, things: dict[int, Thing]) -> None:
        for at, text in segment.texts.items():
            before = [t for t in things.values() if t.token.idx < at and t.token.lower_ not in EMPTY_NOUNS]
            self._add("text", f'text "{text}"', text, before[-1:])

    def _find(
        self, token: Any, segment: Segment, things: dict[int, Thing], known: list[Thing]
    ) -> list[Thing]:
        """Return the things that a token stands for."""
        thing = things.get(token.i) or self.aliases.get(token.i)
        if thing is not None and token.idx in segment.texts:
            return [
                t for t in things.values() if t.token.idx < token.idx and t.token.idx not in segment.texts
            ][-1:]
        if thing is not None:
            joined = [things[child.i] for child in token.rights if child.dep_ == "conj" and child.i in things]
            return [thing, *joined]
        if token.pos_ != "PRON" and token.lower_ not in PARTS:
            return []
        earlier = [*known, *(thing for index, thing in things.items() if index < token.i)]
        referred = refer(token, earlier)
        if referred is None and token.lower_ in ("both", "all"):
            return [thing for thing in earlier if not thing.is_style and thing.token.dep_ != "compound"][-2:]
        return [referred] if referred else []

    def _add(self, kind: Kind, name: str, word: str = "", needs: list[Thing] | None = None) -> None:
        name = truncate(re.sub(r"\s+", " ", name).strip(" -"))
        if not HAS_CONTENT.search(name):
            return
        needed = [thing.needed for thing in needs or () if thing.needed.casefold() != name.casefold()]
        statement = Statement(name=name, kind=kind, needs=list(dict.fromkeys(needed)), word=word)
        self.statements.setdefault(name.casefold(), statement)

    def finish(self) -> list[Statement]:
        """Return the statements, with `needs` in the wording of the statements that are there."""
        if len(self.companions) > 1:
            for link in self.companions:
                self._add_link(link, is_last=True)
        names = {key: statement.name for key, statement in self.statements.items()}
        return [
            statement.model_copy(
                update={
                    "needs": [names[need.casefold()] for need in statement.needs if need.casefold() in names],
                    "word": "" if statement.word == statement.name else statement.word,
                }
            )
            for statement in self.statements.values()
        ]
