"""UHD-IQA: 6,073 photographs of 4K and more with one human score each.

Source: https://database.mmsp-kn.de/uhd-iqa-benchmark-database.html

Labels: `uhd-iqa-training-metadata.csv` (and `-validation-`, `-test-`, or one `uhd-iqa-metadata.csv`) with the
header `image_name,quality_mos,set,orig_width,...`; `quality_mos` is 0 to 1, `set` is training, validation or
test.

Predictions: lines `image_name,score`.

Numbers: official are PLCC, SRCC and KRCC, and RMSE and MAE. The published RMSE and MAE are raw, from
predictions on the labels' scale, 0 to 1: `rmse_raw` and `mae_raw`. `rmse` and `mae` are taken after the
4-parameter logistic, for predictions on any scale. PLCC is raw, and `plcc_fitted` is reported as well. Best
published: SRCC .846, PLCC .798.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file."""
    for number, row in read_csv_table(path, ["image_name", "quality_mos", "set"], "truth"):
        mos = parse_number(row["quality_mos"], f"{path.name} line {number}", "quality_mos")
        name = row["image_name"]
        yield SuiteSample(id=name, image=name, split=row["set"], labels=GroundTruth(mos=mos))


SUITE = build_mos_suite(
    name="uhd-iqa",
    title="UHD-IQA (photographs of 4K and more)",
    source="https://database.mmsp-kn.de/uhd-iqa-benchmark-database.html",
    read_labels=read_labels,
    label_files={
        split: (f"uhd-iqa-{split}-metadata.csv", "uhd-iqa-metadata.csv")
        for split in ("training", "validation", "test")
    },
    default_split="training",
    read_predictions=read_score_lines,
    protocol=MosProtocol(errors="fitted", weights={}),
    rubric="quality",
    mos_range=(0.0, 1.0),
)
