"""The tokenizer of the embedded judge: byte-level BPE with Qwen's special tokens and chat template.

The coordinates (0, 10, ... 1000) and all words of the scenes are single tokens, so that a verdict is short.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from judge.scenes import vocabulary

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                  "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")  # fmt: skip

CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif part.type == 'video' or 'video' in part -%}<|vision_start|><|video_pad|><|vision_end|>"
    "{%- elif 'text' in part -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""The part of Qwen's chat template that a judge uses: turns of text, images and videos."""

_SPLIT = r"\d+| ?[A-Za-z]+|\s+|[^\sA-Za-z\d]+"


SINGLE_TOKEN_REPEATS = 400
"""How often each word that must be one token is added to the training texts."""


def build_tokenizer(texts: Iterator[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer.

    Args:
        texts: prompts and answers of the tasks; see `finetune.nano.tasks.tokenizer_corpus`.
        vocabulary_size: number of tokens.

    Raises:
        ValueError: the vocabulary is too small to hold the scenes' words and coordinates as single tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_add_single_tokens(texts), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]), clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )  # fmt: skip
    wrapped.chat_template = CHAT_TEMPLATE
    split = [w for w in _single_token_texts() if len(wrapped.encode(w)) != 1]
    if split:
        raise ValueError(
            f"a vocabulary of {vocabulary_size} splits {split[:5]}, {len(split)} words in all; raise it"
        )
    return wrapped


def _single_token_texts() -> list[str]:
    """Return the texts that must be single tokens."""
    words = [
        *vocabulary.OBJECT_KINDS,
        *(vocabulary.pluralize(k) for k in vocabulary.OBJECT_KINDS),
        *vocabulary.COLORS,
        *vocabulary.BACKGROUNDS,
        *vocabulary.COUNTS.values(),
    ]
    plain = [*words, *(f" {w}" for w in words), "true", "false"]
    return [*plain, *(str(n) for n in range(0, 1001, 10)), *"12345"]


def _add_single_tokens(texts: Iterator[str]) -> Iterator[str]:
    yield from texts
    for word in _single_token_texts():
        for _ in range(SINGLE_TOKEN_REPEATS):
            yield word
