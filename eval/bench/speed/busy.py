"""Verdicts of a gateway's engine while other processes keep the processors busy, beside those in quiet.

Rounds alternate within one run. The others share a session, which is not the engine's, as a training run's
processes do: Linux shares processors among sessions first.
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

READY = 300
"""Seconds that an engine may take to load."""


def run(
    samples: Sequence[Sample],
    processes: int,
    rounds: int,
    model: str,
    adapter: str | None,
    backend: str,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Median seconds of a verdict, asked one after another, in quiet and beside `processes` others.

    Args:
        samples: asked in each round.
        processes: others, each of which would fill a processor.
        rounds: of both.
        model, adapter, backend: what the engine loads.
        tick: called after each verdict.
    """
    from judge.serve.engine.engine import Engine
    from judge.serve.engine.ipc import judges
    from judge.serve.service import Service

    async def measured() -> tuple[list[float], list[float]]:
        quiet, beside = list[float](), list[float]()
        async with Service(
            Engine(judges(model, adapter=adapter, backend=backend)), deadline=READY
        ) as service:
            async with asyncio.timeout(READY):
                await service.engine.settled()
            await service.verdict(samples[0])  # the first one warms up
            for _ in range(rounds):
                for found, others in ((quiet, 0), (beside, processes)):
                    with busy(others):
                        for sample in samples:
                            start = time.perf_counter()
                            await service.verdict(sample)
                            found.append(time.perf_counter() - start)
                            tick()
        return quiet, beside

    quiet, beside = asyncio.run(measured())
    return {
        "backend": backend,
        "busy_processes": processes,
        "verdicts": len(quiet),
        "seconds_quiet": median(quiet),
        "seconds_busy": median(beside),
        "seconds_busy_most": max(beside),
        "busy_over_quiet": median(beside) / median(quiet),
    }


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Other work, as long as the block runs."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
