"""ADTH: AI-driven talking heads.

Source: https://github.com/zyj-2000, the authors of THQA.

Labels: the layout of the published label file could not be verified. Accepted is a CSV called `adth.csv` (or
any CSV given by its path) with the header `Video,Score`, the layout of THQA-NTIRE by the same authors.
Further columns are ignored.

Predictions: lines `video,score`.

Numbers: SRCC, PLCC after the 4-parameter logistic, KRCC and RMSE. `final` is (PLCC + SRCC) / 2 as in
THQA-NTIRE and is not an official number of this set.
"""

from __future__ import annotations

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.videos.thqa import read_labels

SUITE = build_mos_suite(
    name="adth",
    title="ADTH (AI-driven talking heads)",
    source="https://github.com/zyj-2000",
    read_labels=read_labels,
    label_files={"all": ("adth.csv", "ADTH.csv", "labels.csv")},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(
        logistic_parameters=4,
        errors="fitted",
        note="weighted as THQA-NTIRE does; this set has no official single number",
    ),
    rubric="video",
    kind="video",
)
