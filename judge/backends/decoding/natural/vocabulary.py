"""The bytes of every token of a vocabulary, and which tokens agree with which texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from judge.backends.decoding.chat_tokenizer import ChatTokenizer, byte_alphabet, byte_decoder

CONTEXT_TOKENS = 4
"""Number of tokens before a text that are encoded again with it, because the split may depend on them."""

MAX_SMALL = 128
"""Many results are kept for sets of at most this many alternatives, few for larger ones."""


@dataclass(eq=False)
class Agreement:
    """The tokens that agree with at least one of some alternative texts."""

    tokens: tuple[int, ...]
    owners: tuple[tuple[int, ...], ...]
    """For each token, the indexes of the alternatives that it agrees with."""
    lengths: tuple[int, ...]
    """For each token, its number of bytes."""
    singles: NDArray[np.int64] = field(init=False)
    """Indexes of the tokens that agree with one alternative only."""
    single_owners: NDArray[np.int64] = field(init=False)
    """The alternatives of these."""
    shared: list[int] = field(init=False)
    """Indexes of the tokens that agree with several."""

    def __post_init__(self) -> None:
        singles = [n for n, owners in enumerate(self.owners) if len(owners) == 1]
        self.singles = np.array(singles, dtype=np.int64)
        self.single_owners = np.array([self.owners[n][0] for n in singles], dtype=np.int64)
        self.shared = [n for n, owners in enumerate(self.owners) if len(owners) > 1]


class TokenTable(ABC):
    """The tokens of a model as bytes."""

    max_first_nodes = 10
    """Greatest number of tokens that are followed at once, before their probability is known. The first
    digits of a number fit."""

    def __init__(self) -> None:
        self._small_agreement = lru_cache(maxsize=16384)(self._agreement)
        self._large_agreement = lru_cache(maxsize=256)(self._agreement)
        self.closing_endings = lru_cache(maxsize=4096)(self._closing_endings)
        self.encode_after = lru_cache(maxsize=65536)(self._encode_after)

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a token."""

    @abstractmethod
    def prefixes(self, text: bytes) -> list[int]:
        """Return the tokens that a text begins with, the shortest first."""

    @abstractmethod
    def extensions(self, text: bytes) -> list[int]:
        """Return the tokens that begin with a text and are longer."""

    @abstractmethod
    def has_extension(self, text: bytes) -> bool:
        """Return whether some token begins with a text and is longer."""

    @abstractmethod
    def encode_bytes(self, text: bytes) -> tuple[int, ...]:
        """Encode a text by itself."""

    @abstractmethod
    def _closing_endings(self, endings: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the beginnings of some texts that a token may hold after its first quote."""

    def text(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of some tokens."""
        return b"".join(map(self.token_bytes, tokens))

    def encode_labels(
        self, before: tuple[int, ...], pending: bytes, labels: Sequence[bytes], following: Sequence[bytes]
    ) -> list[tuple[int, ...]]:
        """Encode alternatives after some tokens.

        Args:
            before: the last tokens before the text, at most `CONTEXT_TOKENS`.
            pending: what all alternatives begin with.
            labels: the labels after it.
            following: for each label, the text after it.

        Returns:
            The tokens of each alternative.
        """
        whole = [pending + label + after for label, after in zip(labels, following, strict=True)]
        firsts = {label[:1]: text for label, text in zip(labels, whole, strict=True)}
        start = self.encode_after(before, pending)
        # Most tokenizers split before a label whatever the label is, and then the labels are cached.
        if all(self.encode_after(before, text)[: len(start)] == start for text in firsts.values()):
            starts_alike = [start + self.encode_bytes(text[len(pending) :]) for text in whole]
            if all(
                self.encode_after(before, text) == starts_alike[whole.index(text)] for text in firsts.values()
            ):
                return starts_alike
        return [self.encode_after(before, text) for text in whole]

    def agreement(self, texts: tuple[bytes, ...], may_follow: tuple[tuple[bytes, ...], ...]) -> Agreement:
        """Find the tokens that agree with some alternatives.

        A token agrees with a text if it is a beginning of the text, or if the text is a beginning of the
        token and its rest is what may follow.

        Args:
            texts: what remains of each alternative.
            may_follow: for each alternative, texts that may follow; see `is_possible`.

        Returns:
            The tokens.
        """
        find = self._small_agreement if len(texts) <= MAX_SMALL else self._large_agreement
        return find(texts, may_follow)

    def _agreement(self, texts: tuple[bytes, ...], may_follow: tuple[tuple[bytes, ...], ...]) -> Agreement:
        owners: dict[int, list[int]] = {}
        for index, text in enumerate(texts):
            for token in self.prefixes(text):
                owners.setdefault(token, []).append(index)
            for token in self.extensions(text) if text else []:
                if is_possible(self.token_bytes(token)[len(text) :], may_follow[index]):
                    owners.setdefault(token, []).append(index)
        return Agreement(
            tuple(owners),
            tuple(map(tuple, owners.values())),
            tuple(len(self.token_bytes(token)) for token in owners),
        )

    def _encode_after(self, before: tuple[int, ...], text: bytes) -> tuple[int, ...]:
        """Encode a text as the tokenizer would after some tokens.

        Args:
            before: the last tokens before the text, at most `CONTEXT_TOKENS`.
            text: the text; it may end within a character.

        Returns:
            The tokens of the text.
        """
        whole = self.text(before) + text
        encoded = self.encode_bytes(whole)
        if before and encoded[: len(before)] == before:
            return encoded[len(before) :]
        return self.encode_bytes(text)


class Vocabulary(TokenTable):
    """The vocabulary of a tokenizer. Control tokens and other added tokens are no part of any text.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self._bytes: Callable[[int], bytes] = byte_decoder(tokenizer.hf_tokenizer)
        added = set(tokenizer.hf_tokenizer.added_tokens_decoder) | tokenizer.control_tokens
        alphabet = byte_alphabet()
        names = tokenizer.hf_tokenizer.get_vocab().items()
        pairs = sorted((bytes(map(alphabet.__getitem__, name)), n) for name, n in names if n not in added)
        pairs = pairs[bisect_right(pairs, (b"", len(names))) :]  # without a token of no text
        self._texts = [text for text, _ in pairs]
        self._numbers = [number for _, number in pairs]
        self._longest = max(map(len, self._texts))

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a token; those of the text of an added token."""
        return self._bytes(token)

    def prefixes(self, text: bytes) -> list[int]:
        """Return the tokens that a text begins with, the shortest first."""
        found = []
        for length in range(1, min(len(text), self._longest) + 1):
            index = bisect_left(self._texts, text[:length])
            if index < len(self._texts) and self._texts[index] == text[:length]:
                found.append(self._numbers[index])
            elif index == len(self._texts) or not self._texts[index].startswith(text[:length]):
                break  # no token begins so
        return found

    def extensions(self, text: bytes) -> list[int]:
        """Return the tokens that begin with a text and are longer."""
        start = bisect_left(self._texts, text)
        found = []
        for index in range(start, len(self._texts)):
            if not self._texts[index].startswith(text):
                break
            if len(self._texts[index]) > len(text):
                found.append(self._numbers[index])
        return found

    def has_extension(self, text: bytes) -> bool:
        """Return whether some token begins with a text and is longer."""
        index = bisect_right(self._texts, text)
        return bool(text) and index < len(self._texts) and self._texts[index].startswith(text)

    @cached_property
    def closing_rests(self) -> frozenset[bytes]:
        """What tokens hold after their first quote."""
        return frozenset(text.partition(b'"')[2] for text in self._texts if b'"' in text)

    def _closing_endings(self, endings: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the beginnings of some texts that a token may hold after its first quote."""
        return tuple(sorted(rest for rest in self.closing_rests if rest and is_beginning(rest, endings)))

    def encode_bytes(self, text: bytes) -> tuple[int, ...]:
        """Encode a text by itself; it may end within a character."""
        try:
            return self.tokenizer.encode_text(text.decode())
        except UnicodeDecodeError:  # the longest tokens, one after the other
            tokens: list[int] = []
            while text:
                tokens.append(self.prefixes(text)[-1])
                text = text[len(self.token_bytes(tokens[-1])) :]
            return tuple(tokens)


def is_beginning(text: bytes, whole_texts: Sequence[bytes]) -> bool:
    """Return whether a text is a beginning of one of some others."""
    return any(whole.startswith(text) for whole in whole_texts)


def is_possible(rest: bytes, may_follow: Sequence[bytes]) -> bool:
    """Return whether a rest of a token agrees with what may follow.

    Args:
        rest: the rest.
        may_follow: texts that may follow. What follows each of them is not known, and is taken to be
            possible. None at all: the form has ended, and white space may follow.
    """
    if not may_follow:
        return not rest.strip()
    return any(text.startswith(rest) or rest.startswith(text) for text in may_follow)
