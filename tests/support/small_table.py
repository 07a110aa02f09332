"""A small vocabulary whose tokens straddle, and a scripted distribution over it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from judge.backends.decoding.natural.vocabulary import TokenTable, is_beginning

TOKENS = [b'"', b":", b"[", b"{", b"]", b"}", b",", b'":', b'":[', b'":[{', b"[]", b'":[]', b"],", b"a", b"b"]
TOKENS += [b"ab", b"ba", b"1", b"0", b"10", b"0,", b"1,", b'{"', b"aa", b'a"', b'b"}']


class SmallTable(TokenTable):
    """A small vocabulary, whose tokenizer writes the longest token that fits."""

    def token_bytes(self, token: int) -> bytes:
        return TOKENS[token]

    def prefixes(self, text: bytes) -> list[int]:
        return sorted((n for n, t in enumerate(TOKENS) if text.startswith(t)), key=lambda n: len(TOKENS[n]))

    def extensions(self, text: bytes) -> list[int]:
        return [n for n, token in enumerate(TOKENS) if token.startswith(text) and token != text]

    def has_extension(self, text: bytes) -> bool:
        return bool(text) and bool(self.extensions(text))

    def encode_bytes(self, text: bytes) -> tuple[int, ...]:
        tokens: list[int] = []
        while text:
            tokens.append(self.prefixes(text)[-1])
            text = text[len(TOKENS[tokens[-1]]) :]
        return tuple(tokens)

    def _closing_endings(self, endings: tuple[bytes, ...]) -> tuple[bytes, ...]:
        rests = {token.partition(b'"')[2] for token in TOKENS if b'"' in token}
        return tuple(sorted(rest for rest in rests if rest and is_beginning(rest, endings)))


def scripted_logs(path: Sequence[int], seed: int) -> np.ndarray:
    """Log-probabilities of all tokens after a path: random, but the same for the same path."""
    digest = hashlib.sha256(f"{seed} {list(path)}".encode()).digest()
    logits = np.random.default_rng(int.from_bytes(digest[:8], "big")).normal(0, 2, len(TOKENS))
    return logits - np.logaddexp.reduce(logits)
