"""Tokenize chats and forms so that content cannot break out of the chat template."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from judge.backends.decoding.label_tree import LabelTree


class ChatTokenizer:
    """Encode chats and forms for one processor (a tokenizer with a chat template).

    Content is encoded as plain text: `<|im_end|>` in a prompt becomes the tokens of its characters, never the
    token that ends a turn. Training encodes the segments of a form with the same `encode_text`.

    Args:
        processor: a Qwen-VL processor of transformers.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.hf_tokenizer = processor.tokenizer
        self.image_token: int = processor.image_token_id
        self.video_token: int = processor.video_token_id
        self.merge_size: int = processor.image_processor.merge_size
        """Patches along one side of the square block that becomes one token."""
        self.control_tokens = frozenset(
            number for number, token in self.hf_tokenizer.added_tokens_decoder.items() if token.special
        ) | {processor.image_token_id, processor.video_token_id}
        self._with_control = _without_padding(self.hf_tokenizer.backend_tokenizer)
        self._without_control = _without_padding(self.hf_tokenizer.backend_tokenizer)
        self._without_control.encode_special_tokens = True
        self.encode_text = lru_cache(maxsize=65536)(self._encode_text)
        self.label_tree = lru_cache(maxsize=4096)(self._label_tree)
        self.token_text = lru_cache(maxsize=65536)(lambda token: self.decode([token]))
        self._outline = lru_cache(maxsize=64)(self._build_outline)

    def encode_chat(
        self, messages: Sequence[dict[str, Any]], image_tokens: Sequence[int], videos: Sequence[str] = ()
    ) -> list[int]:
        """Encode a chat up to the start of the answer.

        Args:
            messages: the chat.
            image_tokens: number of tokens of each image.
            videos: template text in place of each video (`judge.backends.video_inputs.video_placeholder`).

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
        for piece in self._outline(shape):
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
        tokens = self._without_control.encode(text, add_special_tokens=False).ids
        # A tokenizer may keep a control token all the same. None is one character long.
        if not self.control_tokens.isdisjoint(tokens):
            tokens = [t for c in text for t in self._without_control.encode(c, add_special_tokens=False).ids]
        return tuple(tokens)

    def _build_outline(self, shape: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[int, ...] | int]:
        """Render the chat template around placeholders for the texts.

        Args:
            shape: role and types of the content parts of each message.

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
        chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return [
            int(piece) if index % 2 else tuple(self.encode_template(piece))
            for index, piece in enumerate(re.split("\ue000(\\d+)\ue001", chat))
        ]

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
