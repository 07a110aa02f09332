"""Pick-a-Pic: choices of users between two generated images.

Source: https://huggingface.co/datasets/yuvalkirstain/pickapic_v1

Labels: Parquet files as on Hugging Face (`test_unique-*.parquet`, `validation_unique-*.parquet`, `train-*`),
with `jpg_0, jpg_1` (the encoded images), `image_0_uid, image_1_uid, caption, label_0` (1, 0, or 0.5 for a
tie) and, where they exist, `model_0, model_1` and `has_label`.

Predictions: `{uid: score}` or lines `uid,score`, against the folder of Parquet files (one file is enough).

Numbers: accuracy is the mean over pairs of 1 where the preferred image scores higher, 1/2 where exactly one
side ties, and else 0; see `eval.metrics.pairwise.pair_accuracy.preference_accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from eval.suites.readers.parquet import read_parquet_rows
from eval.suites.shared.preference_benchmark import (
    ComparisonTable,
    build_preference_suite,
    preference_points,
    score_preference_files,
)
from eval.suites.shared.reading import build_missing_files_error, check_split
from eval.suites.shared.samples import SuiteSample
from judge.errors import InputError

SOURCE = "https://huggingface.co/datasets/yuvalkirstain/pickapic_v1"
SPLITS = ("test_unique", "validation_unique", "train", "test", "validation")
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


SUITE = build_preference_suite(
    name="pick-a-pic",
    title="Pick-a-Pic (choices of users between generated images)",
    source=SOURCE,
    read_labels=read_labels,
    label_files={split: () for split in SPLITS},
    default_split="test_unique",
    rule=preference_points,
    read=read,
    score_files=partial(score_preference_files, read_labels=read_labels, rule=preference_points),
)
