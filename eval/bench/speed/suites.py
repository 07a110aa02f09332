"""How long label files take to read and predictions to score, on files made up for it in a temporary folder.

Reading: a list of 23,820 rows in the layout of Q-Eval-Video (the largest training list of the field), every
row checked into a labelled sample. Scoring: 100,000 predictions against as many labels in the layout of
THQA-NTIRE, the files read, joined by name, fitted and correlated, each number with its bootstrap interval.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from eval.suites import suite

ROWS = 23_820
PREDICTIONS = 100_000


def run(seed: int = 0, rows: int = ROWS, predictions: int = PREDICTIONS) -> dict[str, Any]:
    """Seconds of both, wall clock and processor.

    Args:
        seed: of the numbers made up.
        rows: of the label file that is read.
        predictions: that are scored.
    """
    suite("qeval-video"), suite("thqa")  # their modules are not what is timed
    import scipy.stats  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        labels = _label_list(Path(folder) / "train.json", rows, seed)
        read, read_cpu = _timed(lambda: sum(1 for _ in suite("qeval-video").read(labels, media=False)))
        pred, truth = _lines(Path(folder), predictions, seed)
        scoring = suite("thqa").score
        assert scoring is not None
        score, score_cpu = _timed(lambda: scoring(pred, truth))
    return {
        "read_seconds": read,
        "read_processor_seconds": read_cpu,
        "read_rows": rows,
        "score_seconds": score,
        "score_processor_seconds": score_cpu,
        "score_predictions": predictions,
    }


def _timed(work: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _label_list(path: Path, rows: int, seed: int) -> Path:
    chance = np.random.default_rng(seed)
    scores = chance.uniform(0, 100, rows).round(4).tolist()
    words = "a red fox runs through deep snow towards a lake at dusk, cinematic".split()
    made = [
        {"video": f"model{at % 11}/{at:06d}.mp4", "prompt": " ".join(words[: 3 + at % 10]), "gt_score": score}
        for at, score in enumerate(scores)
    ]
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def _lines(folder: Path, count: int, seed: int) -> tuple[Path, Path]:
    chance = np.random.default_rng(seed)
    truth = chance.uniform(0, 5, count)
    given = truth + chance.normal(0, 1, count)
    names = [f"{at:06d}.mp4" for at in range(count)]
    pred, labels = folder / "output.txt", folder / "labels.csv"
    pred.write_text("".join(f"{n},{x:.5f}\n" for n, x in zip(names, given, strict=True)), encoding="utf-8")
    rows = "".join(f"{n},{y:.3f}\n" for n, y in zip(names, truth, strict=True))
    labels.write_text("Video,Score\n" + rows, encoding="utf-8")
    return pred, labels
