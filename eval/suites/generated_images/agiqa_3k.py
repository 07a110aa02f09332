"""AGIQA-3K: 2,982 AI-generated images with human scores of quality and of agreement with the prompt.

Source: https://github.com/lcysyzxdxc/AGIQA-3k-Database

Labels: `data.csv` with the header `name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align`
(scores about 0 to 5).

Predictions: lines `name,score`, compared with quality (`mos_quality`).

Numbers: SRCC, PLCC and KRCC, as in the paper. There is no official single number. A run is compared with both
scores: its overall score with quality, its dimension `alignment` with agreement.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample

COLUMNS = ("name", "prompt", "mos_quality", "std_quality", "mos_align", "std_align")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file."""
    for number, row in read_csv_table(path, COLUMNS, "truth"):
        place = f"{path.name} line {number}"
        quality, alignment = (parse_number(row[key], place, key) for key in ("mos_quality", "mos_align"))
        labels = GroundTruth(
            mos=quality,
            mos_std=parse_number(row["std_quality"], place, "std_quality"),
            mos_by_dimension={"quality": quality, "alignment": alignment},
        )
        yield SuiteSample(
            id=row["name"],
            image=row["name"],
            prompt=row["prompt"],
            generator=row["name"].split("_")[0],
            labels=labels,
        )


SUITE = build_mos_suite(
    name="agiqa-3k",
    title="AGIQA-3K (AI-generated images)",
    source="https://github.com/lcysyzxdxc/AGIQA-3k-Database",
    read_labels=read_labels,
    label_files={"all": ("data.csv",)},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
    extra_dimensions={"quality": "", "alignment": "alignment"},
    mos_range=(0.0, 5.0),
)
