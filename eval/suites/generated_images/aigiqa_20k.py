"""AIGIQA-20K: AI-generated images with one human score each, NTIRE 2024 track 1.

Source: https://www.modelscope.cn/datasets/lcysyzxdxc/AIGCQA-30K-Image

Labels: `info_train.csv` without a header, `name,prompt,mos` (0 to 5). `info_val.csv` and `info_test.csv`, as
released to participants, have no third value.

Predictions: `output.txt` with lines `name,score`.

Numbers: main score = (SRCC + PLCC) / 2. Whether PLCC is taken after a logistic is not published; here it is
raw, and `plcc_fitted` is reported as well. Best published: SRCC .9076, PLCC .9274.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_rows
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.submission_files import build_lines_submission


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file. Rows without the third value give samples without a score; a header is skipped."""
    for number, row in read_csv_rows(path, (2, 3), field="truth"):
        if number == 1 and row[0].lower() == "name" and row[1].lower() == "prompt":
            continue
        mos = parse_number(row[2], f"{path.name} line {number}", "mos") if len(row) == 3 else None
        generator = row[0].rsplit("_", 1)[0] if "_" in row[0] else ""
        yield SuiteSample(
            id=row[0], image=row[0], prompt=row[1], generator=generator, labels=GroundTruth(mos=mos)
        )


SUITE = build_mos_suite(
    name="aigiqa-20k",
    title="AIGIQA-20K (AI-generated images, NTIRE 2024 track 1)",
    source="https://www.modelscope.cn/datasets/lcysyzxdxc/AIGCQA-30K-Image",
    read_labels=read_labels,
    label_files={split: (f"info_{split}.csv", f"{split}.csv") for split in ("train", "val", "test")},
    default_split="train",
    read_predictions=read_score_lines,
    protocol=MosProtocol(),
    mos_range=(0.0, 5.0),
    submission=build_lines_submission("output.txt"),
)
