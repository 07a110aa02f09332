"""Q-Eval-Image: the images of Q-Eval-100K.

The layout of the published label file could not be verified. Accepted are a JSON list of objects like those
of the video track (`{"image" or "image_path", "prompt", "gt_score"}`, optionally `mos_quality` and
`mos_align`), and a CSV with the columns `name,prompt,mos_quality,mos_align`. Where both scores are given,
quality is the main one. Predictions: a JSON list of `{"image", "predict_score"}` or lines `name,score`. The
paper reports SRCC and PLCC of single images; there is no official single number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from judge.errors import InputError

_NAMES = ("image", "image_path", "img_path", "name")
_SCORES = {"quality": ("mos_quality", "quality", "gt_score"), "alignment": ("mos_align", "alignment")}


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file, JSON or CSV."""
    if path.suffix.lower() == ".csv":
        rows: Any = [row for _, row in files.table(path, ["name", "prompt"], "truth")]
    else:
        rows = files.json_of(path, ".json", field="truth")
    if not isinstance(rows, list):
        raise InputError(path.name, type(rows).__name__, "a list of {image, prompt, gt_score}", "write it so")
    for at, row in enumerate(rows, 1):
        yield _item(row, f"{path.name} row {at}")


def _item(row: Any, where: str) -> Item:
    name = next((row[key] for key in _NAMES if row.get(key)), None) if isinstance(row, Mapping) else None
    if not isinstance(name, str):
        raise InputError(where, row, f"an object with one of {', '.join(_NAMES)}", "mend the row")
    scores = {
        human: files.number(row[key], where, key)
        for human, keys in _SCORES.items()
        if (key := next((k for k in keys if row.get(k) not in (None, "")), None)) is not None
    }
    truth = Truth(mos=scores.get("quality", scores.get("alignment")), mos_by=scores)
    return Item(id=name, image=name, prompt=str(row.get("prompt") or ""), labels=truth)


def predictions(path: Path) -> dict[str, float]:
    """A JSON list of `{image, predict_score}`, or lines."""
    if path.suffix.lower() in (".json", ".zip"):
        return files.scored_objects(path, "image", "predict_score")
    return files.scored_lines(path)


SUITE = opinion_suite(
    name="qeval-image",
    title="Q-Eval-Image (images of Q-Eval-100K)",
    source="https://github.com/zzc-1998/Q-Eval",
    labels=labels,
    files={split: (f"{split}.json", f"{split}.csv") for split in ("train", "val", "test")},
    default="test",
    predictions=predictions,
    rule=Rule(weights={}),
    also={"quality": "", "alignment": "alignment"},
)
