"""Measure the verdicts of a gateway's engine while other processes keep the processors busy.

Rounds with and without busy processes alternate within one run. The busy processes share a session, which
is not that of the engine, as the processes of a training run do: Linux divides processor time between
sessions first.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from judge.types import Sample

START_TIMEOUT = 300
"""Seconds that the engine may take to load, and that a request may take."""


def measure_busy(
    samples: Sequence[Sample],
    processes: int,
    rounds: int,
    model: str,
    adapter: str | None,
    backend: str,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure the median seconds of a verdict, one after another, with and without busy processes.

    Args:
        samples: samples that are judged in each round.
        processes: number of busy processes, each of which uses one processor.
        rounds: number of rounds with and without them.
        model: name or folder of the engine's model.
        adapter: name or folder of a LoRA adapter.
        backend: backend of the engine.
        tick: called after each verdict.
    """
    from judge.serve.engine.ipc import judge_backend_spec
    from judge.serve.engine.supervisor import Engine
    from judge.serve.service import Service

    async def run_rounds() -> tuple[list[float], list[float]]:
        quiet, busy = list[float](), list[float]()
        async with Service(
            Engine(judge_backend_spec(model, adapter=adapter, backend=backend)), deadline=START_TIMEOUT
        ) as service:
            async with asyncio.timeout(START_TIMEOUT):
                await service.engine.wait_until_settled()
            await service.verdict(samples[0])  # warm up
            for _ in range(rounds):
                for times, busy_count in ((quiet, 0), (busy, processes)):
                    with busy_processes(busy_count):
                        for sample in samples:
                            start = time.perf_counter()
                            await service.verdict(sample)
                            times.append(time.perf_counter() - start)
                            tick()
        return quiet, busy

    quiet, busy = asyncio.run(run_rounds())
    return {
        "backend": backend,
        "busy_processes": processes,
        "verdicts": len(quiet),
        "seconds_quiet": median(quiet),
        "seconds_busy": median(busy),
        "seconds_busy_most": max(busy),
        "busy_over_quiet": median(busy) / median(quiet),
    }


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep this many processors busy while the block runs."""
    command = [sys.executable, "-c", "while True: pass"]
    children = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()
