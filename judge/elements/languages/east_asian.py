"""Phrases of Chinese and Japanese: by jieba or fugashi if installed (extra `cjk`), else clause by clause."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from judge.elements.languages.phrases import cut_long_text
from judge.elements.statements import Statement

MAX_CLAUSE_CHARS = 24
"""A longer clause is cut before function words."""
_BREAKS = {
    "chinese": re.compile(r"(?=和|与|以及|并且|旁边|正在|穿着|拿着|戴着|站在|坐在|躺在|背景)"),
    "japanese": re.compile(r"(?<=[がをにはでと])"),
}
_PLACE_ENDS = re.compile(
    r"(?:の(?:上|下|中|横|隣|前|後ろ|そば|近く)|[上下里中旁前后]面?|[手][里中上]?|远处|背景|旁边|之上|之下)$"
)
_COUNTS = re.compile(
    r"^[\d一二两三四五六七八九十几多]+(?:[只个条张辆朵棵座本位头匹双群颗件把艘架匹枚匹羽匹人]|つ|個|匹|本|枚|台|人|羽)"
)
_WRITING = re.compile(r"(?:上?写[着有]|标着|写了|と?書かれた|と?書いた)\s*的?|(?<=\s)的")
"""Words around a quoted text, which is an element of its own."""
_EXISTENCE = frozenset("有 是 在 ある いる する".split())
"""Verbs that say only that something is there."""
MIN_PHRASED_CHARS = 7
"""Shorter clauses are one phrase."""
_LOCK = threading.Lock()
Tagged = list[tuple[str, str]]
"""(word, part of speech) with the parts noun, modifier, link ("of"), count, verb and other."""


def split_east_asian(clause: str, language: str) -> list[Statement]:
    """Split a clause of Chinese or Japanese.

    Args:
        clause: text without punctuation between clauses.
        language: "chinese" or "japanese".

    Returns:
        Each noun with its modifiers as an object or a count, and the whole clause as an activity if it joins
        them by a verb. Without a tokenizer, the clause itself, cut before function words if it is long.
    """
    clause = _WRITING.sub("", clause).strip()
    tagged = _tag_chinese(clause) if language == "chinese" else _tag_japanese(clause)
    if tagged is None or len(clause) < MIN_PHRASED_CHARS:
        return [_as_statement(part) for part in _cut_clause(clause, language)]
    names = [name for name in map(_without_place, _noun_phrases(tagged)) if name]
    statements = [
        _as_statement(part) for name in dict.fromkeys(names) for part in cut_long_text(name, MAX_CLAUSE_CHARS)
    ]
    joined = re.sub(r"\s+", "", clause) if not re.search(r"[A-Za-z]\s+[A-Za-z]", clause) else clause
    if not statements:
        return [_as_statement(part) for part in _cut_clause(clause, language)]
    has_verb = any(part == "verb" and word not in _EXISTENCE for word, part in tagged)
    if has_verb and joined not in names and len(joined) <= 2 * MAX_CLAUSE_CHARS:
        statements.append(Statement(name=joined, kind="activity", needs=[s.name for s in statements]))
    return statements


def tokenizers() -> dict[str, bool]:
    """Return for each language whether its tokenizer is installed."""
    has_dictionary = any(find_spec(name) for name in ("unidic_lite", "unidic", "ipadic"))
    return {
        "chinese": find_spec("jieba") is not None,
        "japanese": find_spec("fugashi") is not None and has_dictionary,
    }


def _as_statement(name: str) -> Statement:
    return Statement(name=name, kind="count" if _COUNTS.match(name) else "object")


def _cut_clause(clause: str, language: str) -> list[str]:
    """Return parts of at most `MAX_CLAUSE_CHARS` characters, cut before function words if possible."""
    parts, current = list[str](), ""
    for piece in _BREAKS[language].split(clause) if len(clause) > MAX_CLAUSE_CHARS else [clause]:
        if current and len(current) + len(piece) > MAX_CLAUSE_CHARS:
            parts.append(current)
            current = ""
        current += piece
    parts.append(current)
    return [
        cut.strip() for part in parts for cut in cut_long_text(part.strip(), MAX_CLAUSE_CHARS) if cut.strip()
    ]


def _without_place(phrase: str) -> str:
    """Remove a place at the end: "on" in "wooden table on"."""
    return _PLACE_ENDS.sub("", phrase) or phrase


def _noun_phrases(tagged: Iterable[tuple[str, str]]) -> list[str]:
    """Return the longest runs of modifiers and links that end with a noun."""
    phrases, run, relative = list[str](), Tagged(), Tagged()
    for word, part in [*tagged, ("", "other")]:
        if part in ("noun", "modifier", "link", "count"):
            run.append((word, part))
            continue
        if part == "verb" and run and all(part == "count" for _, part in run):
            relative, run = [*run, (word, part)], []  # "a man who wears", up to the link word
            continue
        if relative and any(part == "link" for _, part in run):
            run = [*relative, *run]
        relative = [*relative, (word, part)] if relative and not run else []
        while run and run[-1][1] != "noun":
            run.pop()
        while run and run[0][1] == "link":
            run.pop(0)
        if run:
            phrases.append("".join(f" {w} " if w.isascii() else w for w, _ in run).replace("  ", " ").strip())
        run = []
    return phrases


@cache
def _load_jieba() -> Any:
    if find_spec("jieba") is None:
        return None
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its regular expressions and pkg_resources
        import jieba
        import jieba.posseg

        jieba.setLogLevel(logging.WARNING)
        jieba.initialize()
    return jieba.posseg


def _tag_chinese(text: str) -> Tagged | None:
    with _LOCK:
        posseg = _load_jieba()
        if posseg is None:
            return None
        return [
            (pair.word, _chinese_part(pair.word, pair.flag))
            for pair in posseg.cut(text, HMM=False)
            if pair.word.strip()
        ]


def _chinese_part(word: str, flag: str) -> str:
    if word in ("的", "之"):
        return "link"
    if flag.startswith("m") or flag == "q":
        return "count"
    if flag[0] in "ab" or flag in ("z",):
        return "modifier"
    if flag == "f" or flag.startswith(("n", "s", "eng", "t", "l", "i", "j", "g")):
        return "other" if flag == "f" else "noun"
    return "verb" if flag.startswith("v") else "other"


@cache
def _load_fugashi() -> Any:
    if not tokenizers()["japanese"]:
        return None
    import fugashi

    return fugashi.Tagger()


def _tag_japanese(text: str) -> Tagged | None:
    with _LOCK:
        tagger = _load_fugashi()
        if tagger is None:
            return None
        return [(word.surface, _japanese_part(word)) for word in tagger(text)]


def _japanese_part(word: Any) -> str:
    part = word.feature.pos1
    if part == "助詞" and word.surface in ("の", "な"):
        return "link"
    if part in ("名詞", "代名詞", "接尾辞"):
        return "count" if word.feature.pos2 == "数詞" else "noun"
    if part in ("形容詞", "形状詞", "連体詞", "接頭辞"):
        return "modifier"
    if part == "助動詞" and word.surface == "な":
        return "link"
    return "verb" if part == "動詞" else "other"
