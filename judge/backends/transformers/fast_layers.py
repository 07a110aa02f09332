"""Parts of a model replaced by code that computes the same in less time."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

LEAST = 1 << 21
"""Multiplications of a matrix product from which oneDNN's is the quicker one; below, what it costs to call it
counts for more."""


def quicken(model: Any) -> None:
    """Change a Qwen-VL model in place. What accelerate moves between devices is left to it. With a gradient
    all is done as the library does it, but for products with weights that have none."""
    import torch

    _linear_patches(model.model.visual.patch_embed)
    whole = model.dtype == torch.float32
    products = whole and mkl_is_slow()
    for module in model.modules():
        kind = type(module).__name__
        if hasattr(module, "_hf_hook"):
            continue
        if whole and kind.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            _fused_norm(module)  # in half precision the two round differently
        elif kind.endswith("VisionAttention"):
            _side_by_side(module)
        elif products and type(module) is torch.nn.Linear:
            _quick_product(module)
        elif products and kind == "Qwen3VLVisionMLP":
            _fused_gelu(module)


@cache
def mkl_is_slow() -> bool:
    """Whether torch's float32 matrix products take twice the time that oneDNN, which torch has too, needs for
    them: MKL, which makes them, has AVX-512 kernels for Intel's processors alone."""
    import torch

    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and "GenuineIntel" not in _processor()
    )


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as told:
            return told.read(4096)
    except OSError:
        return platform.processor()


def _linear(states: Any, weight: Any, bias: Any) -> Any:
    """`torch.nn.functional.linear`, by the quicker of the two libraries."""
    import torch

    if not _worth_it(states, weight):
        return torch.nn.functional.linear(states, weight, bias)
    if not torch.is_grad_enabled():
        return _product(states, weight, bias)
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return torch.nn.functional.linear(states, weight, bias)
    return _frozen()(states, weight, bias)


def _worth_it(states: Any, weight: Any) -> bool:
    """Whether states (..., I) times weight (O, I) is to be left to oneDNN."""
    import torch

    single = states.dtype == weight.dtype == torch.float32 and states.device.type == "cpu"
    return single and states.numel() * len(weight) >= LEAST and mkl_is_slow()


def _product(states: Any, weight: Any, bias: Any, then: str = "none", way: str = "") -> Any:
    """States (..., I) times weight (O, I), and a function of each number after it, as oneDNN calls them."""
    import torch

    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, then, [], way)


@cache
def _frozen() -> Any:
    """`_product` with a gradient to the states; the weights have none."""
    import torch

    class Frozen(torch.autograd.Function):
        @staticmethod
        def forward(held: Any, states: Any, weight: Any, bias: Any) -> Any:
            held.save_for_backward(weight)
            return _product(states, weight, bias)

        @staticmethod
        def backward(held: Any, slope: Any) -> Any:
            [weight] = held.saved_tensors
            return _linear(slope, weight.t().contiguous(), None), None, None

    return Frozen.apply


def _quick_product(linear: Any) -> None:
    def forward(states: Any) -> Any:
        return _linear(states, linear.weight, linear.bias)

    linear.forward = forward


def _fused_gelu(block: Any) -> None:
    """GELU in the same pass as the product before it."""
    import torch

    first, second, plain = block.linear_fc1, block.linear_fc2, block.forward
    single = type(first) is torch.nn.Linear and not hasattr(first, "_hf_hook")
    if not single or type(block.act_fn).__name__ != "GELUTanh":
        return

    def forward(states: Any) -> Any:
        if torch.is_grad_enabled() or not _worth_it(states, first.weight):
            return plain(states)
        return second(_product(states, first.weight, first.bias, "gelu", "tanh"))

    block.forward = forward


def _linear_patches(embedding: Any) -> None:
    """Turn the convolution that embeds patches into the matrix product it is: kernel and stride are equal,
    so each patch is seen once, and a convolution of that shape takes several times as long."""
    import torch

    convolution = embedding.proj
    if hasattr(convolution, "_hf_hook"):
        return

    class Patches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = convolution.weight, convolution.bias

        def forward(self, patches: Any) -> Any:
            return _linear(patches.flatten(1), self.weight.flatten(1), self.bias)

    embedding.proj = Patches()


def _fused_norm(norm: Any) -> None:
    """One operation instead of six, with the same bits."""
    from torch.nn.functional import rms_norm

    def forward(states: Any) -> Any:
        return rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)

    norm.forward = forward


def _side_by_side(attention: Any) -> None:
    """Attend within all pictures (or windows) of one size at once, instead of one after the other."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    plain = attention.forward

    def forward(hidden_states: Any, cu_seqlens: Any, position_embeddings: Any = None, **others: Any) -> Any:
        lengths = cu_seqlens.diff().tolist()
        if torch.is_grad_enabled() or min(lengths) != max(lengths):
            return plain(hidden_states, cu_seqlens, position_embeddings=position_embeddings, **others)
        shape = (len(lengths), lengths[0])
        states = attention.qkv(hidden_states).view(*shape, 3, attention.num_heads, -1)
        turns = [one.view(*shape, 1, 1, -1) for one in position_embeddings]
        query, key = _turned(states[:, :, :2], *turns).transpose(1, 3).unbind(2)
        value = states[:, :, 2].transpose(1, 2)
        seen = scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        return attention.proj(seen.transpose(1, 2).reshape(hidden_states.shape))

    attention.forward = forward


def _turned(states: Any, cosine: Any, sine: Any) -> Any:
    """Rotary positions of states (..., d), in float32: each of the first half of the numbers is turned with
    its fellow of the second."""
    first, second = states.float().chunk(2, dim=-1)
    turned = states.float() * cosine.float()
    left, right = turned.chunk(2, dim=-1)
    sines = sine.float().chunk(2, dim=-1)
    left.addcmul_(second, sines[0], value=-1)
    right.addcmul_(first, sines[1])
    return turned.to(states.dtype)
