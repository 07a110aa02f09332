"""Text that a terminal or a drawing shows as text."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping

MAX_LISTED_COUNTS = 8


def to_plain_text(text: str) -> str:
    """Replace control and formatting characters by spaces and collapse white space."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join("".join(kept).split())


def describe_counts(counts: Mapping[str, int]) -> str:
    """List things with their numbers, as in "hidden files (3)", the most frequent first; "" without any."""
    listed = Counter({name: count for name, count in counts.items() if count}).most_common()
    names = [f"{name} ({count})" for name, count in listed[:MAX_LISTED_COUNTS]]
    more = len(listed) - len(names)
    return ", ".join(names + [f"{more} more"] * bool(more))
