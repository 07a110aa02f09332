"""Compare the estimate of `judge plan` with the embedded judge: operations, and seconds per image.

Operations are counted by torch while the judge runs. The peak performance of the machine is measured with a
large matrix product and a large copy in memory. The estimated seconds at this peak performance divided by
the measured seconds are the efficiency, the value of `judge plan --efficiency`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from eval.bench.speed.backend import median_seconds
from judge.cost.accelerators import Accelerator
from judge.cost.architecture import Architecture, load_config
from judge.cost.estimate import estimate_cost
from judge.cost.tokens import PROMPT, count_tokens
from judge.judge import Judge
from judge.types import Depth, Sample

ELEMENTS = 6
ROWS = 16


def measure_plan(judge: Judge, *, rounds: int = 3, side: int = 224) -> dict[str, Any]:
    """Compare the estimate with the embedded judge, at both depths.

    Args:
        judge: the embedded judge, in this process.
        rounds: how often each call is timed.
        side: side of the images in pixels.
    """
    names = [f"element number {number}" for number in range(1, ELEMENTS + 1)]
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    rows = [Sample(id=str(n), image=pixels, prompt=PROMPT, elements=names) for n in range(ROWS)]
    list(judge.many(rows, batch=ROWS))  # load the model
    card, architecture = measure_accelerator(rounds), Architecture.from_config(load_config(judge.model))
    result: dict[str, Any] = {"rows": ROWS, "card": {"flops": card.flops, "bandwidth": card.bandwidth}}
    depths: tuple[Depth, ...] = ("score", "verdict")
    for depth in depths:

        def judge_rows(depth: Depth = depth) -> None:
            list(judge.many(rows, depth=depth, batch=ROWS))

        estimate = estimate_cost(
            architecture,
            count_tokens(judge.model, architecture, (side, side), depth, elements=ELEMENTS),
            card,
            depth=depth,
            efficiency=1.0,
        )
        seconds = median_seconds(judge_rows, rounds) / ROWS
        counted = count_operations(judge_rows) / ROWS
        flops = estimate.prefill_flops + estimate.decode_flops
        result[depth] = {
            "flops_on_paper": flops,
            "flops_counted": counted,
            "paper_to_counted": flops / counted,
            "seconds_on_paper": estimate.seconds,
            "seconds": seconds,
            "efficiency": estimate.seconds / seconds,
        }
    return {**result, "notes": {"verdict.flops_counted": "literal parts of the form are processed in chunks, "
                                "and all branches of a choice are evaluated"}}  # fmt: skip


def count_operations(call: Callable[[], None]) -> int:
    """Return the floating-point operations of matrix products and attention during a call."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def measure_accelerator(rounds: int, side: int = 2048) -> Accelerator:
    """Measure this machine with torch in float32.

    Args:
        rounds: how often the matrix product and the copy are timed.
        side: side of the matrices.

    Returns:
        Its operations per second and its memory bandwidth.
    """
    import torch

    a, b = torch.rand(side, side), torch.rand(side, side)
    array = torch.rand(64 << 20 >> 2)
    product, copy = best_seconds(lambda: a @ b, rounds), best_seconds(array.clone, rounds)
    return Accelerator("this machine", 2 * side**3 / product, 2 * 4 * len(array) / copy, 8e9)


def best_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the shortest wall time of a call."""
    best = float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
