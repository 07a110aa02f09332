"""Compare `judge.reward.Reward` with verdicts that are made one by one, and measure its memory.

The images are files and all different, so that no answer comes from the cache. Each number of images is
scored in a child process of its own, so that the peak memory is that of this number.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

COUNTS = (100, 1000)
"""Numbers of images."""


def measure_reward(
    seed: int,
    looped: int,
    model: str,
    adapter: str | None,
    dtype: str = "auto",
    counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """Measure seconds per image of both, their ratio, and the peak memory.

    Args:
        seed: seed of the scenes.
        looped: number of verdicts that are made one by one.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        dtype: dtype of the reward, an option of the backend `transformers`; the verdicts in the loop use the
            default dtype. With another dtype, `score_off_mean` and `score_off_most` are the mean and the
            largest difference of the scores of the first `looped` images.
        counts: numbers of images, the smallest first; the last one is timed.

    Returns:
        Among others `batch_over_loop`, the ratio of the seconds per verdict in a loop to the seconds per
        image of the reward, and `peak_mb_N` for each number N of images.
    """
    from judge.scenes import write_scenes

    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in write_scenes(Path(folder), max(counts), seed):
            pass
        for count in counts:
            loop_count = looped if count == counts[-1] else 0
            numbers = _measure_in_child(folder, count, loop_count, model, adapter, dtype)
            result[f"peak_mb_{count}"] = numbers["peak_mb"]
    batch, loop = numbers["batch_seconds"], numbers["loop_seconds"]
    return {
        "pictures": counts[-1],
        "dtype": dtype,
        "unscored": numbers["unscored"],
        "seconds_per_picture": batch,
        "seconds_per_verdict_in_a_loop": loop,
        "batch_over_loop": loop / batch,
        **{name: numbers[name] for name in numbers if name.startswith("score_off")},
        **result,
    }


def _measure_in_child(
    folder: str, count: int, looped: int, model: str, adapter: str | None, dtype: str
) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "eval.bench.speed.reward",
        folder,
        str(count),
        str(looped),
        model,
        adapter or "",
        dtype,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    numbers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def measure_images(
    folder: str, count: int, looped: int, model: str, adapter: str | None, dtype: str = "auto"
) -> dict[str, Any]:
    """Score images with the reward, then judge some of them one by one. Runs in the child process.

    Args:
        folder: folder of the scenes.
        count: number of images that the reward scores.
        looped: number of images that are judged one by one.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        dtype: dtype of the reward.
    """
    from judge import Judge
    from judge.pipeline import rows
    from judge.reward import Reward

    judge = reward_judge = Judge(model, adapter=adapter)
    if dtype != "auto":
        reward_judge = Judge(model, adapter=adapter, backend="transformers", dtype=dtype)
    all_rows = rows.read_rows(Path(folder) / "rows.jsonl")
    samples = [row for row in all_rows if not isinstance(row, rows.BadRow)][:count]
    prompts, images = [sample.prompt for sample in samples], [sample.image for sample in samples]
    for loaded in (judge, reward_judge):
        loaded(images[0], prompt=prompts[0])  # load the model
    start = time.perf_counter()
    results = Reward(reward_judge)(prompts=prompts, images=images)
    batch = (time.perf_counter() - start) / count
    peak = peak_memory_mb()
    start = time.perf_counter()
    for prompt, image in zip(prompts[:looped], images, strict=False):
        judge(image, prompt=prompt)
    loop = (time.perf_counter() - start) / looped if looped else None
    unscored = sum(result.score is None for result in results)
    numbers = {"batch_seconds": batch, "loop_seconds": loop, "peak_mb": peak, "unscored": unscored}
    if looped and reward_judge is not judge:
        default = Reward(judge)(prompts=prompts[:looped], images=images[:looped])
        pairs = [(a.score, b.score) for a, b in zip(default, results, strict=False)]
        differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        numbers |= {"score_off_mean": fmean(differences), "score_off_most": max(differences)}
    return numbers


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process in MB; None if the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    _folder, _count, _looped, _model, _adapter, _dtype = sys.argv[1:]
    print(json.dumps(measure_images(_folder, int(_count), int(_looped), _model, _adapter or None, _dtype)))
