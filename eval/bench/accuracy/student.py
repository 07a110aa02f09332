"""Compare a student with its teacher: rank correlation on images that neither was trained on, and time.

The photographs are the held-out quarter of LIVE in the Wild with their mean opinions, read from their
original files. The scenes are drawn, written to PNG files, and ranked by the structure score they were
drawn with. Both judges answer at depth `score` with the student's rubric, one after the other on each set.
Times are medians over rounds and include reading, decoding and resizing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eval.bench.accuracy.photos import read_opinions
from eval.metrics.correlation import srcc
from finetune.photos.estimators import opinions_without_held_out
from judge.types import LabelledSample

RatedFiles = list[tuple[str, float]]
"""Image files with their true scores."""


def measure_student(
    judges: dict[str, Any],
    data: Path,
    count: int,
    seed: int,
    *,
    rounds: int,
    batch: int,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure both judges on photographs and on scenes.

    Args:
        judges: the `judge.Judge` objects `student` and `teacher`.
        data: folder with `clive_train` (LIVE in the Wild).
        count: number of scenes.
        seed: seed of the scenes.
        rounds: how often both judges are timed.
        batch: number of images that are judged together.
        tick: called after each judge has judged one set.

    Returns:
        For each set: the number of `pictures`, `NAME_srcc` and `NAME_ms` (milliseconds per image) of each
        judge, and `times`, the median over rounds of the teacher's time divided by the student's time.

    Raises:
        InputError: the data set is missing.
    """
    _, photographs = read_opinions(data)
    result: dict[str, Any] = {"rounds": rounds, "batch": batch, "interval_95": {}}
    with _write_scenes(count, seed) as scenes:
        for name, files in (("photographs", photographs), ("scenes", scenes)):
            result[name], intervals = _compare_judges(judges, files, rounds, batch, tick)
            result["interval_95"] |= {f"{name}.{key}": interval for key, interval in intervals.items()}
    return result


def _compare_judges(
    judges: dict[str, Any], files: RatedFiles, rounds: int, batch: int, tick: Callable[[], None]
) -> tuple[dict[str, Any], dict[str, list[float | None]]]:
    samples = [{"image": path} for path, _ in files]
    result: dict[str, Any] = {"pictures": len(samples)}
    intervals: dict[str, list[float | None]] = {}
    for name, judge in judges.items():  # the first call loads the model and is not timed
        with opinions_without_held_out():
            scores = [verdict.score for verdict in judge.many(samples, depth="score", batch=batch)]
        predicted = np.array([np.nan if score is None else score for score in scores])
        measure = srcc(predicted, np.array([true_score for _, true_score in files]), interval=True)
        result[f"{name}_srcc"] = measure.value
        if measure.interval:
            intervals[f"{name}_srcc"] = [measure.interval.low, measure.interval.high]
        tick()
    times: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(rounds):
        for name, judge in judges.items():
            start = time.perf_counter()
            list(judge.many(samples, depth="score", batch=batch))
            times[name].append(1000 * (time.perf_counter() - start) / len(samples))
            tick()
    result |= {f"{name}_ms": median(milliseconds) for name, milliseconds in times.items()}
    result["times"] = median(
        teacher / student for teacher, student in zip(times["teacher"], times["student"], strict=True)
    )
    return result, intervals


@contextmanager
def _write_scenes(count: int, seed: int) -> Iterator[RatedFiles]:
    """Write scenes to a temporary folder and yield their files with their structure scores."""
    from judge.scenes import write_scenes

    with TemporaryDirectory() as folder:
        for _ in write_scenes(Path(folder), count, seed):
            pass
        lines = (Path(folder) / "rows.jsonl").read_text("utf-8").splitlines()
        rows = [LabelledSample.model_validate_json(line) for line in lines]
        yield [(f"{folder}/{row.image}", row.labels.dimensions["structure"]) for row in rows]
