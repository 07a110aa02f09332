"""A student beside its teacher: how well each ranks pictures that neither has learnt from, and in what time.

Photographs are the held-out quarter of LIVE in the Wild with their mean opinions, read from the files they
come in; scenes are drawn, ranked by the structure they were drawn with, and lie in PNG files. Both judges
answer at depth `score`, under the student's rubric, on everything in turn; times are medians over rounds and
hold reading, decoding and reducing.
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

from eval.bench.accuracy.photos import opinions
from eval.metrics.agreement import srcc
from judge.types import LabelledSample

Truth = list[tuple[str, float]]
"""Picture files, and how good each is."""


def run(
    judges: dict[str, Any],
    data: Path,
    count: int,
    seed: int,
    *,
    rounds: int,
    batch: int,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure both on both.

    Args:
        judges: `student` and `teacher`, both `judge.Judge`s.
        data: folder with `clive_train` (LIVE in the Wild).
        count: scenes.
        seed: of the scenes.
        rounds: how often both are asked about everything.
        batch: pictures judged at once.
        tick: called after each judge has been through one set.

    Returns:
        For each set: `pictures`, `NAME_srcc` and `NAME_ms` a picture of either judge, and `times`, the median
        over rounds of the teacher's time to the student's.

    Raises:
        InputError: the data set is not there.
    """
    _, photographs = opinions(data)
    found: dict[str, Any] = {"rounds": rounds, "batch": batch, "interval_95": {}}
    with _scenes(count, seed) as scenes:
        for name, truth in (("photographs", photographs), ("scenes", scenes)):
            told, intervals = _compared(judges, truth, rounds, batch, tick)
            found[name] = told
            found["interval_95"] |= {f"{name}.{what}": interval for what, interval in intervals.items()}
    return found


def _compared(
    judges: dict[str, Any], truth: Truth, rounds: int, batch: int, tick: Callable[[], None]
) -> tuple[dict[str, Any], dict[str, list[float | None]]]:
    asked = [{"image": path} for path, _ in truth]
    told: dict[str, Any] = {"pictures": len(asked)}
    intervals: dict[str, list[float | None]] = {}
    for name, judge in judges.items():  # the first visit loads the model, and is not timed
        scores = [verdict.score for verdict in judge.many(asked, depth="score", batch=batch)]
        predicted = np.array([np.nan if score is None else score for score in scores])
        measure = srcc(predicted, np.array([good for _, good in truth]), interval=True)
        told[f"{name}_srcc"] = measure.value
        if measure.interval:
            intervals[f"{name}_srcc"] = [measure.interval.low, measure.interval.high]
        tick()
    took: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(rounds):
        for name, judge in judges.items():
            begun = time.perf_counter()
            list(judge.many(asked, depth="score", batch=batch))
            took[name].append(1000 * (time.perf_counter() - begun) / len(asked))
            tick()
    told |= {f"{name}_ms": median(times) for name, times in took.items()}
    told["times"] = median(slow / quick for slow, quick in zip(took["teacher"], took["student"], strict=True))
    return told, intervals


@contextmanager
def _scenes(count: int, seed: int) -> Iterator[Truth]:
    from judge.scenes import write

    with TemporaryDirectory() as folder:
        for _ in write(Path(folder), count, seed):
            pass
        lines = (Path(folder) / "rows.jsonl").read_text("utf-8").splitlines()
        rows = [LabelledSample.model_validate_json(line) for line in lines]
        yield [(f"{folder}/{row.image}", row.labels.dimensions["structure"]) for row in rows]
