"""Brackets of AUTOMATIC1111, ComfyUI and NovelAI: weights, emphasis, alternatives, schedules and networks.

Sources: "Attention/emphasis" and "Prompt editing" in the wiki of AUTOMATIC1111's web UI, its extension
Dynamic Prompts (`{a|b}`, `__name__`), ComfyUI's `embedding:NAME`, and "Strengthening and Weakening" in
NovelAI's documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from judge.elements.lexicon import ARTICLES
from judge.elements.syntax.reading import Reading

DIALECT = "brackets of a generator"
MAX_DEPTH = 16
"""Brackets nested deeper than this are dropped."""
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_OPENING = {close: opening for opening, close in _PAIRS.items()}
_NETWORK = re.compile(
    r"<\s*(?:lora|lyco|locon|loha|hypernet|hypernetwork|hn|embed|embedding|ti|lbw"
    r"|wildcard)\s*:[^<>\n]{0,200}>",
    re.I,
)
_EMBEDDING = re.compile(r"\(?\bembedding:[\w./\\-]+(?::\d*\.?\d+)?\)?", re.I)
_WILDCARD_NAME = r"(?<![\w_])__[A-Za-z][\w/*-]{0,60}?__(?![\w_]|\.\w)"
_WILDCARD = re.compile(
    # At the end of a clause, the words that lead to it go with it: "a car near a __thing__".
    r"(?:\s+(?:and|or|with|in|on|near|of|at|by|holding|wearing|next to|under))?(?:\s+(?:an?|the))?\s+"
    rf"{_WILDCARD_NAME}(?=\s*(?:[,.;\n]|$))|{_WILDCARD_NAME}"
)
_FULL_WIDTH = re.compile(r"（([^（）\n]{1,200}?)[:：]\s*(\d*\.?\d+)\s*）")
_WEIGHT = re.compile(r"^(.*[^\s\d:.])\s?:(\s?)(-?\d*\.?\d+)\s*$", re.S)
_WEIGHT_OF_NUMBER = re.compile(r"^(.*[A-Za-z].*\d)\s?:(-?\d?\.\d+)\s*$", re.S)
_RATIO = re.compile(r"\b(?:ratio|scale|score|aspect|time|at)\b", re.I)
_SCHEDULE = re.compile(r"^(.*?):(?:(.*?):)?\s*(\d*\.\d+|\d{1,3})\s*$", re.S)
_AFTER_BRACKET = re.compile(r"\)(?:[+-]{1,5}|\d\.\d+)(?=[\s,.]|$)")
_AFTER_WORD = re.compile(r"(?<=[a-z]{3})(?<!notepad)(?:\+{2,5}|-{2,5})(?=[\s,.]|$)")
_BARE_WEIGHT = re.compile(
    r"(?:^|(?<=[,;|\n]))([^,;|\n:()]*[^\W\d][^,;|\n:()]*?)\s?:(-?\d*\.\d+"
    r"|-\d+)[^\S\n]*(?=[,;|\n]|$)"
)
_SIGN = re.compile(
    r"\(\s?\(|\[\s?\[|\{\s?\{|[^\s\d:.]\s?:\s?-?\d*\.\d+\s*\)|<lora:|\bscore_\d|\[[^\[\]|]{1,80}\|[^\[\]]{1,80}\]"
    r"|\bmasterpiece\b"
    r"|\\[()]"
)
_LOOSE_BEFORE = frozenset(",;|.\n([{、，。；")
_LOOSE_AFTER = frozenset(",;|.\n)]}、，。；")
_PICK_COUNT = re.compile(r"^\s*\d+(?:-\d+)?\$\$(?:[^|$]{0,20}\$\$)?")
_OPTION_WEIGHT = re.compile(r"^\s*\d*\.?\d+::")


def read_networks(reading: Reading) -> None:
    """Read networks and embeddings: `<lora:NAME:0.8>`, `embedding:NAME`."""
    reading.replace(_NETWORK, "networks")
    reading.replace(_EMBEDDING, "networks")


def read_wildcards(reading: Reading) -> None:
    """Read `__name__`, which stands for a line of a file that only the generator knows."""
    reading.replace(_WILDCARD, "a wildcard with an unknown value, left out")


def read_brackets(reading: Reading) -> None:
    """Read weights, emphasis, alternatives and schedules in brackets.

    Single brackets without a weight are ordinary text unless they enclose a whole clause, or the prompt has
    other syntax of this kind.
    """

    def read_full_width(match: re.Match[str]) -> str:
        return f"({match.group(1)}:{match.group(2)})"

    text = _FULL_WIDTH.sub(read_full_width, reading.text)
    if not re.search(r"[(\[{]", text):
        return
    text = _AFTER_BRACKET.sub(")", text)
    reading.text = _BracketReader(reading, text, bool(_SIGN.search(text))).read()


def read_bare_weights(reading: Reading) -> None:
    """Read weights without brackets: `a cat:1.2, a dog:-1`, `cat++`."""

    def read(match: re.Match[str]) -> str:
        text, weight = match.groups()
        reading.note(DIALECT, match.group(0))
        if float(weight) < 0:
            reading.negative.append(text)
            return " "
        return text

    if ":" in reading.text:
        reading.text = _BARE_WEIGHT.sub(read, reading.text)
    reading.replace(_AFTER_WORD, DIALECT, "")


@dataclass
class _Group:
    """An open bracket and the text after it."""

    bracket: str
    start: int
    pieces: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """Indices in `pieces` of the bars directly inside this bracket."""


@dataclass
class _BracketReader:
    """Reads the brackets of one text from the inside out."""

    reading: Reading
    text: str
    has_signs: bool
    """Whether the prompt has unmistakable syntax of this kind."""

    def read(self) -> str:
        """Return the text without the brackets that are syntax."""
        partners = _match_brackets(self.text)
        groups = [_Group("", -1)]
        at = 0
        for match in re.finditer(r"\\[()\[\]{}]|[()\[\]{}|]", self.text):
            start, mark = match.start(), match.group(0)
            groups[-1].pieces.append(self.text[at:start])
            at = match.end()
            if mark[0] == "\\":
                groups[-1].pieces.append(mark[1])
                self.reading.note(DIALECT, mark)
            elif mark == "|" and len(groups) > 1:
                groups[-1].cuts.append(len(groups[-1].pieces))
                groups[-1].pieces.append(mark)
            elif start not in partners or mark == "|":
                groups[-1].pieces.append(mark)
            elif mark in _PAIRS:
                groups.append(_Group(mark, start))
            else:
                group = groups.pop()
                groups[-1].pieces.append(self._close(group, start, partners, len(groups)))
        groups[-1].pieces.append(self.text[at:])
        return "".join(groups[-1].pieces)

    def _close(self, group: _Group, end: int, partners: dict[int, int], depth: int) -> str:
        """Return what replaces a group, from its bracket to the one at `end`."""
        content = "".join(group.pieces)
        if depth > MAX_DEPTH:
            return content
        source = self.text[group.start : end + 1]
        read = {"(": self._read_round, "[": self._read_square, "{": self._read_curly}[group.bracket]
        replacement = read(group, content, end, partners)
        if replacement is None:
            return f"{group.bracket}{content}{_PAIRS[group.bracket]}"
        self.reading.note(DIALECT, source)
        return replacement

    def _read_round(self, group: _Group, content: str, end: int, partners: dict[int, int]) -> str | None:
        weight = _read_weight(content)
        if weight:
            text, value = weight
            if value < 0:
                self.reading.negative.append(text)
                return " "
            return text if value else " "
        return content if self._is_emphasis(group.start, end, partners) else None

    def _read_square(self, group: _Group, content: str, end: int, partners: dict[int, int]) -> str | None:
        if group.cuts:
            return self._add_choice(group)
        schedule = _SCHEDULE.match(content)
        if schedule and re.search(r"\w", schedule.group(1)) and not _RATIO.search(schedule.group(1)):
            if schedule.group(2) is not None and schedule.group(2).strip():
                return self.reading.add_choice([schedule.group(1).strip(), schedule.group(2).strip()])
            if not schedule.group(1).strip()[-1:].isdigit():
                return schedule.group(1)
        after_article = re.search(rf"\b(?:{'|'.join(ARTICLES)})\s*$", self.text[: group.start][-12:], re.I)
        in_phrase = after_article and re.match(r"\s*\w", self.text[end + 1 :][:4])
        return content if in_phrase or self._is_emphasis(group.start, end, partners) else None

    def _read_curly(self, group: _Group, content: str, end: int, _: dict[int, int]) -> str | None:
        if group.cuts:
            return self._add_choice(group)
        if ":" in content and re.search(r"[\"'{]\s*$|^\s*[\"']", content[:3]):
            return None
        options = [part.strip() for part in content.split(",")]
        before, after = self.text[: group.start].rstrip(), self.text[end + 1 :].lstrip()
        in_phrase = (before and before[-1] not in _LOOSE_BEFORE) or (after and after[0] not in _LOOSE_AFTER)
        if len(options) > 1 and all(options) and in_phrase and before[-1:] != "{" and after[:1] != "}":
            return self.reading.add_choice(options)
        return content

    def _add_choice(self, group: _Group) -> str:
        """Return the mark of the alternatives of a group, which bars separate."""
        bounds = [-1, *group.cuts, len(group.pieces)]
        options = ["".join(group.pieces[a + 1 : b]) for a, b in zip(bounds, bounds[1:], strict=False)]
        options[0] = _PICK_COUNT.sub("", options[0])
        options = [_OPTION_WEIGHT.sub("", option).strip() for option in options]
        options = [weight[0] if (weight := _read_weight(option)) else option for option in options]
        options = list(dict.fromkeys(filter(None, options)))
        if len(options) < 2:
            return options[0] if options else " "
        return self.reading.add_choice(options)

    def _is_emphasis(self, start: int, end: int, partners: dict[int, int]) -> bool:
        """Return whether brackets without a weight are emphasis: doubled, around a clause, or with signs."""
        text = self.text
        outer = _skip_spaces(text, start - 1, -1), _skip_spaces(text, end + 1, 1)
        inner = _skip_spaces(text, start + 1, 1), _skip_spaces(text, end - 1, -1)
        if any(partners.get(first) == last for first, last in (outer, inner)):
            return True
        if self.has_signs:
            return True
        before, after = text[max(0, start - 40) : start].rstrip(" "), text[end + 1 : end + 40].lstrip(" ")
        is_clause = (start < 40 and not before) or before[-1:] in _LOOSE_BEFORE
        ends_clause = not after or after[0] in _LOOSE_AFTER
        is_whole = not before and not after
        if not re.search(r"[^\W\d_]", text[start:end]):
            return False
        return is_clause and ends_clause and (is_whole or end - start < 80)


def _match_brackets(text: str) -> dict[int, int]:
    """Return the partner of each bracket that has one, in both directions."""
    partners: dict[int, int] = {}
    open_brackets: list[int] = []
    for match in re.finditer(r"\\.|[()\[\]{}]", text):
        mark, at = match.group(0), match.start()
        if mark in _PAIRS:
            open_brackets.append(at)
        elif mark in _OPENING and open_brackets and text[open_brackets[-1]] == _OPENING[mark]:
            partners[at] = open_brackets.pop()
            partners[partners[at]] = at
        elif mark in _OPENING and any(text[o] == _OPENING[mark] for o in open_brackets[-8:]):
            while text[open_brackets[-1]] != _OPENING[mark]:
                open_brackets.pop()
            partners[at] = open_brackets.pop()
            partners[partners[at]] = at
    return partners


def _skip_spaces(text: str, at: int, step: int) -> int:
    """Return the next position from `at` on, in steps of 1 or -1, that is no space."""
    while 0 <= at < len(text) and text[at] == " ":
        at += step
    return at


def _read_weight(content: str) -> tuple[str, float] | None:
    """Return the text and the weight of `TEXT:WEIGHT`; None if it is not one."""
    colon = content.rfind(":")
    if colon < 1 or len(content) - colon > 12:
        return None
    match = _WEIGHT.match(content)
    if match:
        text, space, number = match.groups()
        is_plausible = "." in number or (not space and abs(int(number)) <= 5)
        return (text, float(number)) if is_plausible else None
    match = _WEIGHT_OF_NUMBER.match(content)
    if match and not _RATIO.search(content):
        return match.group(1), float(match.group(2))
    return None
