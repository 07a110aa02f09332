"""AGIQA-1K: 1,080 AI-generated images.

Labels: `AIGC_all.csv` (the repository's `AIGC_MOS_Zscore.xlsx` saved as CSV) with the header
`Image,Prompt,MOS`; the first three columns count, whatever the header calls them. Predictions: lines
`name,score`. The paper reports SRCC, PLCC and KRCC; there is no official single number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files


def labels(path: Path) -> Iterator[Item]:
    """Rows of the label file."""
    for at, row in files.cells(path, 3, field="truth"):
        if at > 1:
            truth = Truth(mos=files.number(row[2], f"{path.name} line {at}", "MOS"))
            yield Item(id=row[0], image=row[0], prompt=row[1], labels=truth)


SUITE = opinion_suite(
    name="agiqa-1k",
    title="AGIQA-1K (AI-generated images)",
    source="https://github.com/lcysyzxdxc/AGIQA-1k-Database",
    labels=labels,
    files={"all": ("AIGC_all.csv", "AIGC_MOS_Zscore.csv", "AGIQA-1K.csv")},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(weights={}),
)
