"""Tokenizers with the vocabulary of Qwen, and tiny random checkpoints of its architectures, for tests.

    folder = tiny_checkpoint(tmp_path / "model", "qwen3_vl")

The code is that of the bench part `tokens`; the vocabulary comes from the package `dashscope`.
"""

from __future__ import annotations

from eval.bench.tokens.checkpoints import FAMILIES, tiny_checkpoint
from eval.bench.tokens.vocabulary import (
    ADDED_TOKENS,
    CONTROL_TOKENS,
    build_tokenizer,
    read_ranks,
    token_id,
    tokenizer_file,
    write_tokenizer,
)

__all__ = [
    "ADDED_TOKENS",
    "CONTROL_TOKENS",
    "FAMILIES",
    "build_tokenizer",
    "read_ranks",
    "tiny_checkpoint",
    "token_id",
    "tokenizer_file",
    "write_tokenizer",
]
