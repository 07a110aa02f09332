"""The state that the readers of a prompt share, and the texts that none of them changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

NOTE_EXAMPLES = 3
"""Number of places that a note quotes; the others are counted."""
MAX_QUOTED_CHARS = 40
_CHOICE = re.compile("\ue002(\\d+)\ue003")
_PRIVATE = re.compile("[\ue000-\ue003]")
PROTECTED = re.compile(
    r"“[^”\n]{1,200}”|\"[^\"\n]{1,200}\"|(?<!\w)'[^'\n]{1,80}'(?!\w)|(?<!\w)‘[^’\n]{1,80}’(?!\w)"
    r"|「[^」\n]{1,80}」|『[^』\n]{1,80}』|«[^»\n]{1,80}»"
    r"|\b(?:https?://|www\.)[^\s,<>()\[\]\ue000-\ue003]+|\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]*\w"
    r"|\b\w[\w-]{0,60}\.(?:png|jpe?g|webp|gif|py|js|txt|json|csv|html?|mp4|pdf|psd|svg)\b"
)
"""Matches a text that no reader changes: quotes, addresses, file names."""


@dataclass
class Reading:
    """A prompt that is being read. Readers take syntax out of `text` and put it where it belongs."""

    text: str
    negative: list[str] = field(default_factory=list)
    """Texts of what the image must not show, not yet split into phrases."""
    style: list[str] = field(default_factory=list)
    """Phrases about quality and fashion."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of the generator."""
    choices: list[list[str]] = field(default_factory=list)
    """Alternatives of which the image shows one; the text holds `choice_mark` in their place."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """Dialect -> the places that were read as its syntax."""
    protected: list[str] = field(default_factory=list)
    """Texts that no reader changes; the text holds `\\ue000NUMBER\\ue001` in their place."""

    def note(self, dialect: str, place: str) -> None:
        """Record that a place was read as syntax of a dialect."""
        self.found.setdefault(dialect, []).append(" ".join(self.describe(place).split()))

    def replace(self, pattern: re.Pattern[str], dialect: str, replacement: str = " ") -> None:
        """Replace every match by a text and record it."""

        def read(match: re.Match[str]) -> str:
            self.note(dialect, match.group(0))
            return replacement

        self.text = pattern.sub(read, self.text)

    def protect(self) -> None:
        """Hide quoted texts, addresses and file names from the readers that follow."""

        def hide(match: re.Match[str]) -> str:
            self.protected.append(match.group(0))
            return f"\ue000{len(self.protected) - 1}\ue001"

        self.text = PROTECTED.sub(hide, self.text)

    def restore(self, text: str) -> str:
        """Return a text with everything that is hidden in it."""
        return re.sub("\ue000(\\d+)\ue001", lambda match: self.protected[int(match.group(1))], text)

    def describe(self, text: str) -> str:
        """Return a text for people: with everything that is hidden, and with all alternatives."""
        while mark := _CHOICE.search(text):
            options = "|".join(self.choices[int(mark.group(1))])
            text = f"{text[: mark.start()]}{{{options}}}{text[mark.end() :]}"
        return self.restore(text)

    def add_choice(self, options: list[str]) -> str:
        """Add alternatives and return the mark that stands for them in the text."""
        self.choices.append(options)
        return choice_mark(len(self.choices) - 1)

    def notes(self) -> list[str]:
        """Return one note for each dialect."""
        return [f"read as {dialect}: {_quote(places)}" for dialect, places in self.found.items()]


Reader = Callable[[Reading], None]
"""Reads one dialect."""


def choice_mark(number: int) -> str:
    """Return the mark of the alternatives of this number."""
    return f"\ue002{number}\ue003"


def remove_marks(text: str) -> str:
    """Remove the characters with which the readers mark places, so that a prompt cannot imitate a mark."""
    return _PRIVATE.sub("", text)


def _quote(places: list[str]) -> str:
    places = list(dict.fromkeys(places))
    quoted = [p if len(p) <= MAX_QUOTED_CHARS else p[: MAX_QUOTED_CHARS - 3] + "..." for p in places]
    more = len(places) - NOTE_EXAMPLES
    return "; ".join(quoted[:NOTE_EXAMPLES]) + (f"; and {more} more" if more > 0 else "")
