"""Measure how long it takes to read label files and to score predictions, with generated files.

Reading: a list of 23,820 rows in the format of Q-Eval-Video (the largest training list of the field); each
row becomes a validated labelled sample. Scoring: 100,000 predictions and as many labels in the format of
THQA-NTIRE; the files are read, joined by name, fitted and correlated, and each number gets its bootstrap
interval.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from eval.suites import load_suite

ROWS = 23_820
PREDICTIONS = 100_000


def measure_suites(seed: int = 0, rows: int = ROWS, predictions: int = PREDICTIONS) -> dict[str, Any]:
    """Measure the seconds of both, wall clock and processor time.

    Args:
        seed: seed of the generated numbers.
        rows: number of rows of the label file.
        predictions: number of predictions.
    """
    load_suite("qeval-video"), load_suite("thqa")  # import their modules before the time starts
    import scipy.stats  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        labels = _write_label_list(Path(folder) / "train.json", rows, seed)
        read, read_cpu = _time(lambda: sum(1 for _ in load_suite("qeval-video").read(labels, media=False)))
        pred, truth = _write_predictions(Path(folder), predictions, seed)
        scoring = load_suite("thqa").score_files
        assert scoring is not None
        score, score_cpu = _time(lambda: scoring(pred, truth))
    return {
        "read_seconds": read,
        "read_processor_seconds": read_cpu,
        "read_rows": rows,
        "score_seconds": score,
        "score_processor_seconds": score_cpu,
        "score_predictions": predictions,
    }


def _time(call: Any) -> tuple[float, float]:
    """Return the wall clock and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def _write_label_list(path: Path, rows: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    scores = random.uniform(0, 100, rows).round(4).tolist()
    words = "a red fox runs through deep snow towards a lake at dusk, cinematic".split()
    entries = [
        {
            "video": f"model{number % 11}/{number:06d}.mp4",
            "prompt": " ".join(words[: 3 + number % 10]),
            "gt_score": score,
        }
        for number, score in enumerate(scores)
    ]
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def _write_predictions(folder: Path, count: int, seed: int) -> tuple[Path, Path]:
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 5, count)
    predicted = truth + random.normal(0, 1, count)
    names = [f"{number:06d}.mp4" for number in range(count)]
    pred, labels = folder / "output.txt", folder / "labels.csv"
    pred.write_text(
        "".join(f"{n},{x:.5f}\n" for n, x in zip(names, predicted, strict=True)), encoding="utf-8"
    )
    rows = "".join(f"{n},{y:.3f}\n" for n, y in zip(names, truth, strict=True))
    labels.write_text("Video,Score\n" + rows, encoding="utf-8")
    return pred, labels
