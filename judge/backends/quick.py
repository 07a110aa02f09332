"""Parts of a model replaced by code that computes the same in less time."""

from __future__ import annotations

from typing import Any


def quicken(model: Any) -> None:
    """Change a Qwen-VL model in place. What accelerate moves between devices is left to it."""
    import torch

    _linear_patches(model.model.visual.patch_embed)
    if model.dtype == torch.float32:  # in half precision the two round differently
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
                _fused_norm(module)


def _linear_patches(embedding: Any) -> None:
    """Turn the convolution that embeds patches into the matrix product it is: kernel and stride are equal,
    so each patch is seen once, and a convolution of that shape takes several times as long."""
    import torch

    class Patches(torch.nn.Module):
        def __init__(self, convolution: Any) -> None:
            super().__init__()
            self.weight, self.bias = convolution.weight, convolution.bias

        def forward(self, patches: Any) -> Any:
            return torch.nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)

    if not hasattr(embedding.proj, "_hf_hook"):
        embedding.proj = Patches(embedding.proj)


def _fused_norm(norm: Any) -> None:
    """One operation instead of six, with the same bits."""
    from torch.nn.functional import rms_norm

    def forward(states: Any) -> Any:
        return rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)

    if not hasattr(norm, "_hf_hook"):
        norm.forward = forward
