"""AGIQA-1K: 1,080 AI-generated images with one human score each.

Source: https://github.com/lcysyzxdxc/AGIQA-1k-Database

Labels: `AIGC_all.csv` (the repository's `AIGC_MOS_Zscore.xlsx` saved as CSV) with the header
`Image,Prompt,MOS`. The first three columns are read, whatever the header calls them.

Predictions: lines `name,score`.

Numbers: SRCC, PLCC and KRCC, as in the paper. There is no official single number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_rows
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file."""
    for number, row in read_csv_rows(path, 3, field="truth"):
        if number > 1:
            labels = GroundTruth(mos=parse_number(row[2], f"{path.name} line {number}", "MOS"))
            yield SuiteSample(id=row[0], image=row[0], prompt=row[1], labels=labels)


SUITE = build_mos_suite(
    name="agiqa-1k",
    title="AGIQA-1K (AI-generated images)",
    source="https://github.com/lcysyzxdxc/AGIQA-1k-Database",
    read_labels=read_labels,
    label_files={"all": ("AIGC_all.csv", "AIGC_MOS_Zscore.csv", "AGIQA-1K.csv")},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
)
