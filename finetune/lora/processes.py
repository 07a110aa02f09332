"""The processes of one training, which `torchrun` (on CPUs) or `accelerate launch` (on GPUs) started."""

from __future__ import annotations

from typing import Any


def join_processes() -> Any:
    """Join the other processes of a training, and return accelerate's `PartialState`.

    accelerate joins processes on CPUs only where it is told that there is no GPU.
    """
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())
