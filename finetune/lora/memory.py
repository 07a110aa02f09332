"""Estimates the memory that a fine-tuning needs, from shapes alone, before anything is loaded.

The estimate is right within a factor of about 1.5. It adds up:

- the weights as they are stored;
- the adapter with its gradient and Adam's two moments in float32;
- the activations of the language model: 34 bytes for each token and unit of width in each layer in 16 bit
  (Korthikanti et al. 2022), without the attention matrix, which sdpa does not store. With checkpointing, only
  the input of each layer and all activations of one layer;
- the same for the vision tower if the adapter has layers in it. Else it stores nothing;
- three copies of the logits of the answers.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

from finetune.lora.base_model import BaseInfo, create_meta_model
from finetune.lora.config import AdapterConfig, ModelConfig

TEXT_TOKENS = 512
"""Assumed text tokens of a row, in addition to those of the image."""
ANSWER_TOKENS = 256
"""Assumed tokens of an answer."""
VISION_PREFIX = "visual."
"""Part of the names of the vision tower's layers."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Estimated bytes by use."""

    weights: float
    adapter: float
    activations: float
    logits: float
    parameters: int
    """Parameters of the base."""
    trained: int
    """Parameters of the adapter."""

    @property
    def total(self) -> float:
        """All bytes."""
        return self.weights + self.adapter + self.activations + self.logits

    def __str__(self) -> str:
        names = ("weights", "adapter", "activations", "logits")
        parts = ", ".join(f"{name} {_format_size(getattr(self, name))}" for name in names)
        return (
            f"about {_format_size(self.total)} of memory: {parts} "
            f"({self.parameters / 1e6:,.1f} M parameters, {self.trained / 1e6:,.2f} M of them new)"
        )


@dataclass(frozen=True)
class PassShape:
    """What goes through the model at once in training."""

    batch: int
    """Images or videos, each with its prompt and answers."""
    checkpointing: bool
    text_tokens: int = TEXT_TOKENS
    """Text tokens of each, answers included, in addition to those of the image."""
    read_tokens: int = ANSWER_TOKENS
    """Tokens of each at which the vocabulary is read."""


def estimate_memory(
    config: ModelConfig, adapter: AdapterConfig, shape: PassShape, base: BaseInfo, *, gpu: bool
) -> MemoryEstimate:
    """Estimate what training needs on one device.

    Args:
        config: the model to start from.
        adapter: the adapter.
        shape: of one training pass.
        base: the checked base.
        gpu: the device is a GPU; else a CPU.
    """
    model, text = create_meta_model(base.config), base.config.get_text_config()
    dtype = config.dtype
    width = 2 if (gpu and dtype == "auto") or dtype in ("bfloat16", "float16") else 4
    weights = 0.0
    for name, parameter in model.named_parameters():
        quantized = gpu and parameter.ndim == 2 and "embed" not in name
        quantized = quantized and not any(
            name.startswith(f"{part}.") for part in base.family_info.unquantized_modules
        )
        bits = config.bits if quantized else None
        weights += parameter.numel() * (bits / 8 if bits else width)
    trained = _adapter_parameters(adapter, base, model)
    pixels, vision = config.max_pixels, base.config.vision_config
    if base.size is not None:
        pixels = base.size**2
    patches = pixels / vision.patch_size**2
    text_tokens = shape.text_tokens + patches / vision.spatial_merge_size**2
    activations = _activation_bytes(shape, width, text.hidden_size, text_tokens, text)
    if any(VISION_PREFIX in name for name in trained):
        activations += _activation_bytes(shape, width, vision.hidden_size, patches, vision)
    logits = 3 * 4 * shape.batch * shape.read_tokens * text.vocab_size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    new = sum(trained.values())
    return MemoryEstimate(weights, 16.0 * new, activations, logits, parameters, new)


def _activation_bytes(shape: PassShape, width: int, hidden: int, tokens: float, tower: Any) -> float:
    """Return the bytes of activations that a tower stores for the backward pass."""
    depth = getattr(tower, "num_hidden_layers", None) or tower.depth
    each = hidden * tokens * shape.batch * width
    return float(each * (depth + 17) if shape.checkpointing else 17 * each * depth)


def _adapter_parameters(config: AdapterConfig, base: BaseInfo, model: Any) -> dict[str, int]:
    """Return the number of the adapter's parameters in each layer."""
    existing: dict[str, int] = {}
    rank, layers = config.rank, config.layers
    if base.adapter is not None:
        from safetensors import safe_open

        with safe_open(base.adapter / "adapter_model.safetensors", "pt") as file:
            for name in file.keys():  # noqa: SIM118
                layer, _, side = name.removeprefix("base_model.model.").partition(".lora_")
                shape = file.get_slice(name).get_shape()
                existing[layer] = existing.get(layer, 0) + math.prod(shape)
                rank = shape[0] if side.startswith("A") else rank
        layers = config.also
    new = {
        name: rank * sum(module.weight.shape)
        for name, module in model.named_modules()
        if re.fullmatch(layers, name) and getattr(module, "weight", None) is not None
    }
    return new | existing


def free_memory(*, gpu: bool) -> float:
    """Return the bytes that are free on the device now."""
    if gpu:
        import torch

        return float(torch.cuda.mem_get_info()[0])
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _format_size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
