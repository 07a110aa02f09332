"""Tiny random checkpoints of each Qwen-VL architecture, with the files and the vocabulary of a real one.

`config.json`, `preprocessor_config.json` and the chat template have the layout of the repositories on the
hub: Qwen2-VL and Qwen2.5-VL keep the settings of the language model at the top, the others in `text_config`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.bench.tokens.vocabulary import (
    QWEN2_PATTERN,
    QWEN3_5_PATTERN,
    token_id,
    write_tokenizer,
)
from judge.backends.torchvision_compat import patch_imports
from judge.errors import InputError

CLASSES = {
    "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen2_5_VL",
    "qwen3_vl": "Qwen3VL",
    "qwen3_vl_moe": "Qwen3VLMoe",
    "qwen3_5": "Qwen3_5",
    "qwen3_5_moe": "Qwen3_5Moe",
}
"""Model type of an architecture -> the beginning of its class names in transformers."""
FAMILIES = tuple(CLASSES)
VOCABULARY_SIZES = {"qwen3_5": 248320, "qwen3_5_moe": 248320}
"""Rows of the embedding; 151,936 for the others. The rows after the last token are never used."""
HEAD_SIZES = (32, 64)
"""Sizes of an attention head that vLLM's attention for CPUs knows and a tiny model can have."""
CONTENT = (
    "{% macro content(parts) %}{% if parts is string %}{{ parts }}{% else %}{% for part in parts %}"
    "{% if part.type == 'image' or 'image' in part or 'image_url' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part.text }}{% endif %}{% endfor %}{% endif %}{% endmacro %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    + "You are a helpful assistant.<|im_end|>\n{% endif %}"
)
TURNS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ content(message.content) }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
)
OPEN_THOUGHT = "<think>\n"
OPTIONAL_THOUGHT = (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}"
)


