"""Cut a text into clauses of one language each, and split each by the rules of its language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from judge.elements.languages.east_asian import split_east_asian
from judge.elements.languages.phrases import split_phrases
from judge.elements.languages.scripts import EAST_ASIAN, latin_language, script_of
from judge.elements.splitting import QUOTED_TEXT
from judge.elements.statements import Statement
from judge.elements.text import HAS_CONTENT, truncate

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""Full-width letters, digits and signs -> ASCII."""
_SEPARATOR = re.compile(
    r"([,;:!?|\n()\[\]{}\u3001\u3002\u30fb\u060c\u061b\u061f\u06d4\u0964\u0965\u2026\u037e\u00bf\u00a1]+|\.(?!\d))"
)
_QUOTES = re.compile(
    r"「([^」]{1,80})」|『([^』]{1,80})』|《([^》]{1,80})》|«([^»]{1,80})»|„([^“”]{1,80})[“”]|"
    + QUOTED_TEXT.pattern
)
_MARK = re.compile("\ue000(\\d+)\ue001")
_LATIN_RUN = re.compile(r"((?:[A-Za-z][A-Za-z0-9'’-]*\s+){2,}[A-Za-z][A-Za-z0-9'’-]*)")
_OTHER_LETTER = re.compile(r"[^\W\d_\x00-\u024f]")
"""A letter that is not Latin."""


def split_by_language(text: str, split_english: Callable[[str], list[Statement]]) -> list[Statement]:
    """Split a text in any languages.

    Args:
        text: plain text on one line.
        split_english: splits English text. It gets neighbouring English clauses together, and the whole text
        if
            all of it is English.

    Returns:
        Distinct statements in the order of the text.
    """
    text = text.translate(_FULL_WIDTH)
    latin = latin_language(text)
    if latin == "en" and not _OTHER_LETTER.search(text):
        return split_english(text)
    found: dict[str, Statement] = {}
    seen: set[str] = set()
    for part, language, quoted in _cut_parts(text, latin):
        if part in seen and not quoted:
            continue
        seen.add(part)
        if language == "en":
            statements = split_english(part)
        elif language in ("chinese", "japanese"):
            statements = split_east_asian(part, language)
        else:
            statements = split_phrases(part, language)
        for name in quoted:
            statements.append(Statement(name=truncate(f'text "{name}"'), kind="text", word=name))
        for statement in statements:
            if HAS_CONTENT.search(statement.name):
                found.setdefault(statement.name.casefold(), statement)
    return list(found.values())


def _cut_parts(text: str, latin: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (text, language, quoted texts) of each clause; neighbouring English clauses are one.

    Args:
        text: the text.
        latin: language of clauses in Latin script.
    """
    quotes: list[re.Match[str]] = []

    def mark(match: re.Match[str]) -> str:
        quotes.append(match)
        return f" \ue000{len(quotes) - 1}\ue001 "

    pieces = _SEPARATOR.split(_QUOTES.sub(mark, re.sub("[\ue000\ue001]", "", text)))
    english = ""
    for clause, separator in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        for part in _LATIN_RUN.split(clause) if EAST_ASIAN.search(clause) else [clause]:
            bare = _MARK.sub(" ", part)
            script = script_of(bare)
            language = latin if script == "latin" else script or ("en" if latin == "en" else latin)
            if language == "en":
                english += _MARK.sub(lambda match: quotes[int(match.group(1))].group(), part)
                continue
            if english.strip():
                yield english.strip(), "en", []
            english = ""
            contents = [next(filter(None, quotes[int(n)].groups())).strip() for n in _MARK.findall(part)]
            yield bare.strip(), language, contents
        english += separator if english else ""
    if english.strip():
        yield english.strip(), "en", []
