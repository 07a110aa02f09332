"""The nano judge's tokenizer: byte-level BPE with Qwen's special tokens and chat template.

Coordinates (0, 10, ... 1000) and every word of the scenes are single tokens, so that a verdict is short.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from judge.scenes import vocabulary as words

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")  # fmt: skip

# The part of Qwen's chat template that a judge uses: turns of text, images and videos.
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

_SPLIT = r"\d+| ?[A-Za-z]+|\s+|[^\sA-Za-z\d]+"


def build_tokenizer(texts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of `vocabulary` tokens on texts of the tasks.

    Raises:
        ValueError: `vocabulary` is too small to make single tokens of the scenes' words and coordinates.
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
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_with_single_tokens(texts), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]), clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )  # fmt: skip
    wrapped.chat_template = CHAT_TEMPLATE
    split = [w for w in _single() if len(wrapped.encode(w)) != 1]
    if split:
        raise ValueError(
            f"a vocabulary of {vocabulary} splits {split[:5]} and {len(split)} words in all; raise it"
        )
    return wrapped


def _single() -> list[str]:
    things = [
        *words.KINDS,
        *(words.plural(k) for k in words.KINDS),
        *words.COLORS,
        *words.BACKGROUNDS,
        *words.COUNTS.values(),
    ]
    plain = [*things, *(f" {w}" for w in things), "true", "false"]
    return [*plain, *(str(n) for n in range(0, 1001, 10)), *"12345"]


def _with_single_tokens(texts: Iterator[str]) -> Iterator[str]:
    yield from texts
    for word in _single():
        for _ in range(400):
            yield word
