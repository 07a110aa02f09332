"""Free text that an engine writes under a grammar: the grammar, and what to keep of what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from judge.backends.decoding.grammar import spell_in_characters
from judge.backends.decoding.natural.filling import QUOTE, Write
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.errors import ReplyError


class TextBuilder:
    """A free text that an engine writes in one or several requests.

    Args:
        operation: the text.
        vocabulary: the model's.
    """

    def __init__(self, operation: Write, vocabulary: TokenTable) -> None:
        self.operation, self.vocabulary = operation, vocabulary
        self.prefix = vocabulary.token_bytes(operation.beginning)
        self.tokens: list[int] = []
        """What was written, from `Write.beginning` on."""
        self.is_closed = False
        self._remaining: int | None = None
        """Characters that still fit, once the text was too long."""

    def rules(self) -> str:
        """Return the grammar of what may follow."""
        beginning = self.prefix[len(self.vocabulary.text(self.tokens)) :]
        return text_to_ebnf(beginning, self._remaining, self.operation.endings)

    def append(self, tokens: Sequence[int]) -> None:
        """Add what the engine wrote, up to the token that closes the text or to the greatest length.

        Raises:
            ReplyError: nothing of it is usable.
        """
        before = len(self.tokens)
        for token in tokens:
            self.tokens.append(token)
            content = self._content()
            quote = content.find(QUOTE)
            if _count_chars(content[: quote if quote >= 0 else None]) > self.operation.max_chars:
                del self.tokens[-1]
                break
            if quote >= 0:
                self.is_closed = True
                return
        while self.tokens and not _is_whole(self._content()):
            del self.tokens[-1]
        remaining = self.operation.max_chars - _count_chars(self._content())
        if len(self.tokens) <= before and self._remaining == remaining:
            raise ReplyError(f"{self.operation.blank}: not finished after {len(self.tokens)} tokens")
        self._remaining = remaining

    def _content(self) -> bytes:
        return self.vocabulary.text(self.tokens)[len(self.prefix) :]


def _count_chars(text: bytes) -> int:
    return len(text.decode("utf-8", "replace"))


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_to_ebnf(beginning: bytes, max_chars: int | None, endings: Iterable[bytes]) -> str:
    """Write the grammar of a text in EBNF, as xgrammar reads it.

    Args:
        beginning: what stands before the text.
        max_chars: greatest number of characters; None: any number.
        endings: what may follow after the closing quote; any beginning of one of them is allowed.

    Returns:
        The grammar; its root rule is `root`.
    """
    repetition = "*" if max_chars is None else f"{{0,{max_chars}}}"
    before = _terminal(beginning.decode("utf-8", "ignore"))
    ending = _optional(ending_tree(endings))
    root = " ".join(part for part in (before, "text", '"\\""', ending) if part)
    return f'root ::= {root}\ntext ::= [^"\\\\\\x00-\\x1f]{repetition}\n'


def ending_tree(endings: Iterable[bytes]) -> dict[str, Any]:
    """Return some texts as a tree of characters."""
    tree: dict[str, Any] = {}
    for text in endings:
        node = tree
        for character in text.decode("utf-8", "ignore"):
            node = node.setdefault(character, {})
    return tree


def _optional(tree: dict[str, Any]) -> str:
    branches = [f"{_terminal(character)} {_optional(below)}".strip() for character, below in tree.items()]
    return f'({" | ".join(branches)} | "")' if branches else ""


def _terminal(text: str) -> str:
    return "".join(spell_in_characters(text))
