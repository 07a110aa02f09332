"""Faster LoRA for vLLM on a CPU.

On CPUs, vLLM 0.32 applies an adapter by copying its two matrices once for every token, which costs several
times as much as the whole network. A batch holds few adapters (here: one), so one matrix product for each of
them gives the same numbers. Tokens without an adapter (index -1) are left alone; vLLM's own functions would
apply the last adapter to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def install_cpu_lora() -> None:
    """Replace vLLM's functions by the ones below. Does nothing on other platforms or when called again."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.lora.punica_wrapper import punica_cpu

    names = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
    functions = {"bgmv_shrink": _shrink, "bgmv_expand": _expand, "bgmv_expand_slice": _expand_slice}
    if not all(hasattr(punica_cpu, name) for name in (*names, *map(_grouped_name, names))):
        return  # a version of vLLM that works in another way
    for name, function in functions.items():
        setattr(punica_cpu, name, function)
        setattr(punica_cpu, _grouped_name(name), _by_sequence(function))


def _grouped_name(name: str) -> str:
    """Return vLLM's name of the variant for prompts, in which one index stands for a whole sequence."""
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
    """Set output[t, :r] = scaling * A[index of t] @ inputs[t]."""
    for rows, matrix in _adapter_rows(inputs, weights, indices):
        low = inputs[rows].to(output.dtype) @ matrix.to(output.dtype).T
        output[rows, : low.shape[1]] = scaling * low


def _expand(
    inputs: Tensor, weights: Tensor, output: Tensor, indices: Tensor, add_inputs: bool = True
) -> None:
    """Add output[t] += B[index of t] @ inputs[t]."""
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
    """Add output[t, offset : offset + size] += B[index of t] @ inputs[t]."""
    for rows, matrix in _adapter_rows(inputs, weights, indices):
        high = (inputs[rows].to(output.dtype) @ matrix.to(output.dtype).T)[:, :size]
        part = output[:, offset : offset + size]
        if add_inputs:
            part[rows] += high
        else:
            part[rows] = high


def _adapter_rows(inputs: Tensor, weights: Tensor, indices: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """Yield the rows of each adapter in the batch, and its matrix (out, in).

    Args:
        inputs: (tokens, in) rows.
        weights: (adapters, [1,] out, in) matrices.
        indices: (tokens,) index of each token's adapter; -1 for none.
    """
    indices = indices[: len(inputs)]
    present = indices.unique().tolist()
    for index in present:
        if index >= 0:
            rows = slice(len(indices)) if len(present) == 1 else (indices == index).nonzero()[:, 0]
            matrix = weights[index]
            yield rows, matrix[0] if matrix.ndim == 3 else matrix
