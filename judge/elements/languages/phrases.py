"""Phrases of languages that are written with spaces, by their function words."""

from __future__ import annotations

import re

from judge.elements.languages.words import LATIN, OTHERS, FunctionWords
from judge.elements.statements import Kind, Statement
from judge.elements.text import HAS_CONTENT, truncate

MAX_PHRASE_CHARS = 48
"""A longer phrase is cut between words: nobody can answer one question about so much."""
_NO_WORDS = FunctionWords(frozenset(), frozenset(), frozenset())


def split_phrases(clause: str, language: str) -> list[Statement]:
    """Split a clause at its conjunctions and prepositions of place.

    Args:
        clause: text without punctuation between clauses.
        language: a key of `LATIN` or `OTHERS`; other languages are only cut to length.

    Returns:
        Each phrase as an object, and each two phrases that a preposition of place joins as a relation.
    """
    known = LATIN.get(language) or OTHERS.get(language) or _NO_WORDS
    statements: list[Statement] = []
    previous, preposition, phrase = "", "", list[str]()
    for word in [*clause.split(), ""]:
        plain = word.lower().strip("\"'«»„“”")
        if preposition and not phrase and plain in known.links:
            preposition = f"{preposition} {word}"  # "junto a", "près de"
            continue
        if word and plain not in known.joins and plain not in known.places:
            phrase.append(word)
            continue
        name = _bare_phrase(phrase, known)
        if name:
            statements += [Statement(name=part, kind=_kind_of(part)) for part in cut_long_text(name)]
            relation = f"{previous} {preposition} {name}"
            if previous and preposition and len(relation) <= 2 * MAX_PHRASE_CHARS - 16:
                statements.append(
                    Statement(name=relation, kind="relation", needs=[previous, name], word=preposition)
                )
            previous = name if len(name) <= MAX_PHRASE_CHARS else ""
        if name or plain in known.joins:
            preposition = ""
        if plain in known.places:
            preposition = f"{preposition} {word}".strip()
        phrase = []
    return statements


def cut_long_text(text: str, limit: int = MAX_PHRASE_CHARS) -> list[str]:
    """Cut a text into parts of at most `limit` characters, between words where there are spaces."""
    parts = []
    while len(text) > limit:
        part = truncate(text, limit)
        parts.append(part)
        text = text[len(part) :].strip()
    return [part for part in [*parts, text] if part]


def _bare_phrase(words: list[str], known: FunctionWords) -> str:
    """Return a phrase without articles at its beginning and links at its ends; empty without content."""
    dropped_first, dropped_last = known.articles | known.links, known.articles | known.links
    while words and words[0].lower() in dropped_first:
        words = words[1:]
    while words and words[-1].lower() in dropped_last:
        words = words[:-1]
    text = re.sub(r"^[ld]'", "", " ".join(words), flags=re.I) if known.articles else " ".join(words)
    return text.strip(" -–—\"'/") if HAS_CONTENT.search(text) else ""


def _kind_of(phrase: str) -> Kind:
    return "count" if phrase[:1].isdigit() else "object"
