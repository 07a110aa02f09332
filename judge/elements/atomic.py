"""Take a prompt apart into atomic statements, one for each thing, property, number, action and relation.

The result has the form of a Davidsonian scene graph (see `judge.elements.statements`). Parts of speech come
from TextBlob's tagger, which looks words up in a lexicon that is part of its wheel. A few rules work on the
tags: a run of nouns is a thing; adjectives, participles and numbers before it describe it; a verb or a
preposition of place joins the thing before it and the thing after it. The split is finer than
`judge.elements.splitting.split_prompt`, which keeps "two red cats" together because the embedded judge was
trained on such elements.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from judge.elements.lexicon import COPULAS, NUMBERS
from judge.elements.splitting import QUOTED_TEXT
from judge.elements.statements import Kind, Statement
from judge.elements.text import clean_text, truncate

MAX_STATEMENTS = 32
"""Maximum number of statements taken from one prompt."""
MAX_PROMPT_CHARS = 4_000
"""Number of characters of a prompt that are read; the rest is ignored."""
_PLACE_PREPOSITIONS = frozenset(
    "on under behind beside near above below over inside between around underneath beneath".split()
)
_STOPWORDS = COPULAS | frozenset(
    "it its he she they them who which that this these those one there here what i you we do does did get "
    "with".split()
)


def extract_atomic_statements(prompt: str, limit: int = MAX_STATEMENTS) -> list[Statement]:
    """Take a prompt apart into atomic statements.

    Args:
        prompt: any text; only the first 4,000 characters are read.
        limit: maximum number of statements.

    Returns:
        0 to `limit` statements with distinct names, each thing before the statements about it; `needs` holds
        names from the same list.
    """
    text = clean_text(prompt)[:MAX_PROMPT_CHARS]
    reader = _TagReader()
    for match in QUOTED_TEXT.finditer(text):
        content = truncate(next(filter(None, match.groups())).strip())
        reader.add("text", f'text "{content}"', content)
    for word, tag in _load_tagger().tag(QUOTED_TEXT.sub(", ", text)):
        reader.read(re.sub(r"^\W+|\W+$", "", word.lower()), tag)
    reader.finish_thing()
    statements = list(reader.statements.values())[:limit]
    names = {statement.name for statement in statements}
    return [
        statement.model_copy(update={"needs": [name for name in statement.needs if name in names]})
        for statement in statements
    ]


def atomic_words(prompt: str) -> Iterator[str]:
    """Yield the word or words that each atomic statement stands for, as in element lists made by people."""
    for statement in extract_atomic_statements(prompt):
        yield statement.word or statement.name


@cache
def _load_tagger() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # TextBlob leaves its files to the garbage collector
        from textblob.taggers import PatternTagger

        tagger = PatternTagger()
        tagger.tag("a word")  # loads the lexicon
        gc.collect()
    return tagger


@dataclass
class _TagReader:
    """Build statements from tagged words, which are read one by one."""

    statements: dict[str, Statement] = field(default_factory=dict)
    nouns: list[str] = field(default_factory=list)
    """Nouns of the current thing."""
    modifiers: list[tuple[Kind, str]] = field(default_factory=list)
    """Adjectives and numbers before the current thing."""
    previous_thing: str = ""
    pending_link: tuple[Kind, str] | None = None
    """A verb or preposition that waits for the thing after it."""

    def read(self, word: str, tag: str) -> None:
        """Read one word, in lower case without punctuation, with its Penn Treebank tag."""
        if not word:
            self.finish_thing()
        elif tag.startswith("NN") and word not in _STOPWORDS and word not in NUMBERS:
            self.nouns.append(word)
        elif tag.startswith("JJ") or tag in ("VBN", "VBD", "CD") or word in NUMBERS:
            if self.nouns:
                self.finish_thing(keep_link=True)
            if word not in _STOPWORDS:
                self.modifiers.append(("count" if tag == "CD" or word in NUMBERS else "attribute", word))
        elif tag.startswith("VB") and word not in _STOPWORDS:
            self.finish_thing(keep_link=True)
            self._start_link("activity", word)
        elif word in _PLACE_PREPOSITIONS:
            self.finish_thing(keep_link=True)
            self._start_link("relation", word)
        elif tag == "DT" or word == "of":
            self.finish_thing(keep_link=True)
        elif word not in COPULAS:
            self.finish_thing()

    def finish_thing(self, keep_link: bool = False) -> None:
        """Add the current thing and its modifiers.

        Args:
            keep_link: keep a pending verb or preposition open, since its second thing may still follow.
        """
        thing = " ".join(self.nouns)
        if thing:
            self.add("object", thing)
            if self.pending_link:
                self._add_link(thing)
        for kind, word in self.modifiers:
            if thing:
                self.add(kind, f"{word} {thing}", word, [thing])
            else:
                self.add("attribute", word)
        self.previous_thing = thing or self.previous_thing
        self.nouns, self.modifiers = [], []
        if self.pending_link and not keep_link:
            self._add_link("")

    def add(self, kind: Kind, name: str, word: str = "", needs: list[str] | None = None) -> None:
        """Add a statement unless there is one of this name; the name is cut to the length of an element."""
        name = truncate(name)
        if name:
            self.statements.setdefault(name, Statement(name=name, kind=kind, needs=needs or [], word=word))

    def _start_link(self, kind: Kind, word: str) -> None:
        if self.pending_link:
            self._add_link("")
        self.pending_link = (kind, word)

    def _add_link(self, thing: str) -> None:
        """Add the pending link between the previous thing and this one; either of them may be empty."""
        assert self.pending_link is not None
        (kind, word), self.pending_link = self.pending_link, None
        ends = [end for end in (self.previous_thing, thing) if end]
        if kind == "activity" or len(ends) == 2:
            name = " ".join(filter(None, (self.previous_thing, word, thing)))
            self.add(kind, name, word, list(dict.fromkeys(ends)))
