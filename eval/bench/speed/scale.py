"""What many rows cost beside the judging itself, and what more workers give.

A stand-in for a model answers at once, or after a pause, so that what is measured is reading, checking,
decoding, Ray, and recording. CPU time is that of this process and all below it, Ray's own and the workers;
memory is this process's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from judge.backends.base import Reply, Request
from judge.backends.student import likeliest
from judge.batch.results import Recorded
from judge.batch.scoring import Here, Tally, score
from judge.batch.sources import Files, files
from judge.errors import ReplyError
from judge.judge import Judge
from judge.rubrics.form import Choice, Form
from judge.rubrics.rubric import Rubric

BATCH = 32
FEW = 8
"""Rows judged together where few are timed, so that there are many units to share out."""
PIECES = 16
PICTURE = (96, 64)
PLAIN = Rubric.load("aesthetics")
"""Nothing is measured for it and no prompt taken apart: what is left is the way itself."""
ASKED: dict[str, Any] = {"batch": BATCH, "shard": [1, 1]}
MIB = 1 << 20


class StandIn:
    """Answers every form with its first labels, after a pause for each.

    Args:
        pause: seconds.
    """

    name = model = "stand-in"
    version = revision = domain = ""
    adapter: str | None = None
    brief = True
    size: int | None = None

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self._filled: dict[Form, Reply] = {}

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        time.sleep(self.pause * len(requests))
        return [self._fill(request.form) for request in requests]

    complete = choose

    def _fill(self, form: Form) -> Reply:
        if form not in self._filled:
            told = {
                part.name: {label: 1 / len(part.labels) for label in part.labels}
                for part in form.parts
                if isinstance(part, Choice)
            }
            self._filled[form] = Reply(likeliest(form, told), told)
        return self._filled[form]


def stand_in(pause: float = 0.0) -> Judge:
    return Judge(backend=StandIn(pause), rubric=PLAIN)


def embedded(rubric: str) -> Judge:
    """The embedded judge on one thread."""
    import torch

    torch.set_num_threads(1)
    return Judge(rubric=rubric)


def run(folder: Path, rows: int, paused: int, scenes: int, tick: Callable[[int], None]) -> dict[str, Any]:
    """Measure.

    Args:
        folder: where rows and verdicts are written.
        rows: through the stand-in, on two workers.
        paused: rows of the stand-in that takes 5 ms each, on one worker and on two.
        scenes: through the embedded judge at depth `score`, on one worker of one thread and on two.
        tick: called with the number of rows done.
    """
    from judge.runtime.ray_cluster import cluster

    source = _rows(folder / "rows", rows)
    here = _here(source, folder / "here")
    with cluster("local"):
        apart = _counted(source, folder / "apart", tick)
        few, drawn = _rows(folder / "few", paused), drawn_scenes(folder / "scenes", scenes)
        rates = {
            "paused": [_rate(few, partial(stand_in, 0.005), folder, n) for n in (1, 2)],
            "scenes": [_rate(drawn, partial(embedded, "default"), folder, n) for n in (1, 2)],
        }
    return {
        **here,
        **apart,
        **{f"{name}_per_second": rate for name, rate in rates.items()},
        **{f"{name}_two_over_one": two / one for name, (one, two) in rates.items()},
        "paused": paused,
        "scenes": scenes,
        "cpus": os.cpu_count(),
    }


def _here(source: Files, out: Path) -> dict[str, float]:
    """CPU time a row in one process, of one piece."""
    begun = time.process_time()
    done = score(_some(source, 1), str(out), Here(stand_in(), "score", BATCH), ASKED)
    return {"here_rows": done.done, "here_cpu_ms_per_row": 1000 * (time.process_time() - begun) / done.done}


def _counted(source: Files, out: Path, tick: Callable[[int], None]) -> dict[str, Any]:
    """Throughput, CPU time a row, and how the driver's memory grows over all rows."""
    from judge.batch.ray_workers import Fleet

    this, seen = psutil.Process(), list[tuple[int, int]]()

    def told(tally: Tally) -> None:
        seen.append((tally.done, this.memory_info().rss))
        tick(tally.done)

    fleet = Fleet(stand_in, "score", BATCH, workers=2, cpus=0.5)
    score(_some(source, 2), str(out / "warm"), fleet, ASKED)
    cpu, begun = _cpu(), time.monotonic()
    done = score(source, str(out / "all"), fleet, ASKED, tick=told)
    seconds, spent = time.monotonic() - begun, _cpu() - cpu
    early = next(size for count, size in seen if count >= done.done * 0.02)
    return {
        "rows": done.done,
        "recorded_once": sum(1 for _ in Recorded(str(out / "all")).in_order()) == done.done,
        "rows_per_second": done.done / seconds,
        "cpu_ms_per_row": 1000 * spent / done.done,
        "driver_mb": max(size for _, size in seen) / MIB,
        "driver_growth_mb": (max(size for _, size in seen) - early) / MIB,
    }


def _rate(source: Files, make: Callable[[], Judge], folder: Path, workers: int) -> float:
    """Rows a second of so many workers, between their first answer and their last."""
    from judge.batch.ray_workers import Fleet

    out, heard = folder / f"rate-{time.monotonic_ns()}", list[tuple[float, int]]()
    fleet = Fleet(make, "score", FEW, workers=workers, cpus=0.5)
    asked = {"batch": FEW, "shard": [1, 1]}
    score(source, str(out), fleet, asked, tick=lambda t: heard.append((time.monotonic(), t.done)))
    # Loading is left out, and with it the first units, by whose end all workers are at work.
    (start, before), (end, done) = heard[2 * workers], heard[-1]
    return (done - before) / (end - start)


def _some(source: Files, pieces: int) -> Files:
    return replace(source, pieces=source.pieces[:pieces], sizes=source.sizes[:pieces])


def _rows(folder: Path, count: int) -> Files:
    """Rows on three pictures, in `PIECES` files."""
    folder.mkdir(parents=True)
    for n in range(3):
        Image.effect_noise(PICTURE, 40 * n).convert("RGB").save(folder / f"{n}.png")
    for piece in range(PIECES):
        numbers = range(piece, count, PIECES)
        lines = (json.dumps({"id": f"row-{n}", "image": f"{n % 3}.png"}) for n in numbers)
        (folder / f"{piece:02}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return files(str(folder / "*.jsonl"))


def drawn_scenes(folder: Path, count: int) -> Files:
    """Rows of drawn scenes."""
    from judge.scenes.dataset import write

    for _ in write(folder, count, seed=3):
        pass
    return files(str(folder / "rows.jsonl"))


def _cpu() -> float:
    """CPU seconds of this process and all below it, those that have ended included."""
    total = 0.0
    for process in (this := psutil.Process()), *this.children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
