"""Replace layers of a Qwen-VL model by code that computes the same in less time."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

MIN_ONEDNN_MULTIPLICATIONS = 1 << 21
"""Multiplications of a matrix product from which oneDNN is faster; below, the call costs more than it saves.
"""


def replace_slow_layers(model: Any) -> None:
    """Change a Qwen-VL model in place.

    Layers that accelerate moves between devices are left alone. With gradients, everything is computed as the
    library does it, except for products with weights that have no gradient.

    Args:
        model: the model.
    """
    import torch

    _replace_patch_embedding(model.model.visual.patch_embed)
    is_float32 = model.dtype == torch.float32
    use_onednn = is_float32 and mkl_is_slow()
    for module in model.modules():
        kind = type(module).__name__
        if hasattr(module, "_hf_hook"):
            continue
        if is_float32 and kind.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            _fuse_norm(module)  # in half precision the two round differently
        elif kind.endswith("VisionAttention"):
            _batch_attention(module)
        elif use_onednn and type(module) is torch.nn.Linear:
            _replace_linear(module)
        elif use_onednn and kind == "Qwen3VLVisionMLP":
            _fuse_gelu(module)


@cache
def mkl_is_slow() -> bool:
    """Return whether torch's float32 matrix products take twice the time of oneDNN, which is part of torch.

    By default torch uses MKL, which has AVX-512 kernels for Intel processors only.
    """
    import torch

    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and "GenuineIntel" not in _cpu_description()
    )


def _cpu_description() -> str:
    try:
        with Path("/proc/cpuinfo").open() as file:
            return file.read(4096)
    except OSError:
        return platform.processor()


def _linear(states: Any, weight: Any, bias: Any) -> Any:
    """Compute `torch.nn.functional.linear` with the faster of the two libraries."""
    import torch

    if not _is_onednn_faster(states, weight):
        return torch.nn.functional.linear(states, weight, bias)
    if not torch.is_grad_enabled():
        return _onednn_linear(states, weight, bias)
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return torch.nn.functional.linear(states, weight, bias)
    return _onednn_frozen_linear()(states, weight, bias)


def _is_onednn_faster(states: Any, weight: Any) -> bool:
    """Return whether to compute states (..., I) times weight (O, I) with oneDNN."""
    import torch

    is_cpu_float32 = states.dtype == weight.dtype == torch.float32 and states.device.type == "cpu"
    return is_cpu_float32 and states.numel() * len(weight) >= MIN_ONEDNN_MULTIPLICATIONS and mkl_is_slow()


def _onednn_linear(states: Any, weight: Any, bias: Any, activation: str = "none", algorithm: str = "") -> Any:
    """Compute states (..., I) times weight (O, I), then an activation, in the terms of oneDNN."""
    import torch

    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, activation, [], algorithm)


@cache
def _onednn_frozen_linear() -> Any:
    """Return `_onednn_linear` with a gradient for the states; the weights have none."""
    import torch

    class FrozenLinear(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, states: Any, weight: Any, bias: Any) -> Any:
            context.save_for_backward(weight)
            return _onednn_linear(states, weight, bias)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            [weight] = context.saved_tensors
            return _linear(gradient, weight.t().contiguous(), None), None, None

    return FrozenLinear.apply


def _replace_linear(linear: Any) -> None:
    def forward(states: Any) -> Any:
        return _linear(states, linear.weight, linear.bias)

    linear.forward = forward


def _fuse_gelu(block: Any) -> None:
    """Compute GELU in the same pass as the product before it."""
    import torch

    first, second, original = block.linear_fc1, block.linear_fc2, block.forward
    is_plain_linear = type(first) is torch.nn.Linear and not hasattr(first, "_hf_hook")
    if not is_plain_linear or type(block.act_fn).__name__ != "GELUTanh":
        return

    def forward(states: Any) -> Any:
        if torch.is_grad_enabled() or not _is_onednn_faster(states, first.weight):
            return original(states)
        return second(_onednn_linear(states, first.weight, first.bias, "gelu", "tanh"))

    block.forward = forward


def _replace_patch_embedding(embedding: Any) -> None:
    """Compute the patch embedding as a matrix product instead of a convolution.

    The kernel and the stride are equal, so each patch is used once. A convolution of that shape takes several
    times as long.
    """
    import torch

    convolution = embedding.proj
    if hasattr(convolution, "_hf_hook"):
        return

    class PatchEmbedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = convolution.weight, convolution.bias

        def forward(self, patches: Any) -> Any:
            return _linear(patches.flatten(1), self.weight.flatten(1), self.bias)

    embedding.proj = PatchEmbedding()


def _fuse_norm(norm: Any) -> None:
    """Compute RMSNorm in one operation instead of six, with the same bits."""
    from torch.nn.functional import rms_norm

    def forward(states: Any) -> Any:
        return rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)

    norm.forward = forward


def _batch_attention(attention: Any) -> None:
    """Attend within all images (or windows) of one size at once, instead of one after the other."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    original = attention.forward

    def forward(hidden_states: Any, cu_seqlens: Any, position_embeddings: Any = None, **others: Any) -> Any:
        lengths = cu_seqlens.diff().tolist()
        if torch.is_grad_enabled() or min(lengths) != max(lengths):
            return original(hidden_states, cu_seqlens, position_embeddings=position_embeddings, **others)
        shape = (len(lengths), lengths[0])
        states = attention.qkv(hidden_states).view(*shape, 3, attention.num_heads, -1)
        cosine, sine = (one.view(*shape, 1, 1, -1) for one in position_embeddings)
        query, key = _rotate(states[:, :, :2], cosine, sine).transpose(1, 3).unbind(2)
        value = states[:, :, 2].transpose(1, 2)
        output = scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        return attention.proj(output.transpose(1, 2).reshape(hidden_states.shape))

    attention.forward = forward


def _rotate(states: Any, cosine: Any, sine: Any) -> Any:
    """Apply rotary positions to states (..., d) in float32.

    Each number of the first half is rotated together with its counterpart in the second half.
    """
    first, second = states.float().chunk(2, dim=-1)
    rotated = states.float() * cosine.float()
    left, right = rotated.chunk(2, dim=-1)
    sines = sine.float().chunk(2, dim=-1)
    left.addcmul_(second, sines[0], value=-1)
    right.addcmul_(first, sines[1])
    return rotated.to(states.dtype)
