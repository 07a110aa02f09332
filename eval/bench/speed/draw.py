"""Measure how fast scenes are drawn."""

from __future__ import annotations

import time
from typing import Any

from judge.runtime.process_pool import create_process_pool
from judge.scenes.held_out import held_out_seeds


def measure_drawing(count: int, seed: int, processes: int = 2) -> dict[str, Any]:
    """Draw scenes in parallel and measure the rate.

    The time does not include starting the processes, and the images are not returned from them.

    Args:
        count: number of scenes.
        seed: seed of the scenes.
        processes: number of processes.
    """
    seeds = held_out_seeds(count, seed)
    shares = [seeds[first::processes] for first in range(processes)]
    with create_process_pool(processes) as pool:
        list(pool.map(_draw_scenes, [share[:1] for share in shares]))
        start = time.perf_counter()
        pixels = sum(pool.map(_draw_scenes, shares))
        seconds = time.perf_counter() - start
    return {
        "scenes_per_second": count / seconds,
        "megapixels_per_second": pixels / seconds / 1e6,
        "seconds": seconds,
        "processes": processes,
        "count": count,
        "seed": seed,
    }


def _draw_scenes(seeds: list[int]) -> int:
    """Draw scenes and return the number of pixels."""
    from judge.scenes import draw_scene

    return sum(image.shape[0] * image.shape[1] for image in (draw_scene(seed).image for seed in seeds))
