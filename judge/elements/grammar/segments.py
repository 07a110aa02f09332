"""Prepare plain text for the parser: segments, quoted texts, relations of several words.

A parser that was trained on news reads "cat next to dog" worse than "cat near dog", and a list of tags worse
as
one sentence than tag by tag. So relations of several words and quoted texts are replaced by single words that
it reads well, and clauses are parsed apart unless one continues the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from judge.elements.lexicon import RELATIONS
from judge.elements.splitting import QUOTED_TEXT

PLACE_WORD = "near"
"""Stands for every relation of several words: a preposition that the parser attaches well."""
MAX_SEGMENT_WORDS = 80
"""Longer segments are cut."""
_TEXT_MARK, _TEXT_WORD = "\ue000", "slogan"
_SAYS = re.compile(
    r"(?:\b(?:that|which)\s+)?\b(?:with|in)?\s*(?:\b(?:the|a)\s+)?\b(?:reading|saying|says|reads|titled|labell?ed|captioned|"
    rf"inscribed|words?|text|letters|caption|title)\s*:?\s*(?={_TEXT_MARK})",
    re.I,
)
"""Words that introduce a quoted text: "that says", "with the words"."""
_SEPARATOR = re.compile(
    r"\s*(?:(?:[;|\n!?()\[\]{}<>•]|:(?!\d))+|,(?!\d)|/(?=\s|$)|\.(?=\s|$)|\s[-–—]{1,3}\s)\s*"
)
_SENTENCE_END = re.compile(r"[.!?\n]")
_SPACED_DIMENSION = re.compile(r"\b([23]) (d)\b", re.I)  # "3 d render"
_SPACED_HYPHEN = re.compile(r"(?<=[a-z]) - (?=[a-z])", re.I)
_LONG_RELATIONS = sorted((phrase for phrase in RELATIONS if " " in phrase), key=len, reverse=True)
_REPLACED = (p for p in map(re.escape, _LONG_RELATIONS) if " of" in p or " to" in p or "front" in p)
_RELATION = re.compile(rf"\b(?:{'|'.join(_REPLACED)})\b", re.I)
_VERB_PHRASES = frozenset("made filled full covered surrounded".split())
_CONTINUATION = re.compile(
    r"(?:and|or|with|who|which|that|while|as|whose|wearing|holding|in|on|at|under|above|behind|beside|near|over|"
    r"inside|between|below|its|his|her|their|one|the other|another|all|both|each|some|is|are)\b|[a-z]+ing\b|"
    r"[a-z]+s (?:an?|the|in|on|at|with|over|under|to|into|through|towards?|his|her|its|their|out|up|down)\b|"
    r"[a-z]+ed (?:by|in|with|on|of)\b",
    re.I,
)


STYLE_TAG = re.compile(
    r"trending on .*|\d+ ?k|.*\b\d+ ?k|(?:unreal engine|octane render)\b.*|award[- ]winning|by [\w .]+|"
    r"in the style of .*|top[- ]down(?: view)?|(?:low|high|wide)[- ]angle(?: (?:view|shot))?|first[- "
    r"]person(?: view)?|"
    r"(?:bird|worm)'?s[- ]eye view|depth of field|(?:golden|blue) hour|shot (?:on|with) .*|.*\b\d+ "
    r"?mm\b.*|f/?\d.*",
    re.I,
)
"""Segments that are styles as a whole."""


@dataclass
class Segment:
    """A part of a prompt that is parsed on its own."""

    text: str
    """As the parser gets it."""
    relations: dict[int, str] = field(default_factory=dict)
    """Offset in `text` of a word that stands for a relation of several words -> the relation."""
    texts: dict[int, str] = field(default_factory=dict)
    """Offset in `text` of a word that stands for a quoted text -> the text without quotation marks."""
    starts_sentence: bool = True


def cut_segments(text: str) -> list[Segment]:
    """Cut plain text into the segments that are parsed.

    Args:
        text: one line.
    """
    quoted: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quoted.append(next(filter(None, match.groups())).strip())
        return f" {_TEXT_MARK} "

    text = " ".join(QUOTED_TEXT.sub(keep, text.replace(_TEXT_MARK, "")).split())
    text = " ".join(_SAYS.sub(" with ", text).split())
    text = _SPACED_DIMENSION.sub(r"\1\2", _SPACED_HYPHEN.sub("-", text))
    parts: list[tuple[str, bool]] = []
    at, is_start = 0, True
    for match in [*_SEPARATOR.finditer(text), None]:
        part = text[at : match.start() if match else len(text)].strip()
        if part:
            is_joined = not is_start and bool(parts) and _CONTINUATION.match(part) is not None
            is_joined = is_joined and not STYLE_TAG.fullmatch(part) and not STYLE_TAG.fullmatch(parts[-1][0])
            if is_joined:
                parts[-1] = (f"{parts[-1][0]}, {part}", parts[-1][1])
            else:
                parts.append((part, is_start))
            is_start = False
        if match:
            at, is_start = match.end(), is_start or bool(_SENTENCE_END.search(match.group()))
    remaining = iter(quoted)
    parts = [(piece, starts and not at) for part, starts in parts for at, piece in enumerate(_cut_long(part))]
    return [_mark_segment(part, starts, remaining) for part, starts in parts]


def _cut_long(text: str) -> list[str]:
    """Cut a part without punctuation that is too long to be a sentence, which would take the parser long."""
    words = text.split()
    if len(words) <= MAX_SEGMENT_WORDS:
        return [text]
    return [" ".join(words[at : at + MAX_SEGMENT_WORDS]) for at in range(0, len(words), MAX_SEGMENT_WORDS)]


def _mark_segment(text: str, starts_sentence: bool, quoted: object) -> Segment:
    """Replace the relations of several words and record where they and the quoted texts stand."""
    segment = Segment("", starts_sentence=starts_sentence)
    pieces, at, size = [], 0, 0
    for match in re.finditer(f"{_RELATION.pattern}|{_TEXT_MARK}", text, re.I):
        before = text[at : match.start()]
        size += len(before)
        if match.group() == _TEXT_MARK:
            segment.texts[size] = next(quoted)  # type: ignore[call-overload]
            word = _TEXT_WORD
        elif match.group().split()[0].lower() in _VERB_PHRASES:
            word = match.group()
        else:
            segment.relations[size] = RELATIONS[match.group().lower()]
            word = PLACE_WORD
        pieces += [before, word]
        size += len(word)
        at = match.end()
    segment.text = "".join([*pieces, text[at:]])
    return segment
