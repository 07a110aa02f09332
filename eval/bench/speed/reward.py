"""Pictures a second that `judge.reward.Reward` scores, beside verdicts asked one by one, and what memory it
takes.

Pictures lie in files and are all different, so that nothing is answered from the cache. Each number of
pictures is scored in a process of its own, whose peak is its own.
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


def run(
    seed: int,
    looped: int,
    model: str,
    adapter: str | None,
    dtype: str = "auto",
    counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """Seconds an image of both, their ratio `batch_over_loop`, and `peak_mb_N` for each number of pictures.

    Args:
        seed: of the scenes.
        looped: how many verdicts are asked one by one.
        model, adapter: who judges.
        dtype: what the reward calculates in, as the backend `transformers` takes it; verdicts in the loop are
            by the usual one. With another one, `score_off_mean` and `score_off_most` tell how far its scores
            of the first `looped` pictures are from the usual ones.
        counts: numbers of pictures, the least first; the last one is timed.
    """
    from judge.scenes import write

    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in write(Path(folder), max(counts), seed):
            pass
        for count in counts:
            told = _measured(folder, count, looped if count == counts[-1] else 0, model, adapter, dtype)
            result[f"peak_mb_{count}"] = told["peak_mb"]
    batch, loop = told["batch_seconds"], told["loop_seconds"]
    return {
        "pictures": counts[-1],
        "dtype": dtype,
        "unscored": told["unscored"],
        "seconds_per_picture": batch,
        "seconds_per_verdict_in_a_loop": loop,
        "batch_over_loop": loop / batch,
        **{name: told[name] for name in told if name.startswith("score_off")},
        **result,
    }


def _measured(
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
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main(
    folder: str, count: int, looped: int, model: str, adapter: str | None, dtype: str = "auto"
) -> dict[str, Any]:
    """One process's share: score `count` pictures, then judge `looped` of them one by one."""
    from judge import Judge
    from judge.pipeline import rows
    from judge.reward import Reward

    judge = asked = Judge(model, adapter=adapter)
    if dtype != "auto":
        asked = Judge(model, adapter=adapter, backend="transformers", dtype=dtype)
    found = [row for row in rows.read(Path(folder) / "rows.jsonl") if not isinstance(row, rows.BadRow)][
        :count
    ]
    prompts, images = [row.prompt for row in found], [row.image for row in found]
    for one in (judge, asked):
        one(images[0], prompt=prompts[0])  # loads the model
    start = time.perf_counter()
    results = Reward(asked)(prompts=prompts, images=images)
    batch = (time.perf_counter() - start) / count
    peak = peak_mb()
    start = time.perf_counter()
    for prompt, image in zip(prompts[:looped], images, strict=False):
        judge(image, prompt=prompt)
    loop = (time.perf_counter() - start) / looped if looped else None
    unscored = sum(result.score is None for result in results)
    told = {"batch_seconds": batch, "loop_seconds": loop, "peak_mb": peak, "unscored": unscored}
    if looped and asked is not judge:
        usual = Reward(judge)(prompts=prompts[:looped], images=images[:looped])
        pairs = [(a.score, b.score) for a, b in zip(usual, results, strict=False)]
        off = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        told |= {"score_off_mean": fmean(off), "score_off_most": max(off)}
    return told


def peak_mb() -> float | None:
    """The most memory this process has held so far, in MB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    place, number, single, name, tuned, kind = sys.argv[1:]
    print(json.dumps(main(place, int(number), int(single), name, tuned or None, kind)))
