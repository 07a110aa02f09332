"""Split a prompt into elements: short statements that a judge can check one by one.

The split is rule-based: the same prompt always gives the same elements, it costs microseconds, and every rule
can be read in this file. Each noun phrase becomes an element ("two blue cats", "striped background"), and
each stated relation becomes another one ("two blue cats left of pink house", "man holding umbrella").
`judge.elements.matching.precision_recall` measures the result against elements written by people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from judge.elements.grammar.words import ADJECTIVES
from judge.elements.lexicon import (
    AMBIGUOUS_VERBS,
    ARTICLES,
    COLOURS,
    COPULAS,
    FINITE_VERBS,
    ING_NOUNS,
    MAX_RELATION_WORDS,
    MEDIUM_NOUNS,
    PHRASE_BREAKS,
    RELATIONS,
)
from judge.elements.text import HAS_CONTENT, clean_text, truncate

MAX_SPLIT_ELEMENTS = 12
"""Maximum number of elements taken from one prompt."""

TokenKind = Literal["phrase", "relation", "verb", "copula", "break"]

_RELATION_STARTS = frozenset(phrase.split()[0] for phrase in RELATIONS)
_PROPERTIES = ADJECTIVES | COLOURS
_SURE_ADJECTIVES = _PROPERTIES - frozenset(
    "square oval orange gold giant antique abstract metallic plain".split()
)
_TRAILING_WORDS = ARTICLES | {"of", "very"}
_PRONOUNS = frozenset(
    "he she it they him them who which that there here we i you something one other another both each "
    "others".split()
)
_PERSONAL_PRONOUNS = frozenset("he she it they".split())
_TRANSITIVE_VERBS = frozenset(
    "wearing holding eating riding carrying reading playing facing watching driving drinking making using "
    "chasing pulling pushing throwing kicking catching cooking cutting guarding spelling hugging".split()
)
_VERB_PARTICLES = frozenset("off out up down away over".split())
_PLAIN_MEDIA = frozenset("picture image photo photograph drawing illustration shot scene view render".split())
_FIXED_PHRASES = ("trending on artstation", "trending on art station", "black and white", "depth of field")
_DRAW_VERBS = "(?:draw|generate|create|make|paint|render|show|depict|design|imagine)"
_REQUEST_PREFIX = re.compile(
    rf"^(?:(?:of|here\s+comes?|please(?:\s+{_DRAW_VERBS}(?:\s+me)?)?)\s+)?"
    rf"(?:{_DRAW_VERBS}(?:\s+me)?\s+(?=(?:an?|the|some|\d+|one|two|three|four)\b)"
    r"|there\s+(?:is|are)\s+|(?:this|it)\s+(?:is|shows)\s+"
    r"|(?:the|this)\s+(?:image|picture|photo|photograph|scene|illustration|painting|drawing|artwork)\s+"
    r"(?:shows|depicts|features|presents|portrays|captures|displays)\s+)?",
    re.I,
)
_MEDIUM_PREFIX = re.compile(
    rf"^((?:[\w-]+\s+){{0,6}}?(?:{'|'.join(MEDIUM_NOUNS)}))\s+(?:of|showing|depicting|with)\s+(?=\S)", re.I
)
QUOTED_TEXT = re.compile(
    r"“([^”]{1,80})”|\"([^\"]{1,80})\"|(?<!\w)'([^']{1,80})'(?!\w)|(?<!\w)‘([^’]{1,80})’(?!\w)"
)
"""Matches a text of 1 to 80 characters in quotation marks; one of its four groups holds the content."""
_MARKED_WORD = re.compile(r"https?://\S+[^\s.,;:!?)\]]|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b\d{1,4}:\d{1,4}\b")
"""Addresses, times and ratios, whose punctuation separates nothing."""
_SPACED_HYPHEN = re.compile(r"(?<=[a-z]) - (?=[a-z])")  # "award - winning" in tokenised captions
_CLAUSE_SEPARATOR = re.compile(r"[,;:|\n!?()\[\]{}<>]+|\.(?!\d)|\s[-–—]{1,3}\s|\s/\s")


def split_prompt(prompt: str, limit: int = MAX_SPLIT_ELEMENTS) -> list[str]:
    """Split a prompt into elements, in the order in which the prompt mentions them.

    Args:
        prompt: the text that the image was generated from, of any length.
        limit: maximum number of elements.

    Returns:
        0 to `limit` distinct statements of 1 to 80 characters without control characters. The list is empty
        only if the prompt has no word. A prompt without a recognised noun phrase is one element itself.
    """
    text = clean_text(prompt)
    found: dict[str, str] = {}
    for statement in _extract_statements(text):
        statement = truncate(statement)
        if statement and HAS_CONTENT.search(statement):
            found.setdefault(statement.casefold(), statement)
        if len(found) >= limit:
            break
    if not found and HAS_CONTENT.search(text):
        return [truncate(text)][:limit]
    return list(found.values())


def _extract_statements(text: str) -> Iterator[str]:
    """Yield noun phrases and relations of the whole prompt, duplicates included."""
    protected: list[str] = []

    def protect(match: re.Match[str]) -> str:
        protected.append(match.group(0).strip())
        # Private-use characters mark one word that no rule changes.
        return f" \ue000{len(protected) - 1}\ue001 "

    text = _SPACED_HYPHEN.sub("-", re.sub("[\ue000\ue001]", "", text))
    text = _MARKED_WORD.sub(protect, QUOTED_TEXT.sub(protect, text))
    text = re.sub("|".join(map(re.escape, _FIXED_PHRASES)), protect, text, flags=re.I)
    subject = actor = adjectives = ""
    clauses = _CLAUSE_SEPARATOR.split(text)
    for clause, following in zip(clauses, [*clauses[1:], ""], strict=True):
        clause = _REQUEST_PREFIX.sub("", clause.strip())
        if (
            _holds_only_adjectives(clause)
            and following.strip()
            and following.split()[0].lower() not in ARTICLES
        ):  # "a tall, slender vase"
            adjectives = f"{adjectives} {clause}".strip()
            continue
        clause, adjectives = f"{adjectives} {clause}".strip(), ""
        medium = _MEDIUM_PREFIX.match(clause)
        if medium:
            style = _strip_stopwords(medium.group(1).split())
            if style and (len(style) > 1 or style[0].lower() not in _PLAIN_MEDIA):
                yield _restore_protected(" ".join(style), protected)
            clause = clause[medium.end() :]
        words = clause.split()
        is_continued = words[:1] and (
            words[0].lower() in _PERSONAL_PRONOUNS or words[0].lower().endswith("ing")
        )
        tokens = _tokenize_clause(words, bool(subject))
        for so_far, statement in _clause_statements(tokens, subject, actor if is_continued else subject):
            subject, actor = so_far
            yield _restore_protected(statement, protected)


def _holds_only_adjectives(clause: str) -> bool:
    """Return whether a clause is an article and adjectives, whose noun the next clause has."""
    words = clause.lower().split()
    return len(words) > 1 and words[0] in ("a", "an", "the") and all(w in _SURE_ADJECTIVES for w in words[1:])


def _restore_protected(text: str, protected: list[str]) -> str:
    """Put protected texts back; a statement that is one quoted text loses its quotation marks."""
    text = re.sub("\ue000(\\d+)\ue001", lambda m: protected[int(m.group(1))], text)
    quoted = QUOTED_TEXT.fullmatch(text)
    return next(filter(None, quoted.groups()), text).strip() if quoted else text


def _strip_stopwords(words: list[str]) -> list[str]:
    """Remove articles at the beginning, and articles, "of" and "very" at the end."""
    start, end = 0, len(words)
    while start < end and words[start].lower() in ARTICLES:
        start += 1
    while end > start and words[end - 1].lower() in _TRAILING_WORDS:
        if end - start > 1 and words[end - 2] == "letter":  # "the letter a"
            break
        end -= 1
    return words[start:end]


def _tokenize_clause(words: list[str], has_subject: bool) -> Iterator[tuple[TokenKind, str]]:
    """Yield the (kind, text) tokens of a clause, with a phrase, possibly empty, around every other token.

    Args:
        words: of the clause.
        has_subject: whether an earlier clause named something that a verb at the beginning belongs to.
    """
    phrase: list[str] = []
    may_begin, after_copula = has_subject, False
    at = 0
    while at < len(words):
        word = words[at].lower().rstrip(".")
        size, text = _match_relation(words, at)
        kind: TokenKind = "phrase"
        if size:
            kind = "relation"
        elif word in COPULAS:
            kind, size, text = "copula", 1, "is"
        elif word == "and" and _joins_colours(phrase, words[at + 1 : at + 2]):
            pass
        elif word in PHRASE_BREAKS:
            kind, size, text = "break", 1, word
        elif _is_verb(word, phrase, words[at + 1 : at + 1 + MAX_RELATION_WORDS], may_begin, after_copula):
            kind, size, text = "verb", 1, word
            if at + 1 < len(words) and words[at + 1].lower() in _VERB_PARTICLES:
                size, text = 2, f"{word} {words[at + 1].lower()}"
        after_copula = kind == "copula"
        may_begin = after_copula or (may_begin and word in _PERSONAL_PRONOUNS)
        if kind == "phrase":
            if not (phrase == ["no"] and word in ARTICLES):
                phrase.append(words[at])
            at += 1
            continue
        yield "phrase", " ".join(_strip_stopwords(phrase))
        yield kind, text
        phrase = ["no"] if word == "without" else []
        at += size
    yield "phrase", " ".join(_strip_stopwords(phrase))


def _match_relation(words: list[str], at: int) -> tuple[int, str]:
    """Return the number of words from `at` that state a relation (0 if none do), and its wording."""
    longest = MAX_RELATION_WORDS if words[at].lower() in _RELATION_STARTS else 0
    for size in range(min(longest, len(words) - at), 0, -1):
        wording = RELATIONS.get(" ".join(words[at : at + size]).lower())
        if wording:
            return size, wording
    if at + 1 < len(words) and words[at + 1].lower() == "than" and words[at].lower().endswith("er"):
        return 2, f"{words[at].lower()} than"
    return 0, ""


def _joins_colours(phrase: list[str], following: list[str]) -> bool:
    """Return whether "and" joins two colours of one thing, as in "red and blue ball"."""
    if not following or following[0].lower() not in COLOURS:
        return False
    before = {word.lower() for word in _strip_stopwords(phrase)}
    return bool(before) and before <= COLOURS


def _is_verb(word: str, phrase: list[str], following: list[str], may_begin: bool, after_copula: bool) -> bool:
    """Return True for "riding" in "a cat riding a bike", False in "a riding hood" and "a painting".

    Args:
        word: in lower case.
        phrase: the words before it since the last token.
        following: the words after it.
        may_begin: whether the verb needs no phrase right before it: its subject is known.
        after_copula: whether "is" stands right before it.
    """
    if not word.endswith(("ing", "s")):
        return False
    has_subject = may_begin or bool(_strip_stopwords(phrase[-8:]))
    if word in FINITE_VERBS or word in AMBIGUOUS_VERBS:
        is_clear = word in FINITE_VERBS or (following and following[0].lower() in ARTICLES)
        return bool(is_clear and has_subject)
    if not word.endswith("ing") or len(word) < 5 or word in ING_NOUNS or not has_subject:
        return False
    if word in _TRANSITIVE_VERBS or not following or after_copula:
        return True
    after = following[0].lower()
    return (
        after in ARTICLES | PHRASE_BREAKS | _VERB_PARTICLES
        or after.isdigit()
        or _match_relation(following, 0)[0] > 0
    )


def _strip_pronoun(text: str) -> str:
    """Return a phrase without "it" or "she" at its beginning."""
    first, _, rest = text.partition(" ")
    return rest if first.lower() in _PERSONAL_PRONOUNS else text


def _part_of_several(text: str, subject: str) -> str:
    """Return "one black dog" for "one black" or "other black" after "two dogs", else an empty text."""
    words, last = text.split(), subject.split()[-1:]
    is_part = words[0].lower() in ("one", "other", "another") and len(words) > 1
    if is_part and last and last[0].endswith("s") and all(word.lower() in _PROPERTIES for word in words[1:]):
        return " ".join(["one", *words[1:], last[0].removesuffix("s")])
    return ""


def _clause_statements(
    tokens: Iterator[tuple[TokenKind, str]], subject: str, actor: str
) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield ((subject, actor) so far, statement) for each statement of one clause.

    Args:
        tokens: of the clause.
        subject: what a relation at the beginning of the clause belongs to.
        actor: what a verb at the beginning of the clause belongs to.

    A relation belongs to the phrase before it. After "and" ("... and above a cat") it belongs to the subject
    of the previous relation. A verb belongs to the last phrase that no preposition introduced: in "a boy at a
    table eating bread" the boy eats.
    """
    # `linked` is the subject of the pending relation or verb, `link` its kind and `wording` its text.
    linked, link, wording, was_property = "", "", "", False
    for kind, text in tokens:
        if kind == "phrase":
            text = _strip_pronoun(text)
            if not text or text.lower() in _PRONOUNS:
                continue
            is_property = wording == "is" or (
                link == "and" and was_property and text.split()[-1].lower() in _PROPERTIES
            )
            if is_property and subject:
                yield (subject, actor), f"{subject} is {text}"
                link, wording, was_property = "", "", True
                continue
            was_property = False
            part = _part_of_several(text, subject)
            if part:
                yield (subject, actor), part
                link = wording = ""
                continue
            yield (subject, actor), text
            if wording and linked and not text.lower().endswith("background"):
                yield (subject, actor), f"{linked} {wording} {text}"
            if not text.lower().endswith("background"):
                actor = text if link in ("", "and") else actor
                subject = text
            link = wording = ""
            continue
        if link == "verb":  # the previous verb had no object
            yield (subject, actor), f"{linked} {wording}"
        if kind == "verb":
            linked = actor
        elif kind == "relation" and link != "and":
            linked = subject
        link, wording = (text, "") if kind == "break" else (kind, text)
        link = link if subject else ""
    if link == "verb" and linked:
        yield (subject, actor), f"{linked} {wording}"
