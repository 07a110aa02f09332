"""AIGIQA-20K: AI-generated images, NTIRE 2024 track 1.

Labels: `info_train.csv` without a header, `name,prompt,mos` (0 to 5); `info_val.csv` and `info_test.csv`
have no third value as released to participants. Predictions: `output.txt` with lines `name,score`. Main
score = (SRCC + PLCC) / 2; whether PLCC is fitted is not published, it is raw here with the fitted one beside
it. Best published SRCC .9076, PLCC .9274.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.writers import lines_submission


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file; without the third value, items without a score. A header is passed over."""
    for at, row in files.cells(path, (2, 3), field="truth"):
        if at == 1 and row[0].lower() == "name" and row[1].lower() == "prompt":
            continue
        mos = files.number(row[2], f"{path.name} line {at}", "mos") if len(row) == 3 else None
        generator = row[0].rsplit("_", 1)[0] if "_" in row[0] else ""
        yield Item(id=row[0], image=row[0], prompt=row[1], generator=generator, labels=Truth(mos=mos))


SUITE = opinion_suite(
    name="aigiqa-20k",
    title="AIGIQA-20K (AI-generated images, NTIRE 2024 track 1)",
    source="https://www.modelscope.cn/datasets/lcysyzxdxc/AIGCQA-30K-Image",
    labels=labels,
    files={split: (f"info_{split}.csv", f"{split}.csv") for split in ("train", "val", "test")},
    default="train",
    predictions=files.scored_lines,
    rule=Rule(),
    scale=(0.0, 5.0),
    submission=lines_submission("output.txt"),
)
