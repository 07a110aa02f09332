"""Compare a wanted text with the lines that were read: how far it is from what is written, and where.

Texts are compared by the edit distance (Levenshtein 1966), over whole words and runs of them:

- Unicode's compatibility forms are unified (NFKC): full-width letters are letters.
- Case does not count, unless the prompt asks for it. Then letters whose forms differ by size alone (o and O)
  still do not count, since a reader cannot tell them apart.
- Spaces, line breaks and hyphens at the end of a line or between words do not count; nor do punctuation
  marks, except inside a word or number (f-is-h, 3.50) and signs that are said (%, $, &, @, #, +).
- Chinese and Japanese have no spaces: a run begins and ends between any two characters, but never between
  equal ones, so that a doubled character counts.
- Letters that look alike (0 and O, 1 and l) are different.
- Lines are joined in each of `reading_orders`; the best run counts, wherever it stands.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from judge.evidence.text_order import reading_orders
from judge.types import Box, TextLine

MAX_WANTED_CHARS = 400
MAX_READ_CHARS = 6000
"""Characters that are compared; more is not read by a person at a glance either."""
SAID_SIGNS = frozenset("%$€£¥&@#+=°")
PUNCTUATION = {
    "’": "'",
    "‘": "'",
    "`": "'",
    "´": "'",
    "‐": "-",
    "‑": "-",
    "–": "-",
    "—": "-",
    "−": "-",
    "・": "·",
}
SAME_FORM = frozenset("cikopsuvwxyz")
"""Letters whose capital differs by its size alone."""
SOFT_HYPHEN = "\u00ad"
"""Stands for a hyphen at the end of a line, which counts as one or as none."""


@dataclass(frozen=True)
class _Character:
    """One character of the lines, with its place."""

    value: str
    starts: bool
    """Whether a run may begin here."""
    ends: bool
    """Whether a run may end after it."""
    line: int
    """Index of the line in its order."""
    begin: float
    end: float
    """Where in the line it stands, 0 to 1."""


@dataclass(frozen=True)
class TextMatch:
    """The run of characters that is nearest to a wanted text."""

    wanted: str
    read: str
    """What was read there; empty if nothing is similar."""
    distance: int
    """Characters to change, add or remove."""
    length: int
    """Characters of the wanted text that count."""
    confidence: float
    """Least confidence of the lines, 0 to 1; 1 if nothing is similar."""
    box: Box | None = None
    """Where the run stands, in pixels of the original image; None if nothing is similar."""

    @property
    def is_exact(self) -> bool:
        """Whether what was read is what is wanted."""
        return self.distance == 0

    @property
    def similarity(self) -> float:
        """Share of the characters that are right, 0 to 1."""
        return max(0.0, 1 - self.distance / self.length) if self.length else 0.0


def match_text(wanted: str, lines: Sequence[TextLine], *, case_counts: bool = False) -> TextMatch:
    """Find the run of characters in the lines that is nearest to a wanted text.

    Args:
        wanted: the text, as the prompt writes it.
        lines: what was read, in reading order.
        case_counts: whether capital and small letters differ.
    """
    target = _characters([wanted[:MAX_WANTED_CHARS]], case_counts)
    best = TextMatch(wanted, "", len(target), len(target), 1.0)
    if not target:
        return best
    for order in reading_orders(lines):
        found = _best_run(wanted, target, order, case_counts)
        if found is not None and found.distance < best.distance:
            best = found
        if best.is_exact:
            break
    return best


def comparable(text: str, *, case_counts: bool = False) -> str:
    """Return the characters of a text that count; empty if none does."""
    return "".join(character.value for character in _characters([text], case_counts))


def _best_run(
    wanted: str, target: Sequence[_Character], order: Sequence[TextLine], case_counts: bool
) -> TextMatch | None:
    """Return the nearest run of one order of lines, by an edit distance that is free outside the run."""
    read = _characters([line.text for line in order], case_counts)[:MAX_READ_CHARS]
    infinite = len(target) + len(read) + 1
    # Row of the distances of the first n wanted characters to runs that end before character j, and where
    # the best of these runs begins.
    row = [0 if j == len(read) or read[j].starts else infinite for j in range(len(read) + 1)]
    starts = list(range(len(read) + 1))
    for number, letter in enumerate(target, 1):
        # A hyphen between two wanted words is a space.
        is_between = number < len(target) and target[number].starts
        previous, before = row, starts
        row, starts = [previous[0] + 1], [before[0]]
        for j, character in enumerate(read, 1):
            is_soft = character.value == SOFT_HYPHEN or (character.value == "-" and is_between)
            is_same = character.value == letter.value or (is_soft and letter.value == "-")
            options = (
                (previous[j - 1] + (not is_same), before[j - 1]),
                (row[j - 1] + (not is_soft), starts[j - 1]),
                (previous[j] + 1, before[j]),
            )
            cost, start = min(options, key=lambda option: option[0])
            row.append(cost)
            starts.append(start)
    ends = [j for j in range(1, len(read) + 1) if read[j - 1].ends and row[j] < len(target)]
    if not ends:
        return None
    end = min(ends, key=lambda j: (row[j], j - starts[j]))
    run = read[starts[end] : end]
    if not run:
        return None
    return TextMatch(
        wanted,
        _written(run, order),
        int(row[end]),
        len(target),
        min(order[character.line].confidence for character in run),
        _box(run, order),
    )


def _written(run: Sequence[_Character], order: Sequence[TextLine]) -> str:
    """Return the run as it was read, with its spaces and punctuation."""
    parts = []
    for index in dict.fromkeys(character.line for character in run):
        text = order[index].text
        own = [character for character in run if character.line == index]
        begin, end = round(own[0].begin * len(text)), round(own[-1].end * len(text))
        parts.append(text[begin:end].strip())
    return " ".join(parts)


def _box(run: Sequence[_Character], order: Sequence[TextLine]) -> Box:
    """Return the box of a run: each of its lines in proportion to the characters."""
    points: list[tuple[float, float]] = []
    for index in dict.fromkeys(character.line for character in run):
        own = [character for character in run if character.line == index]
        corners = order[index].polygon
        is_vertical = math.dist(*corners[1:3]) > math.dist(*corners[:2]) and len(order[index].text) > 1
        sides = ((0, 3), (1, 2)) if is_vertical else ((0, 1), (3, 2))
        for a, b in sides:
            for share in (own[0].begin, own[-1].end):
                (x1, y1), (x2, y2) = corners[a], corners[b]
                points.append((x1 + share * (x2 - x1), y1 + share * (y2 - y1)))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _characters(lines: Sequence[str], case_counts: bool) -> list[_Character]:
    """Return the characters of lines that count."""
    characters: list[_Character] = []
    for index, line in enumerate(lines):
        kept = _kept_characters(line, is_last=index == len(lines) - 1)
        for at, (value, place, is_first, is_final) in enumerate(kept):
            is_wide = _is_wide(value)
            twin_before = at > 0 and kept[at - 1][0] == value
            twin_after = at + 1 < len(kept) and kept[at + 1][0] == value
            after_wide = at > 0 and _is_wide(kept[at - 1][0])
            before_wide = at + 1 < len(kept) and _is_wide(kept[at + 1][0])
            for letter in _fold(value, case_counts):
                characters.append(
                    _Character(
                        letter,
                        starts=is_first or ((is_wide or after_wide) and not twin_before),
                        ends=is_final or ((is_wide or before_wide) and not twin_after),
                        line=index,
                        begin=place / max(1, len(line)),
                        end=(place + 1) / max(1, len(line)),
                    )
                )
    return characters


def _kept_characters(line: str, is_last: bool) -> list[tuple[str, int, bool, bool]]:
    """Return (character, place, begins a word, ends a word) of the characters of a line that count."""
    text = "".join(PUNCTUATION.get(character, character) for character in line)
    kept: list[tuple[str, int, bool, bool]] = []
    for match_start, word in _words(text):
        own: list[tuple[str, int]] = []
        for offset, character in enumerate(word):
            if (
                character.isalnum()
                or character in SAID_SIGNS
                or unicodedata.category(character) in ("Mn", "So")
            ):
                own.append((character, match_start + offset))
            elif _is_inside(word, offset):
                own.append((character, match_start + offset))
        if own and not is_last and word.endswith("-") and match_start + len(word) == len(text.rstrip()):
            own.append((SOFT_HYPHEN, match_start + len(word) - 1))
        last = len(own) - 1
        kept += [(character, place, at == 0, at == last) for at, (character, place) in enumerate(own)]
    return kept


def _words(text: str) -> list[tuple[int, str]]:
    """Return the words of a text with their places."""
    words, start = list[tuple[int, str]](), -1
    for at, character in enumerate(f"{text} "):
        if character.isspace():
            if start >= 0:
                words.append((start, text[start:at]))
            start = -1
        elif start < 0:
            start = at
    return words


def _is_inside(word: str, at: int) -> bool:
    """Return whether a mark stands between two letters or digits of one script: 3.50, f-is-h, don't."""
    if not 0 < at < len(word) - 1 or word[at] not in ".,:-'/":
        return False
    before, after = word[at - 1], word[at + 1]
    if _is_wide(before) or _is_wide(after):
        return False
    if word[at] in ".,:":
        return before.isdigit() and after.isdigit()
    return before.isalnum() and after.isalnum()


def _is_wide(character: str) -> bool:
    """Return whether a character belongs to a script without spaces: Chinese or Japanese."""
    code = ord(character[0])
    return 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000


def _fold(character: str, case_counts: bool) -> str:
    """Return the form in which a character is compared; usually one character."""
    unified = unicodedata.normalize("NFKC", character)
    if not case_counts:
        return unified.casefold()
    return "".join(c.lower() if c.lower() in SAME_FORM else c for c in unified)
