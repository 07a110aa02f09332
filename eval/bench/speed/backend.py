"""Measure the speed of a judge, for one image and for a batch, and compare a score with a forward pass alone.

For the forward pass alone, the model runs again on exactly the tensors that it got in a call at depth
`score`. The ratio is above 1 because the judge also decodes the image, prepares tokens and reads the
answer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from eval.bench.accuracy.scenes import JudgeLike
from judge.types import Sample


def measure_backend(
    judge: JudgeLike,
    samples: Sequence[Sample],
    backend: Any,
    *,
    batches: Sequence[int] = (1, 16),
    rounds: int = 5,
) -> dict[str, Any]:
    """Measure the median seconds per image at both depths and of the forward pass, for each batch size.

    Args:
        judge: the judge.
        samples: at least as many samples as the largest batch.
        backend: the judge's backend. If it has no torch model, the forward pass is left out and a note says
        so.
        batches: batch sizes.
        rounds: how often each call is timed.
    """
    result: dict[str, Any] = {"rounds": rounds, "batches": list(batches)}
    notes: dict[str, str] = {}
    module = find_torch_model(backend)
    for size in batches:
        group = list(samples[:size])
        verdict = median_seconds(partial(_judge_batch, judge, group, "verdict"), rounds) / size
        score = median_seconds(partial(_judge_batch, judge, group, "score"), rounds) / size
        result[f"seconds_per_verdict_batch_{size}"] = verdict
        result[f"seconds_per_score_batch_{size}"] = score
        names = (f"seconds_per_forward_batch_{size}", f"score_to_forward_batch_{size}")
        if module is None:
            result |= dict.fromkeys(names)
            notes |= dict.fromkeys(names, "this backend has no torch model in this process")
            continue
        passes = record_passes(module, partial(_judge_batch, judge, group, "score"))
        count = max(Counter(id(forward.module) for forward in passes).values(), default=0)
        forward = median_seconds(partial(replay_passes, passes), rounds) / size
        result |= {names[0]: forward, names[1]: score / forward, f"forward_passes_batch_{size}": count}
    return {**result, "notes": notes}


def _judge_batch(judge: JudgeLike, group: list[Sample], depth: str) -> None:
    list(judge.many(group, depth=depth, batch=len(group)))


def median_seconds(call: Callable[[], None], rounds: int) -> float:
    """Return the median wall time of a call, after a first call that is not timed."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def find_torch_model(backend: Any) -> Any:
    """Return the torch model among the attributes of a backend; None if there is none."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None:
        return None
    attributes = vars(backend).values() if hasattr(backend, "__dict__") else ()
    return next((value for value in attributes if isinstance(value, torch.nn.Module)), None)


@dataclass(frozen=True)
class ForwardPass:
    """One call of a module: the whole model, or a part that the backend calls itself."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def record_passes(model: Any, call: Callable[[], None]) -> list[ForwardPass]:
    """Call a function and return the outermost calls of the model's modules during it, in order."""
    passes: list[ForwardPass] = []
    nesting = 0

    def enter(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal nesting
        if not nesting:
            # A pass appends to the cache, so a replay must not use it again.
            without_cache = {"past_key_values": None, "use_cache": False}
            kwargs = kwargs | {name: value for name, value in without_cache.items() if name in kwargs}
            passes.append(ForwardPass(module, args, kwargs))
        nesting += 1

    def leave(*_: Any) -> None:
        nonlocal nesting
        nesting -= 1

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


def replay_passes(passes: Sequence[ForwardPass]) -> None:
    """Run recorded passes again, and wait for the accelerator to finish them."""
    import torch

    with torch.inference_mode():
        for forward in passes:
            forward.module(*forward.args, **forward.kwargs)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
