"""THQA-NTIRE: talking heads, NTIRE 2025 XGC track 3.

Labels: `thqa_ntire_{train,val,test}.csv` with the header `Video,Score`; `thqa_ntire_vallist.csv` has names
only. Predictions: `output.txt` with lines `video,score`. Score = (PLCC + SRCC) / 2 with PLCC after the
4-parameter logistic: so the organisers' baseline comes out at the .7892 they publish, without it at .7884.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.writers import lines_submission

SPLITS = {
    "train": ("thqa_ntire_train.csv",),
    "val": ("thqa_ntire_val.csv", "thqa_ntire_vallist.csv"),
    "test": ("thqa_ntire_test.csv", "thqa_ntire_testlist.csv"),
}


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file; a file of names only gives items without a score."""
    for at, row in files.table(path, ["Video"], "truth"):
        where = f"{path.name} line {at}"
        mos = files.number(row["Score"], where, "Score") if "Score" in row else None
        yield Item(id=row["Video"].strip(), video=Path(row["Video"].strip()), labels=Truth(mos=mos))


SUITE = opinion_suite(
    name="thqa",
    title="THQA-NTIRE (talking heads, NTIRE 2025 XGC track 3)",
    source="https://github.com/zyj-2000/THQA-NTIRE",
    labels=labels,
    files=SPLITS,
    default="val",
    predictions=files.scored_lines,
    rule=Rule(fit=4),
    rubric="video",
    kind="video",
    scale=(0.0, 5.0),
    submission=lines_submission("output.txt"),
)
