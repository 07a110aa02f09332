"""Which script a text is written in, and which language text in Latin script is in."""

from __future__ import annotations

import re

from judge.elements.languages.words import ENGLISH, LATIN

EAST_ASIAN = re.compile(
    r"[\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""One character of Chinese or Japanese."""
_KANA = re.compile(r"[\u3040-\u30ff\uff66-\uff9f]")
_SCRIPTS = {
    "hangul": r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]",
    "cyrillic": r"[\u0400-\u052f]",
    "arabic": r"[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff]",
    "devanagari": r"[\u0900-\u097f]",
    "hebrew": r"[\u0590-\u05ff]",
    "greek": r"[\u0370-\u03ff\u1f00-\u1fff]",
    "thai": r"[\u0e00-\u0e7f]",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _SCRIPTS.items()}
_WORD = re.compile(r"[^\W\d_]+'?")
MIN_FUNCTION_WORDS = 2
"""So many function words of a language must stand in a text to be read as that language."""


def script_of(text: str) -> str:
    """Return the script of most letters: latin, chinese, japanese, hangul, ...; "" without letters.

    A text with any Chinese or Japanese character counts as that, as single Latin words in it are names.
    """
    if EAST_ASIAN.search(text):
        return "japanese" if _KANA.search(text) else "chinese"
    counts = {name: len(pattern.findall(text)) for name, pattern in _PATTERNS.items()}
    best = max(counts, key=counts.__getitem__)
    letters = sum(character.isalpha() for character in text)
    if counts[best] * 2 >= letters > 0:
        return best
    return "latin" if letters else ""


def latin_language(text: str) -> str:
    """Return the language of a text in Latin script by its function words; "en" in doubt."""
    words = [word for match in _WORD.findall(text.lower()) for word in (match, match.rstrip("'"))][: 2 * 200]
    words = list(dict.fromkeys(words))
    english = sum(word in ENGLISH for word in words)
    scores = {
        name: sum(word in known.articles | known.joins | known.places | known.links for word in words)
        for name, known in LATIN.items()
    }
    best = max(scores, key=scores.__getitem__)
    accented = any("\u00c0" <= character <= "\u024f" for character in text)
    needed = max(MIN_FUNCTION_WORDS - accented, 1)
    return best if scores[best] >= needed and scores[best] > english else "en"
