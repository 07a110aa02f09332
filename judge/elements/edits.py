"""Read instructions of an edit: what must be there, what must be gone, and what must be as in the reference.

"Replace the red car with a bicycle, keep the house" asks for a bicycle, for no red car, and for a house as
before. Only clauses that begin with a verb of editing are read; a description has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from judge.elements.lexicon import ARTICLES, COLOURS
from judge.elements.negation import strip_articles
from judge.elements.splitting import QUOTED_TEXT


@dataclass(frozen=True)
class Edit:
    """What an instruction asks for."""

    text: str
    """What must be there, as plain text."""
    gone: list[str] = field(default_factory=list)
    """What must not be there any more."""
    unchanged: list[str] = field(default_factory=list)
    """What must be as in the reference."""


_THE = (
    r"(?:the|this|that|these|those|his|her|its|their|my|our|all(?:\s+the)?|every|both|any|an?|some|one|two"
    r"|three)"
)
_ATTRIBUTES = frozenset(
    "background sky weather season style lighting light time scene setting color colour colors expression "
    "pose hair "
    "hairstyle mood atmosphere texture material environment location view perspective outfit clothes "
    "clothing floor "
    "wall walls ground size shape font text day night".split()
)
"""Nouns of which an image always has one: to change one does not remove it."""
_ADJECTIVES = COLOURS | frozenset(
    "blonde blond brunette wooden golden metallic glass striped dotted snowy sunny rainy cloudy foggy stormy "
    "dark bright "
    "big bigger small smaller large larger tall taller short shorter long longer old young new transparent "
    "shiny matte "
    "happy sad angry smiling open closed empty full round square plain checkered".split()
)
_SEPARATOR = re.compile(
    r"\s*(?:[.;!\n]|,(?!\d)|。|；|，)\s*(?:and\s+|then\s+|also\s+|but\s+|while\s+)*|\s+(?=without\s+(?:chang"
    r"|alter|touch|modify|mov|edit|affect)\w*ing\b)|\s+(?:and(?:\s+then)?|then|but|while)\s+(?=(?:"
    r"replac|swap|substitut|chang|turn|transform|convert|remov|delet|eras|eliminat|add|insert|put|plac|keep"
    r"|preserv|leav|maintain"
    r"|retain|mov|mak|giv|paint|colo|recolo|tak|get\s+rid)\w*\b)",
    re.I,
)
_START = (
    r"^(?:(?:please|now|can\s+you|could\s+you|kindly|i\s+want\s+you\s+to|edit\s+the\s+(?:image|photo"
    r"|picture)\s+to|first|next|finally)\s*,?\s+)*"
)
_VERBS = [
    ("count", r"change\s+the\s+number\s+of\s+(?P<x>.+?)(?:\s+from\s+\S+)?\s+to\s+(?P<y>.+)"),
    ("put", r"(?:swap|switch|exchange)\s+(?:the\s+)?(?:positions?|places?)\s+of\s+(?P<y>.+)"),
    ("recolour", r"change\s+(?:the\s+)?(?:colou?r|material|texture|style|size"
        r"|shape)s?\s+of\s+(?P<x>.+?)(?:\s+from\s+(?P<old>.+?))?\s+(?:in)?to\s+(?P<y>.+)"),
    ("recolour", r"change\s+(?P<x>.+?)['’]s?\s+colou?r\s+(?:from\s+(?P<old>.+?)\s+)?to\s+(?P<y>.+)"),
    ("replace", r"(?:replace|swap|exchange|switch)\s+(?:out\s+)?(?P<x>.+?)\s+(?:with|by|for)\s+(?P<y>.+)"),
    ("replace", r"substitute\s+(?P<y>.+?)\s+for\s+(?P<x>.+)"),
    ("replace", r"substitute\s+(?P<x>.+?)\s+with\s+(?P<y>.+)"),
    ("change", r"(?:change|turn|transform|convert"
        r"|morph)\s+(?!of\b)(?P<x>.+?)(?:\s+from\s+(?P<old>.+?))?\s+(?:in)?to\s+(?P<y>.+)"),
    ("remove", r"(?:remove|delete|erase|eliminate)\s+(?P<x>.+?)(?:\s+from\s+(?P<place>.+))?"),
    ("remove", r"(?:get\s+rid\s+of|take\s+(?:out|away|off)"
        r"|cut\s+out)\s+(?P<x>.+?)(?:\s+from\s+(?P<place>.+))?"),
    ("fix", r"(?:do\s+not|don['’]?t|never|without)\s+(?:chang|alter|touch|modify|mov|edit"
        r"|affect)\w*\s+(?P<x>.+)"),
    ("keep", r"(?:keep|preserve|leave|maintain|retain)\s+(?P<x>.+?)(?P<same>(?:\s+(?:exactly|completely|as"
        r"|the|it|they|unchanged|intact|same"
     r"|untouched|identical|is|are|was|were|alone|before|in\s+place))*)"),
    ("add", r"(?:add|insert|include|introduce)\s+(?!to\b|up\b)(?:in\s+)?(?P<y>.+?)"),
    ("put", r"(?:put|place|position)\s+(?P<y>.+?)"),
    ("put", r"move\s+(?P<y>.+?\s(?:next\s+to|close\s+to|behind|beside|in\s+front\s+of|under|above|near"
        r"|between)\s.+)"),
    ("move", r"move\s+(?P<x>.+?)\s+(?:to\s+)(?P<y>.+)"),
    ("give", rf"give\s+(?P<x>{_THE}\s+\S+)\s+(?P<y>.+)"),
    ("make", r"(?:make|paint|colou?r|recolou?r|dye)\s+(?P<x>(?:the|this|that|these|those|his|her|its|their|my"
        r"|all)\s+.+?)\s+(?:look\s+(?:like\s+)?)?(?P<y>\S+(?:\s+\S+)?)"),
]  # fmt: skip
_COMPILED = [(kind, re.compile(rf"{_START}{pattern}$", re.I | re.S)) for kind, pattern in _VERBS]
_REST = re.compile(
    r"^(?:(?:every|any)thing\s+else|all\s+else|the\s+rest(?:\s+of\s+.+)?|the\s+other\s+\w+"
    r"|all\s+other\s+\w+)\b",
    re.I,
)
EVERYTHING_ELSE = "everything else"
"""What an instruction keeps that names nothing."""
_AND = re.compile(r"\s+(?:and|or)\s+|\s*、\s*|和")
_CHINESE = (
    ("replace", re.compile(r"^(?:请)?(?:把|将)(?P<x>.+?)(?:换成|替换成|替换为|改成|变成|改为)(?P<y>.+)$")),
    ("remove", re.compile(r"^(?:请)?(?:去掉|删除|移除|去除|擦除)(?P<x>.+)$")),
    ("remove", re.compile(r"^(?:请)?(?:把|将)(?P<x>.+?)(?:去掉|删除|移除|去除)$")),
    ("keep", re.compile(r"^(?:请)?保持(?P<x>.+?)(?:不变)?$")),
    ("add", re.compile(r"^(?:请)?(?:添加|加上|增加)(?P<y>.+)$")),
)


def read_edit(text: str) -> Edit | None:
    """Read the instructions of an edit.

    Args:
        text: plain text on one line.

    Returns:
        What the instructions ask for; None if the first clause of the text is not an instruction.
    """
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match.group(0))
        return f"\ue000{len(hidden) - 1}\ue001"

    def restore(part: str) -> str:
        return re.sub("\ue000(\\d+)\ue001", lambda match: hidden[int(match.group(1))], part)

    masked = QUOTED_TEXT.sub(hide, re.sub("[\ue000\ue001]", "", text))
    clauses = [clause.strip() for clause in _SEPARATOR.split(masked) if clause.strip(" .,;")]
    if not clauses or not _match(clauses[0].rstrip(" .")):
        return None
    found = [_match(clause.rstrip(" .")) for clause in clauses]
    kinds = [item[0] for item in found if item]
    is_keep = any(item and item[0] == "keep" and item[1]["same"] for item in found)
    if not is_keep and not set(kinds) - {"keep", "fix"}:
        return None
    builder = _EditBuilder()
    for clause, item in zip(clauses, found, strict=True):
        if item:
            builder.read(*item)
        else:
            builder.texts.append(clause)
    lists = (builder.texts, builder.gone, builder.unchanged)
    texts, gone, unchanged = ([restore(part) for part in parts if part.strip()] for parts in lists)
    return Edit(". ".join(texts), gone, unchanged)


def _match(clause: str) -> tuple[str, dict[str, str]] | None:
    """Return the kind of an instruction and its parts; None if the clause is none."""
    if len(clause) > 400:
        return None
    for kind, pattern in (*_COMPILED, *_CHINESE):
        match = pattern.match(clause)
        if match:
            parts = {name: (value or "").strip() for name, value in match.groupdict().items()}
            parts.setdefault("same", "")
            if kind != "make" or parts["y"].lower().split()[-1] in _ADJECTIVES:
                return kind, parts
    return None


def _strip_all(phrase: str) -> str:
    return strip_articles(re.sub(r"^all\s+(?:of\s+)?(?=\w)", "", phrase.strip(), flags=re.I))


@dataclass
class _EditBuilder:
    """Collects what the clauses of an instruction ask for."""

    texts: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def read(self, kind: str, parts: dict[str, str]) -> None:
        """Read one instruction."""
        x, y, old = parts.get("x", ""), parts.get("y", ""), parts.get("old", "")
        if kind in ("keep", "fix"):
            phrases = _AND.split(x)
            self.unchanged += [EVERYTHING_ELSE if _REST.match(part) else _strip_all(part) for part in phrases]
        elif kind == "remove":
            for thing in map(_strip_all, _AND.split(x)):
                if thing.lower() == "background":  # an image without one has a plain one
                    self.texts.append("plain background")
                else:
                    self.gone.append(thing)
        elif kind == "replace":
            self._replace(strip_articles(x), y)
        elif kind == "count":
            self.texts.append(f"{y} {strip_articles(x)}")
        elif kind == "recolour":
            self._describe(x, y, old)
        elif kind == "change":
            self._change(x, y, old)
        elif kind in ("add", "put"):
            self.texts.append(y)
        elif kind == "move":
            self.texts.append(f"{x} {'on' if re.search(r'left|right|side', y) else 'at'} {y}")
        elif kind == "give":
            self.texts.append(f"{x} with {y}")
        else:
            self._describe(x, y, old)

    def _replace(self, old: str, new: str) -> None:
        """Ask for something new, and for the old to be gone unless the new one is of its kind."""
        if not re.search(rf"(?:^|\s){re.escape(old)}$", new, re.I):  # "the sky" by "a starry sky"
            self.gone.append(old)
        self.texts.append(new)

    def _describe(self, thing: str, value: str, old: str) -> None:
        """Ask for a thing with a new property: "the car" and "blue" make "blue car"."""
        noun = re.sub(r"\s+colou?rs?$", "", strip_articles(thing), flags=re.I)
        owner = re.match(r"(.+?)['’]s?\s+(.+)$", noun)
        bare = f"{strip_articles(value)} {owner.group(2) if owner else noun}"
        self.texts.append(f"{owner.group(1)} with {bare}" if owner else bare)
        if old:
            self.gone.append(f"{strip_articles(old)} {noun}")

    def _change(self, thing: str, value: str, old: str) -> None:
        noun = strip_articles(thing)
        words = strip_articles(value).lower().split()
        head = noun.lower().split()[-1] if noun else ""
        if words and words[-1] in _ADJECTIVES and len(words) <= 2:
            # The old colour of the thing is not its colour any more: "change the red car to blue".
            rest = [word for word in noun.split() if word.lower() not in COLOURS]
            if 0 < len(rest) < len(noun.split()):
                self.gone.append(noun)
            self._describe(" ".join(rest) or noun, value, old)
        elif head in _ATTRIBUTES:
            has_article = value.split()[0].lower() in ARTICLES
            is_named = head in value.lower() or head in ("day", "night") or has_article
            self.texts.append(value if is_named or len(words) > 2 else f"{value} {head}")
        elif noun.lower() in ("image", "picture", "photo", "scene", "it", "this"):
            self.texts.append(value)
        else:
            self._replace(noun, value)
