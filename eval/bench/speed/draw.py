"""How fast the generator draws scenes."""

from __future__ import annotations

import time
from typing import Any

from judge.runtime.processes import clean_pool
from judge.scenes.fresh import scene_seeds


def run(count: int, seed: int, processes: int = 2) -> dict[str, Any]:
    """Draw `count` scenes in parallel; starting the processes is not timed, handing pictures over neither."""
    seeds = scene_seeds(count, seed)
    shares = [seeds[at::processes] for at in range(processes)]
    with clean_pool(processes) as pool:
        list(pool.map(_draw, [share[:1] for share in shares]))
        start = time.perf_counter()
        pixels = sum(pool.map(_draw, shares))
        seconds = time.perf_counter() - start
    return {
        "scenes_per_second": count / seconds,
        "megapixels_per_second": pixels / seconds / 1e6,
        "seconds": seconds,
        "processes": processes,
        "count": count,
        "seed": seed,
    }


def _draw(seeds: list[int]) -> int:
    """Draw the scenes and give the number of pixels drawn."""
    from judge.scenes import draw

    return sum(image.shape[0] * image.shape[1] for image in (draw(seed).image for seed in seeds))
