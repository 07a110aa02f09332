"""AGIQA-3K: 2,982 AI-generated images with a score of quality and one of agreement with the prompt.

Labels: `data.csv` with the header `name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align`
(about 0 to 5). Predictions: lines `name,score`, measured against quality (`mos_quality`). A run is measured
against both: the overall score against quality, the dimension `alignment` against agreement. The paper
reports SRCC, PLCC and KRCC; there is no official single number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files

COLUMNS = ("name", "prompt", "mos_quality", "std_quality", "mos_align", "std_align")


def labels(path: Path) -> Iterator[Item]:
    """Rows of the label file."""
    for at, row in files.table(path, COLUMNS, "truth"):
        where = f"{path.name} line {at}"
        quality, align = (files.number(row[k], where, k) for k in ("mos_quality", "mos_align"))
        truth = Truth(
            mos=quality,
            spread=files.number(row["std_quality"], where, "std_quality"),
            mos_by={"quality": quality, "alignment": align},
        )
        yield Item(
            id=row["name"],
            image=row["name"],
            prompt=row["prompt"],
            generator=row["name"].split("_")[0],
            labels=truth,
        )


SUITE = opinion_suite(
    name="agiqa-3k",
    title="AGIQA-3K (AI-generated images)",
    source="https://github.com/lcysyzxdxc/AGIQA-3k-Database",
    labels=labels,
    files={"all": ("data.csv",)},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(weights={}),
    also={"quality": "", "alignment": "alignment"},
    scale=(0.0, 5.0),
)
