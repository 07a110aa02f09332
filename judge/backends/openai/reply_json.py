"""Find the JSON object in a reply that a server did not hold to a schema.

Models write it into a Markdown fence, put words around it, or write what is JSON almost: trailing commas,
single quotes, Python's True, False and None, no-break spaces. What can be read in one way only is read;
everything else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from judge.errors import ReplyError
from judge.rubrics.form_nodes import short_repr

MAX_REPLY_CHARS = 1_000_000
"""Longer replies are refused."""
MAX_UNMATCHED = 20
"""Braces in words, after which the rest of a reply is not searched."""
_SPACES = str.maketrans("\u00a0\u2007\u202f\u3000", "    ", "\ufeff\u200b\u2060")
"""Characters outside strings that look like spaces, or like nothing, and are no white space of JSON."""
_TOKEN = re.compile(
    r"""(?P<double>"(?:[^"\\]|\\.)*")|(?P<single>'(?:[^'\\]|\\.)*')|(?P<trailing>,(?=\s*[}\]]))|[A-Za-z_]+|.""",
    re.DOTALL,
)
_ESCAPE_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_PYTHON = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True)
class FoundObject:
    """A JSON object in a reply."""

    value: dict[str, Any]
    start: int
    """Offset of its first character in the reply."""
    end: int
    """Offset after its last character."""
    is_mended: bool
    """Whether it was no JSON as it was written."""


def find_objects(text: str) -> list[FoundObject]:
    """Return the JSON objects in a reply that are in no other object, in order.

    Args:
        text: the reply.

    Raises:
        ReplyError: the reply is too long, or an object has a member twice.
    """
    if len(text) > MAX_REPLY_CHARS:
        raise ReplyError(f"reply: {len(text)} characters, at most {MAX_REPLY_CHARS} are read")
    found = []
    for start, end in _spans(text):
        piece = text[start:end]
        value, is_mended = _loads(piece, strict=True), False
        if value is None:
            value, is_mended = _loads(_to_json(piece), strict=False), True
        if isinstance(value, dict):
            found.append(FoundObject(value, start, end, is_mended))
    return found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of everything between matching braces, without what is inside of it."""
    position, unmatched = 0, 0
    while unmatched < MAX_UNMATCHED and (start := text.find("{", position)) >= 0:
        end = _closing_brace(text, start)
        if end is None:
            position, unmatched = start + 1, unmatched + 1  # a brace in words; an object may follow
        else:
            yield start, end
            position = end


def _closing_brace(text: str, start: int) -> int | None:
    """Return the offset after the brace that closes the one at `start`; None if there is none."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.end()
    return None


def _to_json(text: str) -> str:
    """Return a text in JSON's own spelling as far as its meaning is clear."""
    return "".join(_mend_token(match[0], match.lastgroup or "") for match in _TOKEN.finditer(text))


def _mend_token(token: str, kind: str) -> str:
    if kind == "double":
        return token
    if kind == "single":
        return f'"{_ESCAPE_OR_QUOTE.sub(_requote, token[1:-1])}"'
    return "" if kind == "trailing" else _PYTHON.get(token, token.translate(_SPACES))


def _requote(match: re.Match[str]) -> str:
    """Return an escape, or a double quote, of a text in single quotes as JSON writes it."""
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])


def _loads(text: str, *, strict: bool) -> Any:
    """Parse JSON; None if it is none. Raises `ReplyError` for a member that is given twice."""
    try:
        return json.loads(text, object_pairs_hook=reject_duplicate_keys, strict=strict)
    except (ValueError, RecursionError):
        return None


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object; raise `ReplyError` if one is given twice with different values."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members and members[key] != value:
            raise ReplyError(f"reply: {short_repr(key)} is given twice")
        members[key] = value
    return members


def choose_object(
    objects: list[FoundObject], fits: Callable[[dict[str, Any]], bool], notes: list[str]
) -> FoundObject | None:
    """Return the object that is the answer: the last one that fits the form, for drafts come first.

    Args:
        objects: in the order of the reply.
        fits: whether an object holds the members of the form.
        notes: gets a note if there is more than one object.
    """
    fitting = [one for one in objects if fits(one.value)]
    chosen = (fitting or objects)[-1] if objects else None
    if len(objects) > 1:
        which = "the last one that fits the form" if fitting else "the last one"
        notes.append(f"the reply held {len(objects)} JSON objects: {which} was read")
    return chosen
