"""The text of a chat, as trainers and data sets hold it: turns with a role and a content.

chat_text([{"role": "system", "content": "Draw."}, {"role": "user", "content": "a cat"}])   # "a cat"
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from judge.errors import InputError
from judge.tables.cells import plain_value

ALLOWED = "text, or chat turns with a role and a content"
_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"}
"""Names of roles in other formats of chats (ShareGPT, Gemini)."""
_TEXT_TYPES = ("text", "input_text", "output_text")
"""Types of the parts of a content that hold text; other parts (images, tool calls, thoughts) hold none."""


def chat_text(cell: Any, role: str = "user", *, field: str = "prompt") -> str:
    """Return the text of a prompt or of a completion.

    Args:
        cell: plain text; a turn; turns, of which the last one of `role` counts (turns of the system and of
            tools are no prompts); a text that holds turns as JSON; each also as numpy, pyarrow or pandas hold
            it. The content of a turn is text or parts, also nested; only parts with text count.
        role: `user` for prompts, `assistant` for completions.
        field: name of the column in errors.

    Raises:
        InputError: there is no such turn, or it has no text.
    """
    try:
        value = plain_value(cell)
    except (UnicodeDecodeError, RecursionError):
        raise InputError(field, cell, ALLOWED, "decode it as UTF-8 first") from None
    if isinstance(value, str):
        value = _parse_turns(value)
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], Mapping):
        return chat_text(value[0], role, field=field)
    if isinstance(value, str):
        return value
    turns = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise InputError(field, cell, ALLOWED, "give one for each row")
    turn = _choose_turn(turns, role)
    if turn is None:
        raise InputError(field, cell, ALLOWED, f"none of its turns has the role {role!r}: add one")
    text = _content_text(turn.get("content", turn.get("value", turn.get("text"))))
    if text is None:
        raise InputError(field, dict(turn), ALLOWED, f"the last turn of the {role} has no text")
    return text


def _parse_turns(text: str) -> Any:
    """Return the turns that a text holds as JSON; the text itself if it holds none."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    turns = value if isinstance(value, list) else [value]
    is_chat = turns and all(isinstance(turn, Mapping) and _role(turn) is not None for turn in turns)
    return value if is_chat else text


def _role(turn: Mapping[str, Any]) -> str | None:
    role = turn.get("role", turn.get("from"))
    return _ROLES.get(role, role) if isinstance(role, str) else None


def _choose_turn(turns: list[Mapping[str, Any]], role: str) -> Mapping[str, Any] | None:
    """Return the last turn of a role; of turns without any role the last one."""
    roles = [_role(turn) for turn in turns]
    if not any(roles):
        return turns[-1]
    return next((turn for turn, one in zip(turns[::-1], roles[::-1], strict=True) if one == role), None)


def _content_text(content: Any) -> str | None:
    """Return the text of a content; None if it has none."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        is_text = content.get("type") in (None, *_TEXT_TYPES)
        text = content.get("text") if is_text else None
        return text if isinstance(text, str) else None
    if isinstance(content, list):
        texts = [text for part in content if (text := _content_text(part)) is not None]
        return " ".join(texts) if texts else None
    return None