def tiny_checkpoint(
    folder: Path,
    family: str,
    *,
    layers: int = 2,
    hidden: int = 64,
    head: int = 64,
    seed: int = 0,
    side: int = 112,
    scale: float = 10.0,
    thinking: bool = False,
    tied: bool = True,
) -> Path:
    """Write a random checkpoint.

    Args:
        folder: where to write it; created if needed.
        family: one of `FAMILIES`.
        layers: layers of the language model. Qwen3.5 has full attention in each fourth layer, and at least in
            the last.
        hidden: width of the language model, a multiple of 64.
        head: size of an attention head, one of `HEAD_SIZES`.
        seed: of the weights.
        side: the processor shows at most `side` x `side` pixels.
        scale: factor of the weights as transformers initializes them. With 1, all answers are nearly
            uniform, which hides mistakes.
        thinking: the chat template opens a thought, as that of Qwen3-VL-Thinking. Templates of Qwen3.5 have
            the switch `enable_thinking` in any case.
        tied: the output layer has the weights of the embedding.

    Returns:
        The folder.
    """
    import torch

    if family not in FAMILIES:
        raise InputError("family", family, ", ".join(FAMILIES), "pass one of them")
    if head not in HEAD_SIZES:
        raise InputError("head", head, "32 or 64", "pass one of them")
    patch_imports()
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder.mkdir(parents=True, exist_ok=True)
    patch = 14 if family in ("qwen2_vl", "qwen2_5_vl") else 16
    config = _config(family, layers, hidden, head, patch, side, tied)
    _write_json(folder / "config.json", config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(scale)
    model.save_pretrained(folder)
    _write_json(folder / "config.json", config)  # saving writes the library's own layout
    write_tokenizer(folder, QWEN3_5_PATTERN if family.startswith("qwen3_5") else QWEN2_PATTERN)
    template = _chat_template(family, thinking)
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    _write_json(
        folder / "generation_config.json",
        {"eos_token_id": [token_id("<|im_end|>"), token_id("<|endoftext|>")]},
    )
    _write_processors(folder, family, patch, side)
    return folder


def _chat_template(family: str, thinking: bool) -> str:
    thought = OPTIONAL_THOUGHT if family.startswith("qwen3_5") else OPEN_THOUGHT if thinking else ""
    system = DEFAULT_SYSTEM if family in ("qwen2_vl", "qwen2_5_vl") else ""
    return f"{CONTENT}{system}{TURNS}{thought}{{% endif %}}"


def _config(
    family: str, layers: int, hidden: int, head: int, patch: int, side: int, tied: bool
) -> dict[str, Any]:
    tokens = {
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
    }
    text = _text_config(family, layers, hidden, head)
    common: dict[str, Any] = {
        "architectures": [f"{CLASSES[family]}ForConditionalGeneration"],
        "model_type": family,
        "tie_word_embeddings": tied,
        "transformers_version": "4.57.1",  # as on the hub; transformers warns of later ones
        **tokens,
    }
    vision = _vision_config(family, hidden, patch, side)
    if family in ("qwen2_vl", "qwen2_5_vl"):
        return {**common, **text, "vision_config": vision, "vision_token_id": token_id("<|vision_pad|>")}
    text |= {"model_type": f"{family}_text", "tie_word_embeddings": tied}
    return {**common, "text_config": text, "vision_config": vision}


def _text_config(family: str, layers: int, hidden: int, head: int) -> dict[str, Any]:
    heads, half = max(1, hidden // head), head // 2
    text: dict[str, Any] = {
        "attention_dropout": 0.0,
        "bos_token_id": token_id("<|endoftext|>"),
        "dtype": "float32",
        "eos_token_id": token_id("<|im_end|>"),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": 32768,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": max(1, heads // 2),
        "rms_norm_eps": 1e-6,
        "use_cache": True,
        "vocab_size": VOCABULARY_SIZES.get(family, 151936),
    }
    sections = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]  # Qwen2-VL: 16, 24, 24 of 64
    if family in ("qwen2_vl", "qwen2_5_vl"):
        text |= {"rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": sections}}
        return {**text, "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": layers}
    rope: dict[str, Any] = {
        "mrope_interleaved": True,
        "mrope_section": [half - 2 * (half // 3), half // 3, half // 3],
        "rope_type": "default",
    }
    if family in ("qwen3_vl", "qwen3_vl_moe"):
        text |= {"attention_bias": False, "head_dim": head, "rope_theta": 5000000}
        text["rope_scaling"] = rope
    else:
        quarter = half // 4
        sections = [quarter - 2 * (quarter // 3), quarter // 3, quarter // 3]
        rope |= {"mrope_section": sections, "rope_theta": 10000000, "partial_rotary_factor": 0.25}
        text |= {
            "attn_output_gate": True,
            "full_attention_interval": min(4, layers),
            "head_dim": head,
            "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 128,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_value_head_dim": 128,
            "mamba_ssm_dtype": "float32",
            "rope_parameters": rope,
        }
        interval = text["full_attention_interval"]
        text["layer_types"] = [
            "linear_attention" if (n + 1) % interval and n + 1 < layers else "full_attention"
            for n in range(layers)
        ]
    if family.endswith("_moe"):
        text |= {"moe_intermediate_size": hidden, "num_experts": 4, "num_experts_per_tok": 2}
        if family == "qwen3_5_moe":
            text["shared_expert_intermediate_size"] = hidden
            del text["intermediate_size"]
        else:
            text |= {"decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True}
    return text


def _vision_config(family: str, hidden: int, patch: int, side: int) -> dict[str, Any]:
    vision: dict[str, Any] = {
        "depth": 2,
        "in_channels": 3,
        "model_type": family,
        "num_heads": 2,
        "patch_size": patch,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if family == "qwen2_vl":
        return vision | {"embed_dim": 64, "hidden_size": hidden, "mlp_ratio": 2, "hidden_act": "quick_gelu"}
    vision |= {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": hidden}
    if family == "qwen2_5_vl":
        extra = {"fullatt_block_indexes": [1], "tokens_per_second": 2, "window_size": 4 * patch}
        return vision | extra | {"hidden_act": "silu"}
    vision |= {"hidden_act": "gelu_pytorch_tanh", "num_position_embeddings": (-(-side // patch)) ** 2}
    return vision | {"deepstack_visual_indexes": [0] if family in ("qwen3_vl", "qwen3_vl_moe") else []}


def _write_processors(folder: Path, family: str, patch: int, side: int) -> None:
    is_older = family in ("qwen2_vl", "qwen2_5_vl")
    stem = CLASSES[family] if is_older else "Qwen3VL"
    mean = [0.48145466, 0.4578275, 0.40821073] if is_older else [0.5] * 3
    deviation = [0.26862954, 0.26130258, 0.27577711] if is_older else [0.5] * 3
    shared = {
        "image_mean": mean,
        "image_std": deviation,
        "merge_size": 2,
        "patch_size": patch,
        "processor_class": f"{stem}Processor",
        "temporal_patch_size": 2,
    }
    least = (2 * patch) ** 2
    image = {
        "size": {"shortest_edge": least, "longest_edge": side * side},
        "image_processor_type": "Qwen2VLImageProcessor" if is_older else "Qwen2VLImageProcessorFast",
    }
    _write_json(folder / "preprocessor_config.json", shared | image)
    video = {
        "size": {"shortest_edge": least, "longest_edge": 16 * side * side},  # all frames together
        "video_processor_type": "Qwen2VLVideoProcessor" if is_older else "Qwen3VLVideoProcessor",
    }
    _write_json(folder / "video_preprocessor_config.json", shared | video)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2), "utf-8")
