"""Pick-a-Pic: choices of users between two generated images.

Data: parquet files as on Hugging Face (`test_unique-*.parquet`, `validation_unique-*.parquet`, `train-*`),
with `jpg_0, jpg_1` (the encoded images), `image_0_uid, image_1_uid, caption, label_0` (1, 0, or 0.5 for a
tie) and, where present, `model_0, model_1` and `has_label`. Predictions: `{uid: score}` or lines `uid,score`,
against the folder of parquet files (one file is enough). A pair counts 1 where the preferred image scores
higher, 1/2 where exactly one side ties, else 0; accuracy is the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from eval.suites import base, opinions, preferences
from eval.suites.base import Item
from eval.suites.preferences import Pictures, points, preference_suite
from eval.suites.readers.parquet import rows
from judge.errors import InputError

SOURCE = "https://huggingface.co/datasets/yuvalkirstain/pickapic_v1"
SPLITS = ("test_unique", "validation_unique", "train", "test", "validation")
COLUMNS = ("image_0_uid", "image_1_uid", "caption", "label_0")


def parts(data: Path, split: str | None) -> list[Path]:
    """The parquet files of a split."""
    if data.is_file():
        return [data]
    part = opinions.checked_split(split, SPLITS, "test_unique")
    found = sorted(p for p in data.rglob(f"{part}-*.parquet") if p.is_file())
    if not found and split is None:
        found = sorted(data.rglob("*.parquet"))
    if not found:
        raise base.missing("parquet files", [f"{part}-*.parquet"], 1, data, SOURCE)
    return found


def labels(data: Path, split: str | None = None) -> Iterator[Item]:
    """The images of a split, without their pixels."""
    pictures = Pictures()
    for path in parts(data, split):
        for at, row in enumerate(rows(path, COLUMNS, optional=("model_0", "model_1", "has_label"))):
            if row.get("has_label") is False:
                continue
            label = row["label_0"]
            if label not in (0, 0.5, 1):
                raise InputError(
                    f"{path.name} row {at + 1}: label_0", label, "1, 0.5 or 0", "take the set's file"
                )
            for side, place in (("0", 2.0 - label), ("1", 1.0 + label)):
                pictures.place(
                    f"{path.name}#{at}",
                    str(row[f"image_{side}_uid"]),
                    str(row["caption"]),
                    place,
                    generator=str(row.get(f"model_{side}") or ""),
                    group=str(row["caption"]),
                )
    yield from pictures.items()


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
    """The images of a split, each with its encoded bytes."""
    if not data.exists():
        raise InputError("data", str(data), "a folder of parquet files", f"get the set at {SOURCE}")
    if not media:
        yield from labels(data, split)
        return
    waiting = {(str(item.image), item.prompt): item for item in labels(data, split)}
    for path in parts(data, split):
        for row in rows(path, (*COLUMNS, "jpg_0", "jpg_1")):
            for side in ("0", "1"):
                item = waiting.pop((str(row[f"image_{side}_uid"]), str(row["caption"])), None)
                if item is not None:
                    yield item.model_copy(update={"image": _bytes(row[f"jpg_{side}"], item.id)})


def _bytes(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise InputError(f"image {name}", type(value).__name__, "an encoded image", "get the file again")
    return value


SUITE = preference_suite(
    name="pick-a-pic",
    title="Pick-a-Pic (choices of users between generated images)",
    source=SOURCE,
    labels=labels,
    files={split: () for split in SPLITS},
    default="test_unique",
    rule=points,
    read=read,
    score=partial(preferences.scored, labels=labels, rule=points),
)
