"""Text that a terminal or a drawing shows as text."""

from __future__ import annotations

import unicodedata


def to_plain_text(text: str) -> str:
    """Replace control and formatting characters by spaces and collapse white space."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join("".join(kept).split())
