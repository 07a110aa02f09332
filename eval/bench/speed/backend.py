"""How fast a judge answers, alone and in a batch, and what its score depth costs beside a bare forward pass.

The bare pass is the model run again on exactly the tensors that a call of score depth fed to it: what remains
of the ratio above 1 is reading the picture, preparing tokens, and reading the answer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from eval.bench.accuracy.scenes import Judging
from judge.types import Sample


def run(
    judge: Judging,
    samples: Sequence[Sample],
    backend: Any,
    *,
    batches: Sequence[int] = (1, 16),
    rounds: int = 5,
) -> dict[str, Any]:
    """Median seconds a picture at both depths and of the bare forward pass, for each size of batch.

    Args:
        judge: what is measured.
        samples: at least as many as the largest batch.
        backend: the judge's backend; without a torch model inside it, the bare pass is left out and said so.
        batches: sizes of batches.
        rounds: how often each call is timed.
    """
    result: dict[str, Any] = {"rounds": rounds, "batches": list(batches)}
    notes: dict[str, str] = {}
    module = torch_module(backend)
    for size in batches:
        group = list(samples[:size])

        verdict = seconds(partial(_judge, judge, group, "verdict"), rounds) / size
        score = seconds(partial(_judge, judge, group, "score"), rounds) / size
        result[f"seconds_per_verdict_batch_{size}"] = verdict
        result[f"seconds_per_score_batch_{size}"] = score
        names = (f"seconds_per_forward_batch_{size}", f"score_to_forward_batch_{size}")
        if module is None:
            result |= dict.fromkeys(names)
            notes |= dict.fromkeys(names, "this backend keeps no torch model in this process")
            continue
        passes = recorded(module, partial(_judge, judge, group, "score"))
        count = max(Counter(id(one.module) for one in passes).values(), default=0)
        bare = seconds(partial(replay, passes), rounds) / size
        result |= {names[0]: bare, names[1]: score / bare, f"forward_passes_batch_{size}": count}
    return {**result, "notes": notes}


def _judge(judge: Judging, group: list[Sample], depth: str) -> None:
    list(judge.many(group, depth=depth, batch=len(group)))


def seconds(call: Callable[[], None], rounds: int) -> float:
    """Median wall time of a call after one that is not timed."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def torch_module(backend: Any) -> Any:
    """The torch model that a backend keeps among its attributes; None when there is none."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None:
        return None
    kept = vars(backend).values() if hasattr(backend, "__dict__") else ()
    return next((value for value in kept if isinstance(value, torch.nn.Module)), None)


@dataclass(frozen=True)
class Pass:
    """One call of a module: the whole model's, or that of a part which the backend calls itself."""

    module: Any
    positional: tuple[Any, ...]
    named: dict[str, Any]


def recorded(model: Any, call: Callable[[], None]) -> list[Pass]:
    """The outermost calls of the model's modules during the call, in order."""
    passes: list[Pass] = []
    running = 0

    def enter(module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal running
        if not running:
            # A cache is filled by the pass itself: replaying with it would append to it.
            fresh = {"past_key_values": None, "use_cache": False}
            passes.append(Pass(module, positional, named | {k: v for k, v in fresh.items() if k in named}))
        running += 1

    def leave(*_: Any) -> None:
        nonlocal running
        running -= 1

    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        call()
    finally:
        for handle in handles:
            handle.remove()
    return passes


def replay(passes: Sequence[Pass]) -> None:
    """Run the recorded passes again, and wait for the accelerator to finish them."""
    import torch

    with torch.inference_mode():
        for one in passes:
            one.module(*one.positional, **one.named)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
