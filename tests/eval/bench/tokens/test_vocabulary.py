"""The tokenizer and the tiny checkpoints equal what the hub has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_vocabulary import FAMILIES, read_ranks, tiny_checkpoint, token_id, tokenizer_file


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(tokenizer_file()))


def test_ids_are_those_of_the_hub(tokenizer) -> None:
    assert len(read_ranks()) == 151643
    assert token_id("<|im_end|>") == tokenizer.token_to_id("<|im_end|>") == 151645
    assert token_id("<|image_pad|>") == 151655
    assert token_id("<think>") == 151667
    assert tokenizer.encode("Hello world").ids == [9707, 1879]


@pytest.mark.parametrize("text", ['{"defects":[{"kind":"', '."},{', "naïve Ω 中文 👍\n\n", "1000 10.5"])
def test_encoding_equals_tiktoken(tokenizer, text: str) -> None:
    import tiktoken

    from eval.bench.tokens.vocabulary import QWEN2_PATTERN

    ranks = tiktoken.Encoding("qwen", pat_str=QWEN2_PATTERN, mergeable_ranks=read_ranks(), special_tokens={})
    assert tokenizer.encode(text).ids == ranks.encode(text)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_branches_of_a_form_straddle_tokens(tokenizer) -> None:
    assert tokenizer.encode('"defects":[{"kind"').tokens == ['"', "def", "ect", "s", '":[{"', "kind", '"']


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tiny_checkpoint_loads_as_its_architecture(tmp_path: Path, family: str) -> None:
    from judge.backends.torchvision_compat import patch_imports

    patch_imports()
    from transformers import AutoConfig, AutoProcessor

    folder = tiny_checkpoint(tmp_path / "model", family)
    config = AutoConfig.from_pretrained(folder)
    assert config.model_type == family
    assert config.get_text_config().vocab_size == (248320 if "3_5" in family else 151936)
    assert json.loads((folder / "config.json").read_text())["model_type"] == family
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.image_token_id == config.image_token_id
