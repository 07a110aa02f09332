"""Clean, truncate and normalise the text of prompts and elements."""

from __future__ import annotations

import re

from judge.elements.lexicon import ARTICLES

MAX_ELEMENT_CHARS = 80
"""Maximum length of one element in characters; longer phrases are cut after a word."""
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Matches one control character; line ends are control characters too."""

HAS_CONTENT = re.compile(r"[^\W_]|[\u2600-\u27bf\U0001f000-\U0001faff]")
"""Matches a letter, a digit or an emoji: what makes a text worth a question."""


def clean_text(text: str) -> str:
    """Replace control characters and line ends by spaces, collapse white space and drop lone surrogates.

    Args:
        text: any text.

    Returns:
        One line without leading or trailing white space; it can be encoded as UTF-8.
    """
    text = CONTROL_CHARACTERS.sub(" ", text)
    return " ".join(text.encode("utf-8", "ignore").decode("utf-8").split())


def truncate(text: str, limit: int = MAX_ELEMENT_CHARS) -> str:
    """Cut a text after the last whole word within a limit.

    Args:
        text: any text.
        limit: maximum length in characters. A first word that is longer is cut inside the word.

    Returns:
        The text, or its beginning.
    """
    if len(text) <= limit:
        return text
    head = text[: limit + 1].rsplit(" ", 1)[0] if " " in text[: limit + 1] else text
    return head[:limit].strip()


def normalise_element(element: str) -> str:
    """Normalise an element for comparison with other elements.

    Args:
        element: any text.

    Returns:
        The element in lower case, without punctuation, leading articles and a trailing type in brackets
        ("cat (animal)" becomes "cat"). May be empty.
    """
    bare = re.sub(r"\s*\([^()]*\)\s*$", "", element.casefold())
    words = re.sub(r"[^\w\s]", " ", bare).split()
    while words and words[0] in ARTICLES:
        words.pop(0)
    return " ".join(words)
