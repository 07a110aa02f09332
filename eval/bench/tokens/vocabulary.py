"""The tokenizer of Qwen2 to Qwen3-VL, built from the ranks in the package `dashscope`.

`qwen.tiktoken` lists 151,643 byte sequences in the order of their rank, one a line: base64, space, rank. A
tokenizer of Hugging Face wants merges instead. A token of rank r merges two ranked parts whose parts merge
before it, so the merges are the splits of each token into two ranked parts, in the order of the token's rank
(https://github.com/openai/tiktoken for the format). The special tokens follow the ranks, in the order of the
`added_tokens_decoder` of Qwen/Qwen3-VL-8B-Instruct.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import re
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from judge.errors import InputError

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN3_5_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL_TOKENS = tuple(
    f"<|{name}|>"
    for name in (
        *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end"),
        *("quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"),
    )
)
"""Special tokens of every Qwen-VL, from 151643 on."""
ADDED_TOKENS = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)
"""Added tokens that are not special: those of Qwen2.5 first, then the last four of Qwen3."""


@cache
def tokenizer_file(pattern: str = QWEN2_PATTERN) -> Path:
    """Return the path of a `tokenizer.json`.

    It is built once (about three seconds) and kept in the folder for temporary files.

    Args:
        pattern: the regular expression that splits a text before merging.

    Raises:
        InputError: the package `dashscope` is not installed.
    """
    try:
        release = version("dashscope")
    except PackageNotFoundError:
        raise InputError(
            "dashscope", None, "the installed package", "install judge with its extra dev"
        ) from None
    kind = "qwen2" if pattern == QWEN2_PATTERN else "qwen3.5"
    folder = Path(tempfile.gettempdir()) / f"judge-vocabulary-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{kind}-{release}.json"
    if not path.is_file():
        part = path.with_suffix(f".{os.getpid()}")
        build_tokenizer(pattern).save(str(part), pretty=False)
        part.replace(path)
    return path


def build_tokenizer(pattern: str = QWEN2_PATTERN) -> Any:
    """Build a tokenizer of `tokenizers`, as the slow part of `tokenizer_file`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    ranks = read_ranks()
    letters = _byte_letters()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        (names[token[:cut]], names[token[cut:]])
        for token in ranks
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    vocabulary = {names[token]: rank for token, rank in ranks.items()}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL_TOKENS])
    bpe.add_tokens([AddedToken(token, normalized=False, special=False) for token in ADDED_TOKENS])
    return bpe


def write_tokenizer(folder: Path, pattern: str = QWEN2_PATTERN) -> None:
    """Write the tokenizer's files of a checkpoint; `tokenizer.json` is a link to the one that is kept."""
    link = folder / "tokenizer.json"
    link.unlink(missing_ok=True)
    link.symlink_to(tokenizer_file(pattern))
    start = len(read_ranks())
    added = {
        str(start + index): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in CONTROL_TOKENS,
        }
        for index, token in enumerate((*CONTROL_TOKENS, *ADDED_TOKENS))
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(CONTROL_TOKENS[1:]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 262144,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer" if pattern == QWEN2_PATTERN else "Qwen3_5Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")


def token_id(token: str) -> int:
    """Return the id of a special or added token."""
    return len(read_ranks()) + (*CONTROL_TOKENS, *ADDED_TOKENS).index(token)


@cache
def read_ranks() -> dict[bytes, int]:
    """Read the byte sequence of each token, in the order of their rank."""
    data = (files("dashscope") / "resources" / "qwen.tiktoken").read_bytes()
    return {base64.b64decode(token): int(rank) for token, rank in re.findall(rb"(\S+) (\d+)", data)}


def _byte_letters() -> dict[int, str]:
    """Return the letter that stands for each byte in a byte-level vocabulary (GPT-2's alphabet)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    invisible = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(invisible)}
