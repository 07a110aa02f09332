"""Faster LoRA for vLLM on a CPU.

vLLM 0.32 applies an adapter on CPUs by copying its two matrices once for every token, which costs several
times what the whole network does. A batch holds few adapters (here: one), so a matrix product for each of
them gives the same numbers. Tokens without an adapter (index -1) are left alone, where vLLM's own functions
would give them the last one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def install() -> None:
    """Put the functions below in the place of vLLM's; nothing happens twice, or on other platforms."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.lora.punica_wrapper import punica_cpu

    names = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
    single = {"bgmv_shrink": _shrink, "bgmv_expand": _expand, "bgmv_expand_slice": _expand_slice}
    if not all(hasattr(punica_cpu, name) for name in (*names, *map(_grouped_name, names))):
        return  # a version that does it otherwise
    for name, function in single.items():
        setattr(punica_cpu, name, function)
        setattr(punica_cpu, _grouped_name(name), _by_sequence(function))


def _grouped_name(name: str) -> str:
    """What vLLM calls the variant for prompts, where one index stands for a whole sequence."""
    return name.replace("bgmv", "sgmv")


def _by_sequence(function: Any) -> Any:
    def grouped(
        inputs: Tensor,
        weights: Tensor,
        output: Tensor,
        _starts: Tensor,
        lengths: Tensor,
        indices: Tensor,
        _batches: int,
        _longest: int,
        _tokens: int,
        *options: Any,
    ) -> None:
        function(inputs, weights, output, indices.repeat_interleave(lengths), *options)

    return grouped


def _shrink(inputs: Tensor, weights: Tensor, output: Tensor, indices: Tensor, scaling: float = 1.0) -> None:
    """output[t, :r] = scaling * A[index of t] @ inputs[t]"""
    for rows, matrix in _adapters(inputs, weights, indices):
        low = inputs[rows].to(output.dtype) @ matrix.to(output.dtype).T
        output[rows, : low.shape[1]] = scaling * low


def _expand(
    inputs: Tensor, weights: Tensor, output: Tensor, indices: Tensor, add_inputs: bool = True
) -> None:
    """output[t] += B[index of t] @ inputs[t]"""
    width = min(weights.shape[-2], output.shape[1])
    _expand_slice(inputs, weights, output, indices, 0, width, add_inputs)


def _expand_slice(
    inputs: Tensor,
    weights: Tensor,
    output: Tensor,
    indices: Tensor,
    offset: int,
    size: int,
    add_inputs: bool = True,
) -> None:
    """output[t, offset : offset + size] += B[index of t] @ inputs[t]"""
    for rows, matrix in _adapters(inputs, weights, indices):
        high = (inputs[rows].to(output.dtype) @ matrix.to(output.dtype).T)[:, :size]
        part = output[:, offset : offset + size]
        if add_inputs:
            part[rows] += high
        else:
            part[rows] = high


def _adapters(inputs: Tensor, weights: Tensor, indices: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """Rows of each adapter in the batch, and its matrix (out, in) from `weights` (adapters, [1,] out, in)."""
    indices = indices[: len(inputs)]
    present = indices.unique().tolist()
    for index in present:
        if index >= 0:
            rows = slice(len(indices)) if len(present) == 1 else (indices == index).nonzero()[:, 0]
            matrix = weights[index]
            yield rows, matrix[0] if matrix.ndim == 3 else matrix
