"""Pick-a-Pic: choices of users between two generated images.

Source: https://huggingface.co/datasets/yuvalkirstain/pickapic_v1

Labels: Parquet files as on Hugging Face (`test_unique-*.parquet`, `validation_unique-*.parquet`, `train-*`),
with `jpg_0, jpg_1` (the encoded images), `image_0_uid, image_1_uid, caption, label_0` (1, 0, or 0.5 for a
tie) and, where they exist, `model_0, model_1` and `has_label`.

Predictions: `{uid: score}` or lines `uid,score`, against the folder of Parquet files (one file is enough).
For the official number they hold the scores of `validation_unique` as well, and its files lie beside those of
`test_unique`.

Numbers: the two scores of a pair become probabilities by softmax, and the judge ties a pair when these differ
by at most a threshold. A pair gives 1 point where the judge says what people say, 1/2 where exactly one side
ties, and else 0. `accuracy` is the mean, and `tie_threshold` the threshold: of 0, .1, .. 1 the one that is
best on `validation_unique` (the smallest of equals), as in `eval_preference_predictor.py` of
https://github.com/yuvalkirstain/PickScore. `accuracy_without_threshold` is the mean at threshold 0.

What differs: without the scores of `validation_unique`, and in the report of a run, which judges one split,
the threshold is 0 and a note says so. The softmax depends on the scale of the scores (PickScore's are
logits); scores 1 to 5 are taken as they are. Probabilities are computed in double precision, there in single.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.metric_value import MetricValue
from eval.metrics.pairwise.pair_accuracy import preference_accuracy
from eval.suites.readers.parquet import read_parquet_rows
from eval.suites.shared.preference_benchmark import (
    Comparisons,
    ComparisonTable,
    build_preference_suite,
    collect_comparisons,
    read_scores_by_name,
    score_preference_files,
)
from eval.suites.shared.reading import build_missing_files_error, check_split
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.scoring import add_note
from eval.suites.shared.suite import Metrics
from judge.errors import InputError

SOURCE = "https://huggingface.co/datasets/yuvalkirstain/pickapic_v1"
SPLITS = ("test_unique", "validation_unique", "train", "test", "validation")
VALIDATION = "validation_unique"
"""Split on which the tie threshold is chosen."""
THRESHOLDS = tuple(step / 10 for step in range(11))
"""Thresholds that the authors' script tries."""
COLUMNS = ("image_0_uid", "image_1_uid", "caption", "label_0")


def list_parquet_files(data: Path, split: str | None) -> list[Path]:
    """Return the Parquet files of a split; without a split and files of the default one, all files.

    Raises:
        InputError: there are none, or the split is unknown.
    """
    if data.is_file():
        return [data]
    name = check_split(split, SPLITS, "test_unique")
    files = sorted(path for path in data.rglob(f"{name}-*.parquet") if path.is_file())
    if not files and split is None:
        files = sorted(data.rglob("*.parquet"))
    if not files:
        raise build_missing_files_error("parquet files", [f"{name}-*.parquet"], 1, data, SOURCE)
    return files


