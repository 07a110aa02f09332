"""THQA-NTIRE: talking heads with one human score each, NTIRE 2025 XGC track 3.

Source: https://github.com/zyj-2000/THQA-NTIRE

Labels: `thqa_ntire_{train,val,test}.csv` with the header `Video,Score`. `thqa_ntire_vallist.csv` has names
only.

Predictions: `output.txt` with lines `video,score`.

Numbers: score = (PLCC + SRCC) / 2 with PLCC after the 4-parameter logistic. This gives the organisers'
baseline the .7892 that they publish; without the logistic it is .7884.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.submission_files import build_lines_submission

LABEL_FILES = {
    "train": ("thqa_ntire_train.csv",),
    "val": ("thqa_ntire_val.csv", "thqa_ntire_vallist.csv"),
    "test": ("thqa_ntire_test.csv", "thqa_ntire_testlist.csv"),
}


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file; a file of names only gives samples without a score."""
    for number, row in read_csv_table(path, ["Video"], "truth"):
        place = f"{path.name} line {number}"
        mos = parse_number(row["Score"], place, "Score") if "Score" in row else None
        name = row["Video"].strip()
        yield SuiteSample(id=name, video=Path(name), labels=GroundTruth(mos=mos))


SUITE = build_mos_suite(
    name="thqa",
    title="THQA-NTIRE (talking heads, NTIRE 2025 XGC track 3)",
    source="https://github.com/zyj-2000/THQA-NTIRE",
    read_labels=read_labels,
    label_files=LABEL_FILES,
    default_split="val",
    read_predictions=read_score_lines,
    protocol=MosProtocol(logistic_parameters=4),
    rubric="video",
    kind="video",
    mos_range=(0.0, 5.0),
    submission=build_lines_submission("output.txt"),
)
