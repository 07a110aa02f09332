"""ADTH: AI-driven talking heads.

The layout of the published label file could not be verified. Accepted is a CSV called `adth.csv` (or any CSV
named outright) with the header `Video,Score`, the layout of the same authors' THQA-NTIRE; further columns
are passed over. Predictions are lines `video,score`. Reported are SRCC, PLCC after the 4-parameter logistic,
KRCC and RMSE; `final` is (PLCC + SRCC) / 2 as in THQA-NTIRE, not an official number of this set.
"""

from __future__ import annotations

from eval.suites import thqa
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files

SUITE = opinion_suite(
    name="adth",
    title="ADTH (AI-driven talking heads)",
    source="https://github.com/zyj-2000",
    labels=thqa.labels,
    files={"all": ("adth.csv", "ADTH.csv", "labels.csv")},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(fit=4, errors=True, note="weighted as THQA-NTIRE does; this set has no official single number"),
    rubric="video",
    kind="video",
)
