"""The small Qwen3-VL: size, configuration, random weights, and vision blocks for a trained model."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from judge.backends import torchvision_compat

torchvision_compat.patch_imports()  # before anything imports a Qwen-VL from transformers
IMAGE_PIXELS, PATCH_PIXELS, MERGE = 224, 16, 2
"""Side of an image, side of a patch, and patches along each side that are merged into one image token."""
GRID = IMAGE_PIXELS // PATCH_PIXELS
"""Patches along each side."""
CELLS = GRID // MERGE
"""Image tokens along each side."""
IMAGE_TOKENS = CELLS * CELLS


@dataclass(frozen=True)
class NetworkSize:
    """Widths and depths of the network."""

    vision_width: int = 192
    vision_depth: int = 6
    width: int = 192
    """Width of the language model."""
    depth: int = 5
    """Layers of the language model."""
    mlp_width: int = 512
    """Width of the language model's MLP."""
    vocabulary: int = 1024
    head_width: int = 64
    """Width of an attention head, in both towers."""


def build_model(tokenizer: Any, size: NetworkSize, seed: int = 0) -> Any:
    """Build a `Qwen3VLForConditionalGeneration` with random weights for a tokenizer."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    token = {name: tokenizer.convert_tokens_to_ids(name) for name in tokenizer.all_special_tokens}
    ids = {f"{n}_token_id": token[f"<|{n}|>"] for n in ("vision_start", "vision_end")}
    ids |= {f"{n}_token_id": token[f"<|{n}_pad|>"] for n in ("image", "video")}
    text, vision = _text_config(token, size), _vision_config(size)
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    )
    model.model.visual.pos_embed.weight.data.copy_(0.45 * _sine_grid(size.vision_width))
    return model


def _text_config(token: dict[str, int], size: NetworkSize) -> dict[str, Any]:
    # Rotary frequencies for a row and for a column; the rest are for time.
    spatial = 3 * size.head_width // 16
    return {
        "vocab_size": size.vocabulary,
        "hidden_size": size.width,
        "intermediate_size": size.mlp_width,
        "num_hidden_layers": size.depth,
        "num_attention_heads": size.width // size.head_width,
        "num_key_value_heads": 1,
        "head_dim": size.head_width,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": token["<|endoftext|>"],
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [size.head_width // 2 - 2 * spatial, spatial, spatial],
            "mrope_interleaved": True,
        },
    }


def _vision_config(size: NetworkSize) -> dict[str, Any]:
    return {
        "depth": size.vision_depth,
        "hidden_size": size.vision_width,
        "intermediate_size": 4 * size.vision_width,
        "num_heads": size.vision_width // size.head_width,
        "patch_size": PATCH_PIXELS,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": size.width,
        "num_position_embeddings": GRID * GRID,
        "deepstack_visual_indexes": [max(0, size.vision_depth // 2 - 1)],
        "hidden_act": "gelu_pytorch_tanh",
    }


def add_vision_blocks(model: Any, vision_depth: int) -> Any:
    """Return the model with more vision blocks at the end. They add 0 at first, so they change nothing.

    Args:
        model: a `Qwen3VLForConditionalGeneration`.
        vision_depth: number of vision blocks of the new model.

    Raises:
        ValueError: `vision_depth` is less than the model's.
    """
    config = copy.deepcopy(model.config)
    old_depth = config.vision_config.depth
    if vision_depth < old_depth:
        raise ValueError(f"vision_depth {vision_depth}: the model has {old_depth} blocks already")
    config.vision_config.depth = vision_depth
    torch.manual_seed(vision_depth)
    grown = type(model)(config).to(model.dtype)
    missing, unexpected = grown.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(not n.startswith("model.visual.blocks.") for n in missing):
        raise AssertionError(f"not only vision blocks differ: {missing[:3]} {unexpected[:3]}")
    for block in grown.model.visual.blocks[old_depth:]:
        for layer in (block.attn.proj, block.mlp.linear_fc2):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    return grown


def _sine_grid(width: int) -> Tensor:
    """Return a 2-D sine and cosine position embedding, (GRID * GRID, width)."""
    rate = 1 / (100 ** (torch.arange(width // 4).float() / (width // 4)))
    line = torch.arange(GRID).float()[:, None] * rate
    axis = torch.cat([line.sin(), line.cos()], 1)
    return torch.cat([axis[:, None].expand(GRID, GRID, -1), axis[None].expand(GRID, GRID, -1)], -1).reshape(
        GRID * GRID, width
    )


def save_processor(tokenizer: Any, out: Path) -> None:
    """Write the tokenizer and the settings of the image and video processors to a folder."""
    tokenizer.save_pretrained(out)
    common = {
        "patch_size": PATCH_PIXELS,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": "Qwen3VLProcessor",
    }
    min_pixels, max_pixels = (PATCH_PIXELS * MERGE) ** 2, IMAGE_PIXELS * IMAGE_PIXELS
    image = {
        **common,
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "size": {"shortest_edge": min_pixels, "longest_edge": max_pixels},
    }
    video = {
        **common,
        "video_processor_type": "Qwen3VLVideoProcessor",
        "size": {"shortest_edge": min_pixels, "longest_edge": max_pixels * 4},
    }
    for name, settings in (("preprocessor_config.json", image), ("video_preprocessor_config.json", video)):
        (out / name).write_text(json.dumps(settings, indent=1) + "\n")


def copy_processor_files(source: Path, out: Path) -> None:
    """Copy all files of a model folder but the weights and their configuration."""
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".txt") and file.name not in (
            "config.json",
            "generation_config.json",
        ):
            shutil.copy(file, out / file.name)
