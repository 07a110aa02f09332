"""Tiny Qwen-VL checkpoints with random weights and their own tokenizer, written to a folder of the test."""

from __future__ import annotations

import json
from pathlib import Path

from judge.backends.torchvision_compat import patch_imports

CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
CONTROL_TOKENS += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENIZER_TEXT = (
    'Judge the picture. Prompt: a red circle is missing part smeared "kind":" "box":[ ","severity":" none'
)
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def build_tokenizer(number_tokens: bool):
    """Train a byte-level BPE tokenizer of about 340 tokens.

    With `number_tokens`, each of 0, 10, ..., 1000 is one token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=alphabet, special_tokens=CONTROL_TOKENS, show_progress=False
    )
    bpe.train_from_iterator([TOKENIZER_TEXT] * 5, trainer)
    if number_tokens:
        bpe.add_tokens([AddedToken(str(n), normalized=False) for n in range(10, 1001, 10)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=CONTROL_TOKENS[1:],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def write_checkpoint(
    folder: Path, family: str = "qwen3_vl", *, number_tokens: bool = False, side: int = 64
) -> Path:
    """Write a random checkpoint of a family that sees at most `side` x `side` pixels; returns the folder."""
    import torch

    patch_imports()
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    tokenizer = build_tokenizer(number_tokens)
    patch = 16 if family == "qwen3_vl" else 14
    config = AutoConfig.for_model(family, **_config(family, tokenizer, patch, side))
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        parameter.data.mul_(
            4
        )  # with the default weights all answers are nearly uniform, which hides mistakes
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    stem = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}[family]
    shared = {
        "size": {"shortest_edge": (2 * patch) ** 2, "longest_edge": side * side},
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": f"{stem}Processor",
    }
    video_processor = "Qwen3VLVideoProcessor" if family == "qwen3_vl" else "Qwen2VLVideoProcessor"
    _write_json(
        folder / "preprocessor_config.json", {**shared, "image_processor_type": "Qwen2VLImageProcessor"}
    )
    shared["size"]["longest_edge"] *= 16  # for all frames together
    _write_json(
        folder / "video_preprocessor_config.json", {**shared, "video_processor_type": video_processor}
    )
    return folder


def write_adapter(base: Path, folder: Path, *, seed: int = 1, vision: bool = False) -> Path:
    """Write a random LoRA adapter for a checkpoint (with `vision`, also for its vision tower).

    Returns the folder.
    """
    import torch

    patch_imports()
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_pretrained(base)
    targets = r".*language_model.*\.(q_proj|v_proj)" + (
        r"|.*visual\.blocks\..*\.(qkv|proj)" if vision else ""
    )
    lora = LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
    get_peft_model(model, lora).save_pretrained(folder)
    return folder


def write_judge_folder(folder: Path) -> Path:
    """Write a folder with the layout of the embedded judge: `judge.json`, `base/` and `adapter/`."""
    write_checkpoint(folder / "base", number_tokens=True)
    write_adapter(folder / "base", folder / "adapter")
    _write_json(folder / "judge.json", {"domain": "noise", "brief": True, "size": 64})
    return folder


def _config(family: str, tokenizer, patch: int, side: int) -> dict:
    token_id = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": token_id("<|endoftext|>"),
        "eos_token_id": token_id("<|im_end|>"),
        "pad_token_id": token_id("<|endoftext|>"),
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
    }
    vision = {
        "depth": 2,
        "num_heads": 2,
        "patch_size": patch,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if family == "qwen2_vl":
        vision |= {"embed_dim": 32, "mlp_ratio": 2, "hidden_size": 64}
    else:
        vision |= {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64}
    if family == "qwen2_5_vl":
        vision |= {"window_size": 4 * patch, "fullatt_block_indexes": [1]}
    if family == "qwen3_vl":
        text["head_dim"] = 16
        vision |= {"num_position_embeddings": (side // patch) ** 2, "deepstack_visual_indexes": [0]}
    return {
        "text_config": text,
        "vision_config": vision,
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "tie_word_embeddings": True,
    }


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value), "utf-8")
