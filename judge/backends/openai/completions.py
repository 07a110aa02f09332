"""Parse chat completions: the text, its tokens, and the alternatives at each token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from judge.backends.decoding.chat_tokenizer import THOUGHT_END, THOUGHT_START
from judge.errors import ReplyError

_CUT = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
"""Finish reasons of an answer that ended at its limit, as OpenAI and others spell them."""
_FILTERED = frozenset(
    "content_filter safety prohibited_content blocklist recitation spii refusal sensitive".split()
)
"""Finish reasons of an answer that a filter stopped: of OpenAI, Azure, Gemini, Anthropic, Z.ai."""


class UnfinishedThoughtError(ReplyError):
    """The allowed number of tokens ended before the thought did."""


@dataclass
class Completion:
    """The answer of a chat completion."""

    text: str
    """The answer, without a thought before it."""
    tokens: list[bytes] = field(default_factory=list)
    """Tokens of the text; empty if the server reports none."""
    alternatives: list[Mapping[bytes, float]] = field(default_factory=list)
    """For each token, the possible tokens there, itself included, with log-probabilities."""
    thought: str = ""
    """What the model thought before the answer, as far as the server reports it."""

    def extend(self, other: Completion) -> None:
        """Append another completion."""
        self.text += other.text
        self.tokens += other.tokens
        self.alternatives += other.alternatives
        self.thought += other.thought

    def crop(self, start: int, end: int | None) -> None:
        """Keep the text between two offsets, in characters, and its tokens.

        A token that crosses an offset is replaced by its part between them, without alternatives.
        """
        if start == 0 and end is None:
            return
        first, last = len(self.text[:start].encode()), len(self.text[:end].encode())
        kept: list[tuple[bytes, Mapping[bytes, float]]] = []
        position = 0
        for token, others in zip(self.tokens, self.alternatives, strict=True):
            part = token[max(0, first - position) : max(0, last - position)]
            if part:
                kept.append((part, others if part == token else {}))
            position += len(token)
        self.text = self.text[start:end]
        self.tokens, self.alternatives = [token for token, _ in kept], [others for _, others in kept]

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


def parse_completion(
    answer: Mapping[str, Any], *, is_partial: bool = False, is_continued: bool = False
) -> Completion:
    """Parse a chat completion.

    Args:
        answer: the server's JSON.
        is_partial: the answer was limited to a few tokens on purpose.
        is_continued: the answer continues a given beginning under a grammar, so all of it is answer, even if
            the server's parser of reasoning takes it for a thought.

    Returns:
        Text, tokens and alternatives.

    Raises:
        ReplyError: it holds no complete answer.
    """
    try:
        if answer["choices"] == []:
            raise ReplyError("reply: the server's answer is no chat completion: it has no choices")
        choice = answer["choices"][0]
        if choice.get("error"):
            raise ReplyError(f"reply: the server reported an error ({_one_line(choice['error'])})")
        content = choice["message"].get("content")
        refusal = choice["message"].get("refusal")
        text, thought = _split_thought(content, choice["message"])
        if (is_continued or _is_json(thought)) and not text:
            text, thought = thought, ""
        details = (answer.get("usage") or {}).get("completion_tokens_details") or {}
        is_thinking = bool(thought or details.get("reasoning_tokens"))
        entries = (choice.get("logprobs") or {}).get("content") or []
        tokens = [_token_bytes(entry) for entry in entries]
        alternatives: list[Mapping[bytes, float]] = [
            {_token_bytes(other): float(other["logprob"]) for other in [*(e.get("top_logprobs") or []), e]}
            for e in entries
        ]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise ReplyError("reply: the server's answer is no chat completion") from None
    if refusal:
        raise ReplyError(f"reply: refused ({_one_line(refusal)})")
    reason = str(choice.get("finish_reason") or "").lower()
    if reason in _FILTERED:
        raise ReplyError(f"reply: stopped by the server's content filter (finish_reason {reason})")
    if reason == "error":
        raise ReplyError("reply: the server reported an error (finish_reason error)")
    is_cut = reason in _CUT
    if is_cut and not is_partial:
        after = f"after {len(tokens) or 'the allowed number of'} tokens"
        if is_thinking or not (is_continued or text.lstrip().startswith(("{", "[", "```"))):
            raise UnfinishedThoughtError(f"reply: still thinking, or not finished behind a thought, {after}")
        raise ReplyError(f"reply: not finished {after}")
    if not text and not is_partial:
        raise ReplyError("reply: empty")
    if is_partial and not tokens:
        raise ReplyError("reply: the server gave no log-probabilities")
    if not is_partial and tokens and b"".join(tokens) != text.encode():
        tokens, alternatives = _align_tokens(text.encode(), tokens, alternatives)
    return Completion(text, tokens, alternatives, thought)


def parse_thought(answer: Mapping[str, Any]) -> str:
    """Parse a chat completion that holds a thought only, which its limit may have cut.

    Raises:
        ReplyError: it is no chat completion.
    """
    try:
        message = answer["choices"][0]["message"]
        text, thought = _split_thought(message.get("content"), message)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ReplyError("reply: the server's answer is no chat completion") from None
    return (thought or text).strip()


def _split_thought(content: Any, message: Mapping[str, Any]) -> tuple[str, str]:
    """Return the answer and the thought of a message.

    Servers report a thought as `reasoning_content` (SGLang, DeepSeek, older vLLM) or `reasoning` (vLLM,
    OpenRouter) beside the content; as parts of the content (Mistral, Anthropic); or, without a parser of
    reasoning, as text up to `</think>`, whose `<think>` may be part of the prompt.
    """
    thoughts = [message.get(name) for name in ("reasoning_content", "reasoning")]
    thought = next((text for text in thoughts if isinstance(text, str) and text.strip()), "")
    if isinstance(content, list):
        texts: dict[bool, list[str]] = {True: [], False: []}
        for part in content:
            is_answer = part.get("type", "text") in ("text", "output_text")
            texts[is_answer].append(_part_text(part))
        content, thought = "".join(texts[True]), thought or "".join(texts[False])
    if not isinstance(content, str):
        return "", thought
    before, end, after = content.rpartition(THOUGHT_END)
    if end and not _is_json(content):  # else it is a word of the answer
        return after.strip(), thought or before.strip().removeprefix(THOUGHT_START).strip()
    if content.lstrip().startswith(THOUGHT_START):  # the thought was not finished
        return "", content.strip().removeprefix(THOUGHT_START).strip()
    return content, thought


def _one_line(value: Any) -> str:
    """Return an error of a server, or a refusal, as a short line."""
    text = value.get("message") or value if isinstance(value, Mapping) else value
    return " ".join(str(text).split())[:200]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _part_text(part: Mapping[str, Any]) -> str:
    """Return the text of one part of a content."""
    for name in ("text", "thinking", "reasoning"):
        value = part.get(name)
        if isinstance(value, list):
            return "".join(_part_text(inner) for inner in value)
        if isinstance(value, str):
            return value
    return ""


def _token_bytes(entry: Mapping[str, Any]) -> bytes:
    raw = entry.get("bytes")
    return bytes(raw) if raw is not None else str(entry["token"]).encode()


def _align_tokens(
    text: bytes, tokens: list[bytes], alternatives: list[Mapping[bytes, float]]
) -> tuple[list[bytes], list[Mapping[bytes, float]]]:
    """Remove tokens that are not in the text: an end token, or whitespace that the server stripped."""
    start = b"".join(tokens).rfind(text)  # a thought before the answer may hold drafts of it
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
