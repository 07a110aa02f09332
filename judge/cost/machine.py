"""What this machine is, in the numbers that an estimate needs."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from judge.cost.accelerators import ACCELERATORS_FILE, Accelerator

FLOAT32_BYTES = 4
"""Bytes of a weight on a CPU: the transformers backend loads float32 there."""
_PROBE_SIDE = 1024
"""Side of the matrices whose product is timed on a machine without an accelerator."""


@dataclass(frozen=True)
class Machine:
    """Where a model would run here: the accelerators, or the CPU."""

    accelerator: Accelerator
    """One accelerator, or the CPU with the memory of the machine."""
    count: int = 1
    """Number of accelerators."""
    has_gpu: bool = False
    bytes_per_number: int = FLOAT32_BYTES
    """Bytes of a weight as the transformers backend loads it here."""
    is_measured: bool = True
    """Whether the speed was measured now. False: it is that of the data sheet."""

    @property
    def text(self) -> str:
        """The machine in words."""
        size = f"{self.accelerator.memory / 1e9:.0f} GB"
        times = f"{self.count} x " if self.count > 1 else ""
        return f"{times}{self.accelerator.name}, {size} of memory"


def describe_machine() -> Machine:
    """Describe this machine.

    A GPU with a data sheet in `assets/cards.toml` has that sheet's speed, with its own memory. The speed of
    everything else is measured with a matrix product and a copy, which takes less than a second.
    """
    import torch

    if not torch.cuda.is_available():
        import psutil

        name = f"CPU, {torch.get_num_threads()} threads"
        return Machine(_measure(torch, name, "cpu", float(psutil.virtual_memory().total)))
    properties: Any = torch.cuda.get_device_properties(0)
    name, memory = str(properties.name), float(properties.total_memory)
    sheet = find_data_sheet(name, memory)
    if sheet is None:
        accelerator = _measure(torch, name, "cuda", memory)
    else:
        accelerator = Accelerator(name, sheet.flops, sheet.bandwidth, memory)
    return Machine(
        accelerator,
        torch.cuda.device_count(),
        has_gpu=True,
        bytes_per_number=2,
        is_measured=sheet is None,
    )


def find_data_sheet(name: str, memory: float) -> Accelerator | None:
    """Return the data sheet of the GPU that a driver names, or None.

    Args:
        name: for example "NVIDIA A100-SXM4-80GB".
        memory: its memory in bytes. A sheet counts only if its memory is within a fifth of this, because
            one name may be sold with several sizes and speeds.
    """
    sheets = [Accelerator(**sheet) for sheet in tomllib.loads(ACCELERATORS_FILE.read_text("utf-8")).values()]
    words = set(name.upper().replace("-", " ").split())
    for sheet in sheets:
        model = next(word for word in sheet.name.upper().split() if any(map(str.isdigit, word)))
        if model in words and abs(sheet.memory - memory) < 0.2 * memory:
            return sheet
    return None


def _measure(torch: Any, name: str, device: str, memory: float) -> Accelerator:
    """Measure matrix products and copies, in the number format that the transformers backend uses there."""
    on_gpu = device == "cuda"
    dtype, side = (torch.bfloat16, 8 * _PROBE_SIDE) if on_gpu else (torch.float32, _PROBE_SIDE)
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    array = torch.rand(64 << 18, device=device)  # 64 MiB
    product = _best_seconds(lambda: a @ b, torch, on_gpu)
    copy = _best_seconds(array.clone, torch, on_gpu)
    return Accelerator(name, 2 * side**3 / product, 2 * 4 * len(array) / copy, memory)


def _best_seconds(call: Callable[[], Any], torch: Any, on_gpu: bool, rounds: int = 4) -> float:
    """Return the shortest wall time of a call; the first one, which may compile or allocate, counts too."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best
