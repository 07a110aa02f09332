"""Parse chat completions: the text, its tokens, and the alternatives at each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from judge.errors import ReplyError


@dataclass
class Completion:
    """The answer of a chat completion."""

    text: str
    tokens: list[bytes] = field(default_factory=list)
    """Tokens of the text; empty if the server reports none."""
    alternatives: list[Mapping[bytes, float]] = field(default_factory=list)
    """For each token, the possible tokens there, itself included, with log-probabilities."""

    def extend(self, other: Completion) -> None:
        """Append another completion."""
        self.text += other.text
        self.tokens += other.tokens
        self.alternatives += other.alternatives

    def truncate(self, offset: int) -> None:
        """Remove the tokens after a byte offset.

        A token that crosses the offset is replaced by its first part, without alternatives.
        """
        position = 0
        for index, token in enumerate(self.tokens):
            if position + len(token) > offset:
                self.tokens[index:] = [token[: offset - position]]
                self.alternatives[index:] = [{}]
                return
            position += len(token)


def parse_completion(answer: Mapping[str, Any], *, is_partial: bool = False) -> Completion:
    """Parse a chat completion.

    Args:
        answer: the server's JSON.
        is_partial: the answer was limited to a few tokens on purpose.

    Returns:
        Text, tokens and alternatives.

    Raises:
        ReplyError: it holds no complete answer.
    """
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content")
        refusal = choice["message"].get("refusal")
        entries = (choice.get("logprobs") or {}).get("content") or []
        tokens = [_token_bytes(entry) for entry in entries]
        alternatives: list[Mapping[bytes, float]] = [
            {_token_bytes(other): float(other["logprob"]) for other in [*(e.get("top_logprobs") or []), e]}
            for e in entries
        ]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise ReplyError("reply: the server's answer is no chat completion") from None
    if refusal:
        raise ReplyError(f"reply: refused ({' '.join(str(refusal).split())[:200]})")
    if not isinstance(text, str) or (not text and not is_partial):
        raise ReplyError("reply: empty")
    if choice.get("finish_reason") == "length" and not is_partial:
        raise ReplyError(f"reply: not finished after {len(tokens) or 'the allowed number of'} tokens")
    if is_partial and not tokens:
        raise ReplyError("reply: the server gave no log-probabilities")
    if not is_partial and tokens and b"".join(tokens) != text.encode():
        tokens, alternatives = _align_tokens(text.encode(), tokens, alternatives)
    return Completion(text, tokens, alternatives)


def _token_bytes(entry: Mapping[str, Any]) -> bytes:
    raw = entry.get("bytes")
    return bytes(raw) if raw is not None else str(entry["token"]).encode()


def _align_tokens(
    text: bytes, tokens: list[bytes], alternatives: list[Mapping[bytes, float]]
) -> tuple[list[bytes], list[Mapping[bytes, float]]]:
    """Remove tokens that are not in the text: an end token, or whitespace that the server stripped."""
    start = b"".join(tokens).find(text)
    if start < 0:
        return [text], [{}]
    kept, offset = [], 0
    for token, others in zip(tokens, alternatives, strict=True):
        if offset >= start and offset + len(token) <= start + len(text):
            kept.append((token, others))
        offset += len(token)
    if b"".join(token for token, _ in kept) != text:
        return [text], [{}]
    return [token for token, _ in kept], [others for _, others in kept]
