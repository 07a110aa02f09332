"""Q-Eval-Image: the images of Q-Eval-100K, AI-generated, with human scores of quality and alignment.

Source: https://github.com/zzc-1998/Q-Eval

Labels: the layout of the published label file could not be verified. Accepted are a JSON list of objects like
those of the video track (`{"image" or "image_path", "prompt", "gt_score"}`, optionally `mos_quality` and
`mos_align`), and a CSV with the columns `name,prompt,mos_quality,mos_align`. Where both scores exist, quality
is the main one.

Predictions: a JSON list of `{"image", "predict_score"}`, or lines `name,score`.

Numbers: the paper reports SRCC and PLCC of single images. There is no official single number. A run is
compared with both scores: its overall score with quality, its dimension `alignment` with alignment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.suites.readers.prediction_files import read_score_lines, read_score_objects
from eval.suites.readers.text_files import parse_number, read_csv_table, read_json
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from judge.errors import InputError

_NAME_KEYS = ("image", "image_path", "img_path", "name")
_SCORE_KEYS = {"quality": ("mos_quality", "quality", "gt_score"), "alignment": ("mos_align", "alignment")}


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file, JSON or CSV."""
    if path.suffix.lower() == ".csv":
        rows: Any = [row for _, row in read_csv_table(path, ["name", "prompt"], "truth")]
    else:
        rows = read_json(path, ".json", field="truth")
    if not isinstance(rows, list):
        expected = "a list of {image, prompt, gt_score}"
        raise InputError(path.name, type(rows).__name__, expected, "write the file in this layout")
    for number, row in enumerate(rows, 1):
        yield _build_sample(row, f"{path.name} row {number}")


def _build_sample(row: Any, place: str) -> SuiteSample:
    name = None
    if isinstance(row, Mapping):
        name = next((row[key] for key in _NAME_KEYS if row.get(key)), None)
    if not isinstance(name, str):
        raise InputError(place, row, f"an object with one of {', '.join(_NAME_KEYS)}", "fix the row")
    scores = {
        dimension: parse_number(row[key], place, key)
        for dimension, keys in _SCORE_KEYS.items()
        if (key := next((k for k in keys if row.get(k) not in (None, "")), None)) is not None
    }
    labels = GroundTruth(mos=scores.get("quality", scores.get("alignment")), mos_by_dimension=scores)
    return SuiteSample(id=name, image=name, prompt=str(row.get("prompt") or ""), labels=labels)


def read_predictions(path: Path) -> dict[str, float]:
    """Read a JSON list of `{image, predict_score}`, or lines."""
    if path.suffix.lower() in (".json", ".zip"):
        return read_score_objects(path, "image", "predict_score")
    return read_score_lines(path)


SUITE = build_mos_suite(
    name="qeval-image",
    title="Q-Eval-Image (images of Q-Eval-100K)",
    source="https://github.com/zzc-1998/Q-Eval",
    read_labels=read_labels,
    label_files={
        "train": ("train.json", "train.csv"),
        "val": ("val.json", "val.csv", "eval.json"),
        "test": ("test.json", "test.csv", "eval.json"),
    },
    default_split="test",
    read_predictions=read_predictions,
    protocol=MosProtocol(weights={}),
    extra_dimensions={"quality": "", "alignment": "alignment"},
)
