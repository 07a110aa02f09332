"""The LoRA functions for vLLM on a CPU compute what vLLM's own functions compute."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from judge.backends.torchvision_compat import patch_imports
from judge.backends.vllm import cpu_lora

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")


@pytest.mark.parametrize("indices", [[0] * 7, [1] * 7, [0, 1, 0, 1, 1, 0, 0]])
def test_an_adapter_is_applied_as_by_vllm(indices: list[int]) -> None:
    patch_imports()
    import torch
    from vllm.lora.ops import torch_ops

    torch.manual_seed(0)
    states, low, high = torch.randn(7, 24), torch.randn(2, 1, 8, 24), torch.randn(2, 1, 40, 8)
    adapters = torch.tensor(indices)
    ours, theirs = torch.zeros(7, 8), torch.zeros(7, 8)
    cpu_lora._shrink(states, low, ours, adapters, 0.5)
    torch_ops.bgmv_shrink(states, low, theirs, adapters, 0.5)
    torch.testing.assert_close(ours, theirs)
    ours, theirs = torch.ones(7, 60), torch.ones(7, 60)
    cpu_lora._expand_slice(theirs[:, :8], high, ours, adapters, 10, 40, add_inputs=True)
    torch_ops.bgmv_expand_slice(theirs[:, :8], high, theirs, adapters, 10, 40, True)
    torch.testing.assert_close(ours, theirs)


def test_tokens_without_an_adapter_are_left_alone() -> None:
    import torch

    output = torch.zeros(2, 8)
    cpu_lora._shrink(torch.ones(2, 4), torch.ones(1, 1, 8, 4), output, torch.tensor([-1, 0]))
    assert output.sum(dim=1).tolist() == [0.0, 32.0]
