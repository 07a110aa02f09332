"""UHD-IQA: 6,073 photographs of 4K and more.

Labels: `uhd-iqa-training-metadata.csv` (and `-validation-`, `-test-`, or one `uhd-iqa-metadata.csv`) with
`image_name,quality_mos,set,orig_width,...`, quality_mos 0 to 1; `set` is training, validation or test.
Predictions: lines `image_name,score`. Official are PLCC, SRCC and KRCC, and RMSE and MAE after the fit
(4-parameter logistic here); PLCC is raw with the fitted one beside it. Best published SRCC .846, PLCC .798.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file."""
    for at, row in files.table(path, ["image_name", "quality_mos", "set"], "truth"):
        mos = files.number(row["quality_mos"], f"{path.name} line {at}", "quality_mos")
        yield Item(id=row["image_name"], image=row["image_name"], split=row["set"], labels=Truth(mos=mos))


SUITE = opinion_suite(
    name="uhd-iqa",
    title="UHD-IQA (photographs of 4K and more)",
    source="https://database.mmsp-kn.de/uhd-iqa-benchmark-database.html",
    labels=labels,
    files={
        split: (f"uhd-iqa-{split}-metadata.csv", "uhd-iqa-metadata.csv")
        for split in ("training", "validation", "test")
    },
    default="training",
    predictions=files.scored_lines,
    rule=Rule(errors=True, weights={}),
    rubric="quality",
    scale=(0.0, 1.0),
)
