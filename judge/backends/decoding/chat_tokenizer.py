"""Tokenize chats and forms so that content cannot break out of the chat template."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Any

from judge.backends.decoding.label_tree import LabelTree
from judge.errors import InputError

THOUGHT_START, THOUGHT_END = "<think>", "</think>"
"""What opens and closes a thought in the chat templates of Qwen."""
THINKING_SWITCH = "enable_thinking"
"""Name of the switch in the templates that have one."""
THOUGHT_CLOSE = f"{THOUGHT_END}\n\n"
"""The end of a thought up to where the answer begins."""


class ChatTokenizer:
    """Encode chats and forms for one processor (a tokenizer with a chat template).

    Content is encoded as plain text: `<|im_end|>` in a prompt becomes the tokens of its characters, never the
    token that ends a turn. Training encodes the segments of a form with the same `encode_text`.

    A chat template may open a thought (`<think>`) before the answer. It is closed at once, as the templates
    do it themselves where they have a switch for it, unless the model is to think.

    Args:
        processor: a Qwen-VL processor of transformers.
        thinking: greatest number of tokens of a thought before the answer; 0 for none.

    Raises:
        InputError: `thinking` is negative, or the chat template opens no thought.
    """

    def __init__(self, processor: Any, thinking: int = 0) -> None:
        self.processor, self.thinking = processor, thinking
        self.hf_tokenizer = processor.tokenizer
        self.image_token: int = processor.image_token_id
        self.video_token: int = processor.video_token_id
        self.merge_size: int = processor.image_processor.merge_size
        """Patches along one side of the square block that becomes one token."""
        self.control_tokens = _control_tokens(self.hf_tokenizer) | {self.image_token, self.video_token}
        self._with_control = _without_padding(self.hf_tokenizer.backend_tokenizer)
        self._without_control = _without_padding(self.hf_tokenizer.backend_tokenizer)
        self._without_control.encode_special_tokens = True
        self.encode_text = lru_cache(maxsize=65536)(self._encode_text)
        self.label_tree = lru_cache(maxsize=4096)(self._label_tree)
        self.token_text = lru_cache(maxsize=65536)(lambda token: self.decode([token]))
        self._outline = lru_cache(maxsize=64)(self._build_outline)
        if thinking < 0 or (thinking and not self._opens_thought()):
            mend = "leave it out" if thinking < 0 else "its chat template opens no thought: leave it out"
            raise InputError("thinking", thinking, "0, or more for a model that thinks", mend)

    def encode_chat(
        self,
        messages: Sequence[dict[str, Any]],
        image_tokens: Sequence[int],
        videos: Sequence[str] = (),
        *,
        thinks: bool = True,
    ) -> list[int]:
        """Encode a chat up to the start of the answer, or of the thought before it.

        Args:
            messages: the chat.
            image_tokens: number of tokens of each image.
            videos: template text in place of each video (`judge.backends.video_inputs.video_placeholder`).
            thinks: whether a model that is to think does so here; else its thought is closed.

        Returns:
            Token ids, with the image and video tokens repeated once for each token of the image or video.
        """
        shape = tuple(
            (message["role"], tuple(part["type"] for part in _content_parts(message["content"])))
            for message in messages
        )
        texts = [p["text"] for m in messages for p in _content_parts(m["content"]) if p["type"] == "text"]
        image_counts, video_texts = iter(image_tokens), iter(videos)
        tokens: list[int] = []
        for piece in self._outline(shape, thinks and self.thinking > 0):
            for token in self.encode_text(texts[piece]) if isinstance(piece, int) else piece:
                if token == self.image_token:
                    tokens += [token] * next(image_counts)
                elif token == self.video_token:
                    tokens += self.encode_template(next(video_texts))
                else:
                    tokens.append(token)
        return tokens

    def encode_template(self, text: str) -> list[int]:
        """Encode text of the chat template, in which control tokens count as such."""
        return list(self._with_control.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, control tokens included."""
        return str(self._with_control.decode(list(tokens), skip_special_tokens=False))

    def _encode_text(self, text: str) -> tuple[int, ...]:
        """Encode content; no token of the result is a control token."""

        def encode(*pieces: str) -> list[int]:
            encoded = (self._without_control.encode(p, add_special_tokens=False) for p in pieces)
            return [token for piece in encoded for token in piece.ids]

        tokens = encode(text)
        # A tokenizer keeps its added tokens that are not special, such as </think>. They are broken in two.
        if not self.control_tokens.isdisjoint(tokens):
            ends = [found.start() + 1 for found in self._control_text.finditer(text)]
            pieces = [text[a:b] for a, b in pairwise([0, *ends, len(text)])]
            tokens = [
                t for p in pieces for t in self._without_control.encode(p, add_special_tokens=False).ids
            ]
        if not self.control_tokens.isdisjoint(tokens):  # none is one character long
            tokens = encode(*text)
        return tuple(tokens)

    @cached_property
    def _control_text(self) -> re.Pattern[str]:
        """Matches the text of every control token."""
        texts = (self.hf_tokenizer.convert_ids_to_tokens(token) for token in self.control_tokens)
        return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)))

    def _build_outline(
        self, shape: tuple[tuple[str, tuple[str, ...]], ...], thinks: bool
    ) -> list[tuple[int, ...] | int]:
        """Render the chat template around placeholders for the texts.

        Args:
            shape: role and types of the content parts of each message.
            thinks: whether a thought follows.

        Returns:
            Tokens of the template, with the indexes of the texts between them.
        """
        slot, messages = 0, []
        for role, kinds in shape:
            parts: list[dict[str, str]] = []
            for kind in kinds:
                text = {"text": f"\ue000{slot}\ue001"} if kind == "text" else {}
                parts.append({"type": kind, **text})
                slot += kind == "text"
            messages.append({"role": role, "content": parts})
        chat = self._render(messages, thinks)
        if not thinks and chat.rstrip().endswith(THOUGHT_START):
            chat = f"{chat.rstrip()}\n\n{THOUGHT_CLOSE}"
        return [
            int(piece) if index % 2 else tuple(self.encode_template(piece))
            for index, piece in enumerate(re.split("\ue000(\\d+)\ue001", chat))
        ]

    def _render(self, messages: list[dict[str, Any]], thinks: bool) -> str:
        """Render the chat template up to the answer, or to the thought before it."""
        templates = f"{getattr(self.processor, 'chat_template', '')} {self.hf_tokenizer.chat_template}"
        options = {THINKING_SWITCH: thinks} if THINKING_SWITCH in templates else {}
        render = self.processor.apply_chat_template
        return str(render(messages, tokenize=False, add_generation_prompt=True, **options))

    def _opens_thought(self) -> bool:
        content = [{"type": "text", "text": ""}]
        chat = self._render([{"role": "user", "content": content}], thinks=True)
        return chat.rstrip().endswith(THOUGHT_START)

    @cached_property
    def thought_end(self) -> int:
        """The token that closes a thought.

        Raises:
            InputError: the tokenizer spells it in several tokens.
        """
        tokens = self.encode_template(THOUGHT_END)
        if len(tokens) != 1:
            raise InputError("thinking", self.thinking, "0 with this model", "it has no token </think>")
        return tokens[0]

    @cached_property
    def end_of_turn(self) -> frozenset[int]:
        """The tokens that end a turn."""
        names = ("<|im_end|>", "<|endoftext|>")
        vocabulary = self.hf_tokenizer.get_vocab()
        return frozenset(vocabulary[name] for name in names if name in vocabulary)

    def close_thought(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Return the text of a thought, and its tokens up to where the answer begins.

        Args:
            tokens: the thought, with or without the token that closes it.
        """
        content = [token for token in tokens if token not in self.control_tokens]
        text = self.decode(content)
        line_end = "" if text.endswith("\n") else "\n"
        return text.strip(), [*content, *self.encode_template(f"{line_end}{THOUGHT_CLOSE}")]

    def _label_tree(self, labels: tuple[str, ...], next_literal: str = "") -> LabelTree:
        """Build the tree of some labels.

        Args:
            labels: the labels of a blank.
            next_literal: the text after the blank. Its first token ends each label if the tokens of one label
                are a prefix of another's.

        Returns:
            The tree.
        """
        paths = [self.encode_text(label) for label in labels]
        if _has_prefix_pair(paths):
            end = self.encode_text(next_literal)[:1]
            return LabelTree.from_paths([(*path, *end) for path in paths], end_length=len(end))
        return LabelTree.from_paths(paths)


def _control_tokens(hf_tokenizer: Any) -> frozenset[int]:
    """Return the tokens that content must not contain.

    They are all added tokens that are more than text: the special ones, and those in the form of a tag
    (`</think>`, `<tool_call>`, `<|fim_prefix|>`), which chat templates use although they are not special.
    Numbers that a tokenizer was given as tokens of their own stay content.
    """
    return frozenset(
        number
        for number, token in hf_tokenizer.added_tokens_decoder.items()
        if token.special or re.fullmatch(r"<[^<>\s]+>", token.content)
    )


def _has_prefix_pair(paths: Sequence[tuple[int, ...]]) -> bool:
    """Return whether one of the paths is the beginning of another."""
    ordered = sorted(paths)
    return any(b[: len(a)] == a for a, b in zip(ordered, ordered[1:], strict=False))


def _content_parts(content: str | Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _without_padding(tokenizer: Any) -> Any:
    copied = copy.deepcopy(tokenizer)
    copied.no_padding()
    copied.no_truncation()
    return copied


@cache
def byte_alphabet() -> dict[str, int]:
    """Return the byte that each letter stands for in the token names of a byte-level vocabulary (GPT-2's)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    invisible = (byte for byte in range(256) if byte not in visible)
    alphabet = {chr(byte): byte for byte in visible}
    return alphabet | {chr(256 + n): byte for n, byte in enumerate(invisible)}


def byte_decoder(hf_tokenizer: Any) -> Callable[[int], bytes]:
    """Return a function from a token of a byte-level tokenizer to the bytes that it stands for.

    Args:
        hf_tokenizer: tokenizer of transformers.

    Returns:
        The function, with a cache. Added tokens give the bytes of their text.
    """
    alphabet = byte_alphabet()
    added: dict[int, bytes] = {
        number: token.content.encode() for number, token in hf_tokenizer.added_tokens_decoder.items()
    }

    def decode_token(number: int) -> bytes:
        if number in added:
            return added[number]
        token = hf_tokenizer.convert_ids_to_tokens(number) or ""
        return bytes(alphabet[character] for character in token)

    return lru_cache(maxsize=None)(decode_token)
