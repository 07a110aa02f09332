"""A prompt taken apart into atomic statements, as a Davidsonian scene graph has them: one for each thing,
each of its properties, each number, action and relation.

Parts of speech come from TextBlob's tagger, which looks words up in a lexicon that is part of its wheel. The
rules on top are few: a run of nouns is a thing; adjectives, participles and numbers before it are about it; a
verb joins the thing before it and the one behind; so does a preposition of place. Finer than
`judge.elements.splitting.split`, which keeps "two red cats" together, as the embedded judge was trained to be asked.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from judge.elements.splitting import COPULAS, QUOTED, clean, shorten
from judge.elements.statements import NUMBERS, Kind, Statement

FINEST = 32
"""Statements taken from one prompt at most."""
READ = 4_000
"""Characters of a prompt that are read."""
_PLACES = frozenset(
    "on under behind beside near above below over inside between around underneath beneath".split()
)
_EMPTY = COPULAS | frozenset(
    "it its he she they them who which that this these those one there here what i you we do does did get "
    "with".split()
)


def atoms(prompt: str, limit: int = FINEST) -> list[Statement]:
    """Take a prompt apart; things stand before what is said of them.

    Args:
        prompt: any text; what is behind its first 4,000 characters is left out.
        limit: statements at most.

    Returns:
        0 to `limit` statements with distinct names; `needs` name statements of the list.
    """
    text = clean(prompt)[:READ]
    reader = _Reader()
    for match in QUOTED.finditer(text):
        content = shorten(next(filter(None, match.groups())).strip())
        reader.add("text", f'text "{content}"', content)
    for word, tag in _tagger().tag(QUOTED.sub(", ", text)):
        reader.read(re.sub(r"^\W+|\W+$", "", word.lower()), tag)
    reader.close()
    kept = list(reader.found.values())[:limit]
    names = {one.name for one in kept}
    return [one.model_copy(update={"needs": [n for n in one.needs if n in names]}) for one in kept]


@cache
def _tagger() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # TextBlob leaves its files to the garbage collector
        from textblob.taggers import PatternTagger

        tagger = PatternTagger()
        tagger.tag("a word")  # reads the lexicon
        gc.collect()
    return tagger


@dataclass
class _Reader:
    """Words go in one by one, statements come out."""

    found: dict[str, Statement] = field(default_factory=dict)
    things: list[str] = field(default_factory=list)
    """Nouns of the thing that is being read."""
    about: list[tuple[Kind, str]] = field(default_factory=list)
    """What was said ahead of it: adjectives and numbers."""
    last: str = ""
    """The thing before."""
    joint: tuple[Kind, str] | None = None
    """A verb or preposition that waits for the thing behind it."""

    def read(self, word: str, tag: str) -> None:
        if not word:
            self.close()
        elif tag.startswith("NN") and word not in _EMPTY and word not in NUMBERS:
            self.things.append(word)
        elif tag.startswith("JJ") or tag in ("VBN", "VBD", "CD") or word in NUMBERS:
            if self.things:
                self.close(ends=False)
            if word not in _EMPTY:
                self.about.append(("count" if tag == "CD" or word in NUMBERS else "attribute", word))
        elif tag.startswith("VB") and word not in _EMPTY:
            self.close(ends=False)
            self._join("activity", word)
        elif word in _PLACES:
            self.close(ends=False)
            self._join("relation", word)
        elif tag == "DT" or word == "of":
            self.close(ends=False)
        elif word not in COPULAS:
            self.close()

    def close(self, ends: bool = True) -> None:
        """The thing is read, if there is one. `ends`: nothing behind belongs to what is before."""
        thing = " ".join(self.things)
        if thing:
            self.add("object", thing)
            if self.joint:
                self._joined(thing)
        for kind, word in self.about:
            if thing:
                self.add(kind, f"{word} {thing}", word, [thing])
            else:
                self.add("attribute", word)
        self.last = thing or self.last
        self.things, self.about = [], []
        if ends and self.joint:
            self._joined("")

    def add(self, kind: Kind, name: str, word: str = "", needs: list[str] | None = None) -> None:
        name = shorten(name)
        if name:
            self.found.setdefault(name, Statement(name=name, kind=kind, needs=needs or [], word=word))

    def _join(self, kind: Kind, word: str) -> None:
        if self.joint:
            self._joined("")
        self.joint = (kind, word)

    def _joined(self, thing: str) -> None:
        """A verb or a preposition between the thing before and this one, either of which may be missing."""
        assert self.joint is not None
        (kind, word), self.joint = self.joint, None
        ends = [end for end in (self.last, thing) if end]
        if kind == "activity" or len(ends) == 2:
            self.add(kind, " ".join(filter(None, (self.last, word, thing))), word, list(dict.fromkeys(ends)))


def words(prompt: str) -> Iterator[str]:
    """What people's lists of elements hold: the word or words that each statement stands for."""
    for one in atoms(prompt):
        yield one.word or one.name
