"""Measure the cost of rows in bulk without the model, and the gain of a second worker.

A stand-in for a model answers at once, or after a pause. What remains is the cost of reading, checking,
decoding, Ray and recording. CPU time is that of this process and all its child processes, including Ray and
the workers. Memory is that of this process, the driver.
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
from judge.backends.student import render_best_labels
from judge.batch.file_source import FileSource, open_source
from judge.batch.reader import ResultsReader
from judge.batch.scoring import BatchProgress, LocalWorker, score_rows
from judge.errors import ReplyError
from judge.judge import Judge
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice
from judge.rubrics.rubric import Rubric

BATCH = 32
SMALL_BATCH = 8
"""Batch size for runs with few rows, so that there are many chunks to distribute."""
PIECES = 16
"""Number of files that the rows are written to."""
IMAGE_SIZE = (96, 64)
RUBRIC = Rubric.load("aesthetics")
"""A rubric without measured facts and without elements."""
SETTINGS: dict[str, Any] = {"batch": BATCH, "shard": [1, 1]}
MIB = 1 << 20
"""Bytes of a mebibyte."""


class StandInBackend:
    """A backend without a model: it gives all labels of a choice the same probability.

    Args:
        pause: seconds per request before the answer.
    """

    name = model = "stand-in"
    version = revision = domain = ""
    adapter: str | None = None
    brief = True
    size: int | None = None

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self._replies: dict[Form, Reply] = {}

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        time.sleep(self.pause * len(requests))
        return [self._fill(request.form) for request in requests]

    complete = choose

    def _fill(self, form: Form) -> Reply:
        if form not in self._replies:
            probabilities = {
                part.name: {label: 1 / len(part.labels) for label in part.labels}
                for part in form.parts
                if isinstance(part, Choice)
            }
            self._replies[form] = Reply(render_best_labels(form, probabilities), probabilities)
        return self._replies[form]


def create_stand_in_judge(pause: float = 0.0) -> Judge:
    """Create a judge on a `StandInBackend`."""
    return Judge(backend=StandInBackend(pause), rubric=RUBRIC)


def create_embedded_judge(rubric: str) -> Judge:
    """Create the embedded judge on one thread."""
    import torch

    torch.set_num_threads(1)
    return Judge(rubric=rubric, out_of_domain="score")


def measure_scale(
    folder: Path, rows: int, paused: int, scenes: int, tick: Callable[[int], None]
) -> dict[str, Any]:
    """Measure rows in bulk.

    Args:
        folder: folder for rows and verdicts.
        rows: number of rows for the stand-in, on two workers.
        paused: number of rows for the stand-in that takes 5 ms a row, on one worker and on two.
        scenes: number of scenes for the embedded judge at depth `score`, on one worker with one thread and
        on two.
        tick: called with the number of rows that are done.
    """
    from judge.runtime.ray_cluster import connect_to_ray

    source = _write_rows(folder / "rows", rows)
    one_process = _measure_one_process(source, folder / "here")
    with connect_to_ray("local"):
        on_ray = _measure_ray(source, folder / "apart", tick)
        paused_rows = _write_rows(folder / "few", paused)
        scene_rows = write_scene_rows(folder / "scenes", scenes)
        create_paused, create_embedded = (
            partial(create_stand_in_judge, 0.005),
            partial(create_embedded_judge, "default"),
        )
        rates = {
            "paused": [_measure_rate(paused_rows, create_paused, folder, n) for n in (1, 2)],
            "scenes": [_measure_rate(scene_rows, create_embedded, folder, n) for n in (1, 2)],
        }
    return {
        **one_process,
        **on_ray,
        **{f"{name}_per_second": rate for name, rate in rates.items()},
        **{f"{name}_two_over_one": two / one for name, (one, two) in rates.items()},
        "paused": paused,
        "scenes": scenes,
        "cpus": os.cpu_count(),
    }


def _measure_one_process(source: FileSource, out: Path) -> dict[str, float]:
    """Measure the CPU time per row of one piece in one process."""
    start = time.process_time()
    worker = LocalWorker(create_stand_in_judge(), "score", BATCH)
    rows = score_rows(_first_pieces(source, 1), str(out), worker, SETTINGS).done
    return {"here_rows": rows, "here_cpu_ms_per_row": 1000 * (time.process_time() - start) / rows}


def _measure_ray(source: FileSource, out: Path, tick: Callable[[int], None]) -> dict[str, Any]:
    """Measure the throughput, the CPU time per row, and the growth of the driver's memory."""
    from judge.batch.ray_workers import RayWorkers

    driver, memory = psutil.Process(), list[tuple[int, int]]()

    def record_memory(progress: BatchProgress) -> None:
        memory.append((progress.done, driver.memory_info().rss))
        tick(progress.done)

    workers = RayWorkers(create_stand_in_judge, "score", BATCH, workers=2, cpus=0.5)
    score_rows(_first_pieces(source, 2), str(out / "warm"), workers, SETTINGS)
    cpu_start, start = _cpu_seconds(), time.monotonic()
    rows = score_rows(source, str(out / "all"), workers, SETTINGS, tick=record_memory).done
    seconds, cpu = time.monotonic() - start, _cpu_seconds() - cpu_start
    early = next(size for count, size in memory if count >= rows * 0.02)
    return {
        "rows": rows,
        "recorded_once": sum(1 for _ in ResultsReader(str(out / "all")).lines()) == rows,
        "rows_per_second": rows / seconds,
        "cpu_ms_per_row": 1000 * cpu / rows,
        "driver_mb": max(size for _, size in memory) / MIB,
        "driver_growth_mb": (max(size for _, size in memory) - early) / MIB,
    }


def _measure_rate(source: FileSource, create_judge: Callable[[], Judge], folder: Path, workers: int) -> float:
    """Return the rows per second of some workers, between their first and their last answers."""
    from judge.batch.ray_workers import RayWorkers

    out, history = folder / f"rate-{time.monotonic_ns()}", list[tuple[float, int]]()
    ray_workers = RayWorkers(create_judge, "score", SMALL_BATCH, workers=workers, cpus=0.5)
    settings = {"batch": SMALL_BATCH, "shard": [1, 1]}
    score_rows(
        source,
        str(out),
        ray_workers,
        settings,
        tick=lambda progress: history.append((time.monotonic(), progress.done)),
    )
    # The time to load the model is left out, with the first chunks: after them all workers are running.
    (start, done_at_start), (end, done) = history[2 * workers], history[-1]
    return (done - done_at_start) / (end - start)


def _first_pieces(source: FileSource, pieces: int) -> FileSource:
    return replace(source, pieces=source.pieces[:pieces], sizes=source.sizes[:pieces])


def _write_rows(folder: Path, count: int) -> FileSource:
    """Write rows with three images to `PIECES` files."""
    folder.mkdir(parents=True)
    for n in range(3):
        Image.effect_noise(IMAGE_SIZE, 40 * n).convert("RGB").save(folder / f"{n}.png")
    for piece in range(PIECES):
        numbers = range(piece, count, PIECES)
        lines = (json.dumps({"id": f"row-{n}", "image": f"{n % 3}.png"}) for n in numbers)
        (folder / f"{piece:02}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return open_source(str(folder / "*.jsonl"))


def write_scene_rows(folder: Path, count: int) -> FileSource:
    """Write drawn scenes to a folder and return them as rows."""
    from judge.scenes.dataset import write_scenes

    for _ in write_scenes(folder, count, seed=3):
        pass
    return open_source(str(folder / "rows.jsonl"))


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and all its descendants, including ended ones."""
    total = 0.0
    root = psutil.Process()
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