def read_labels(data: Path, split: str | None = None) -> Iterator[SuiteSample]:
    """Read the images of a split, without their pixels."""
    table = ComparisonTable()
    for path in list_parquet_files(data, split):
        rows = read_parquet_rows(path, COLUMNS, optional=("model_0", "model_1", "has_label"))
        for number, row in enumerate(rows):
            if row.get("has_label") is False:
                continue
            label = row["label_0"]
            if label not in (0, 0.5, 1):
                place = f"{path.name} row {number + 1}: label_0"
                raise InputError(place, label, "1, 0.5 or 0", "take the set's file")
            for side, rank in (("0", 2.0 - label), ("1", 1.0 + label)):
                table.add_rank(
                    f"{path.name}#{number}",
                    str(row[f"image_{side}_uid"]),
                    str(row["caption"]),
                    rank,
                    generator=str(row.get(f"model_{side}") or ""),
                    group=str(row["caption"]),
                )
    yield from table.samples()


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read the images of a split, each with its encoded bytes.

    Raises:
        InputError: `data` does not exist, or a file cannot be read.
    """
    if not data.exists():
        raise InputError("data", str(data), "a folder of parquet files", f"get the set at {SOURCE}")
    if not media:
        yield from read_labels(data, split)
        return
    pending = {(str(sample.image), sample.prompt): sample for sample in read_labels(data, split)}
    for path in list_parquet_files(data, split):
        for row in read_parquet_rows(path, (*COLUMNS, "jpg_0", "jpg_1")):
            for side in ("0", "1"):
                sample = pending.pop((str(row[f"image_{side}_uid"]), str(row["caption"])), None)
                if sample is not None:
                    image = _check_encoded(row[f"jpg_{side}"], sample.id)
                    yield sample.model_copy(update={"image": image})


def _check_encoded(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise InputError(f"image {name}", type(value).__name__, "an encoded image", "get the file again")
    return value


# ---------------------------------------------------------------------------------------------- metrics


def threshold_points(comparisons: Comparisons, validation: Comparisons | None = None) -> Metrics:
    """Compute the mean points over pairs, at the tie threshold that is best on the validation pairs.

    Args:
        comparisons: pairs of the split.
        validation: pairs of `validation_unique`; without them the threshold is 0.
    """
    at_zero = _compute_accuracy(comparisons, 0.0)
    if not validation:
        accuracy = add_note(at_zero, f"tie threshold 0: no scores of {VALIDATION} to choose it on")
        return {"accuracy": accuracy, "accuracy_without_threshold": at_zero}
    points = [_compute_accuracy(validation, threshold).value or 0.0 for threshold in THRESHOLDS]
    threshold = THRESHOLDS[int(np.argmax(points))]
    note = f"the best of 0, 0.1, .. 1 on the pairs of {VALIDATION}, with accuracy {max(points):.4f} there"
    return {
        "accuracy": _compute_accuracy(comparisons, threshold),
        "accuracy_without_threshold": at_zero,
        "tie_threshold": MetricValue(threshold, note, len(validation)),
    }


def _compute_accuracy(comparisons: Comparisons, threshold: float) -> MetricValue:
    """Compute the mean points over pairs at a tie threshold on the difference of probabilities, 0..1."""
    pairs = [images for images in comparisons.values() if len(images) == 2]
    label = [0.5 if a[1] == b[1] else float(a[1] < b[1]) for a, b in pairs]
    differences = [_subtract_probabilities(a[0], b[0]) for a, b in pairs]
    # Of a pair only the sign of its difference matters, and a tie is a difference of 0.
    first = [None if d is None else 0.0 if abs(d) <= threshold else d for d in differences]
    second = [None if d is None else 0.0 for d in differences]
    return preference_accuracy(first, second, label, interval=True)


def _subtract_probabilities(a: float | None, b: float | None) -> float | None:
    """Return p(a) - p(b) of the softmax over two scores; None where one is missing."""
    if a is None or b is None:
        return None
    weights = np.exp(np.array([a, b]) - max(a, b))
    first, second = weights / weights.sum()
    return float(first - second)


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official number of scores by uid.

    The tie threshold is chosen where `truth` is a folder with files of `validation_unique` and the
    predictions have scores of all its images.

    Raises:
        InputError: a file cannot be read, or scores are missing.
    """
    validation: Comparisons | None = None
    others: list[str] = []
    note, folder = "", truth if truth.is_dir() else truth.parent
    scored = [path.name for path in list_parquet_files(truth, None)]
    if any(folder.rglob(f"{VALIDATION}-*.parquet")) and not any(n.startswith(VALIDATION) for n in scored):
        samples = list(read_labels(folder, VALIDATION))
        others = [str(sample.image) for sample in samples]
        validation, absent = collect_comparisons(read_scores_by_name(pred), samples)
        if absent:
            note = f"the scores of {len(absent)} of {len(samples)} images of {VALIDATION} are missing"
            validation = None
    rule = partial(threshold_points, validation=validation)
    metrics = score_preference_files(pred, truth, read_labels=read_labels, rule=rule, others=others)
    metrics["accuracy"] = add_note(metrics["accuracy"], note)
    return metrics


SUITE = build_preference_suite(
    name="pick-a-pic",
    title="Pick-a-Pic (choices of users between generated images)",
    source=SOURCE,
    read_labels=read_labels,
    label_files={split: () for split in SPLITS},
    default_split="test_unique",
    rule=threshold_points,
    read=read,
    score_files=score_files,
)
