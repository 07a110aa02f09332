"""How much memory a fine-tuning will take, from shapes alone, before anything is loaded.

A rule of thumb, within a factor of about 1.5: weights as they are stored; the adapter with its gradient and
Adam's two moments in float32; activations of the language model (34 bytes a token and unit of width in each
layer in 16 bit, Korthikanti et al. 2022, without the attention matrix, which sdpa does not keep; with
checkpointing only each layer's input and one layer's all); and the logits of the answers, three copies.
The vision tower is frozen and keeps nothing.
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
    patches, vision = config.model.max_pixels, base.config.vision_config
    if base.size is not None:
        patches = base.size**2
    tokens = TOKENS + patches / (vision.patch_size * vision.spatial_merge_size) ** 2
    per_layer = 17 * width * text.hidden_size * tokens * config.training.batch
    kept = per_layer * text.num_hidden_layers
    if config.training.checkpointing:
        kept = width * text.hidden_size * tokens * config.training.batch * text.num_hidden_layers + per_layer
    logits = 3 * 4 * config.training.batch * ANSWER * text.vocab_size
    count = sum(parameter.numel() for parameter in model.parameters())
    return Estimate(weights, 16.0 * trained, kept, logits, count, trained)


def _trained(config: Config, base: Checked, model: Any) -> int:
    if base.adapter is not None:
        from safetensors import safe_open

        with safe_open(base.adapter / "adapter_model.safetensors", "pt") as file:
            return sum(math.prod(file.get_slice(n).get_shape()) for n in file.keys())  # noqa: SIM118
    return sum(
        config.lora.rank * sum(module.weight.shape)
        for name, module in model.named_modules()
        if re.fullmatch(config.lora.targets, name) and getattr(module, "weight", None) is not None
    )


def available(*, gpu: bool) -> float:
    """Bytes that are free on the device now."""
    if gpu:
        import torch

        return float(torch.cuda.mem_get_info()[0])
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _shown(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
