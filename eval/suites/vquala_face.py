"""VQualA 2025, face image quality.

Labels: `train.csv` (or `val.csv`, `test.csv`) without a header, `image,score` (0 to 1). Predictions: lines
`image,score`. Score = (SRCC + PLCC) / 2; whether PLCC is fitted is not published, it is raw here with the
fitted one beside it. The challenge allows 0.5 GFLOPs and 5 M parameters; first place has .9664.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file."""
    for name, mos in files.scored_lines(path, field="truth").items():
        yield Item(id=name, image=name, labels=Truth(mos=mos))


SUITE = opinion_suite(
    name="vquala-face",
    title="VQualA 2025 face image quality",
    source="https://arxiv.org/abs/2508.18445, which names the challenge's page",
    labels=labels,
    files={
        split: (f"{split}.csv", f"{split}_labels.csv", f"{split}.txt") for split in ("train", "val", "test")
    },
    default="val",
    predictions=files.scored_lines,
    rule=Rule(),
    rubric="quality",
    scale=(0.0, 1.0),
)
