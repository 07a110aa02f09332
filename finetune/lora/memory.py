"""How much memory a fine-tuning will take, from shapes alone, before anything is loaded.

A rule of thumb, within a factor of about 1.5: weights as they are stored; the adapter with its gradient and
Adam's two moments in float32; activations of the language model (34 bytes a token and unit of width in each
layer in 16 bit, Korthikanti et al. 2022, without the attention matrix, which sdpa does not keep; with
checkpointing only each layer's input and one layer's all), and of the vision tower where the adapter reaches
into it, which else keeps nothing; and the logits of the answers, three copies.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

from finetune.lora.base import SKIPPED, Checked, meta_model
from finetune.lora.config import Config

TOKENS = 512
"""Text tokens of a row that the estimate reckons with, beside the picture's."""
ANSWER = 256
SIGHT = "visual."
"""In the names of the vision tower's layers."""


@dataclass(frozen=True)
class Estimate:
    """Bytes by what takes them."""

    weights: float
    adapter: float
    activations: float
    logits: float
    parameters: int
    """Of the base."""
    trained: int
    """Of the adapter."""

    @property
    def total(self) -> float:
        return self.weights + self.adapter + self.activations + self.logits

    def __str__(self) -> str:
        parts = ("weights", "adapter", "activations", "logits")
        said = ", ".join(f"{name} {_shown(getattr(self, name))}" for name in parts)
        return (
            f"about {_shown(self.total)} of memory: {said} "
            f"({self.parameters / 1e6:,.1f} M parameters, {self.trained / 1e6:,.2f} M of them new)"
        )


def estimate(config: Config, base: Checked, *, gpu: bool) -> Estimate:
    """What training this base as configured will take on one device."""
    model, text = meta_model(base.config), base.config.get_text_config()
    dtype = config.model.dtype
    width = 2 if (gpu and dtype == "auto") or dtype in ("bfloat16", "float16") else 4
    weights = 0.0
    for name, parameter in model.named_parameters():
        packed = gpu and parameter.ndim == 2 and "embed" not in name
        packed = packed and not any(name.startswith(f"{part}.") for part in SKIPPED)
        bits = config.model.bits if packed else None
        weights += parameter.numel() * (bits / 8 if bits else width)
    trained = _trained(config, base, model)
    pixels, vision = config.model.max_pixels, base.config.vision_config
    if base.size is not None:
        pixels = base.size**2
    patches = pixels / vision.patch_size**2
    kept = _kept(config, width, text.hidden_size, TOKENS + patches / vision.spatial_merge_size**2, text)
    if any(SIGHT in name for name in trained):
        kept += _kept(config, width, vision.hidden_size, patches, vision)
    logits = 3 * 4 * config.training.batch * ANSWER * text.vocab_size
    count, new = sum(parameter.numel() for parameter in model.parameters()), sum(trained.values())
    return Estimate(weights, 16.0 * new, kept, logits, count, new)


def _kept(config: Config, width: int, hidden: int, tokens: float, tower: Any) -> float:
    """Bytes of activations that a tower keeps for the way back."""
    depth = getattr(tower, "num_hidden_layers", None) or tower.depth
    each = hidden * tokens * config.training.batch * width
    return float(each * (depth + 17) if config.training.checkpointing else 17 * each * depth)


def _trained(config: Config, base: Checked, model: Any) -> dict[str, int]:
    """How many parameters the adapter has in each layer."""
    found: dict[str, int] = {}
    rank, layers = config.lora.rank, config.lora.layers
    if base.adapter is not None:
        from safetensors import safe_open

        with safe_open(base.adapter / "adapter_model.safetensors", "pt") as file:
            for name in file.keys():  # noqa: SIM118
                layer, _, side = name.removeprefix("base_model.model.").partition(".lora_")
                shape = file.get_slice(name).get_shape()
                found[layer] = found.get(layer, 0) + math.prod(shape)
                rank = shape[0] if side.startswith("A") else rank
        layers = config.lora.also
    fresh = {
        name: rank * sum(module.weight.shape)
        for name, module in model.named_modules()
        if re.fullmatch(layers, name) and getattr(module, "weight", None) is not None
    }
    return fresh | found


def available(*, gpu: bool) -> float:
    """Bytes that are free on the device now."""
    if gpu:
        import torch

        return float(torch.cuda.mem_get_info()[0])
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _shown(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
