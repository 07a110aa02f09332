"""VQualA 2025, quality of face images, with one human score each.

Source: https://arxiv.org/abs/2508.18445, which names the challenge's page.

Labels: `train.csv` (or `val.csv`, `test.csv`) without a header, `image,score` (0 to 1).

Predictions: lines `image,score`.

Numbers: score = (SRCC + PLCC) / 2. Whether PLCC is taken after a logistic is not published; here it is raw,
and `plcc_fitted` is reported as well. The challenge allows 0.5 GFLOPs and 5 M parameters; the first place has
.9664.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file."""
    for name, mos in read_score_lines(path, field="truth").items():
        yield SuiteSample(id=name, image=name, labels=GroundTruth(mos=mos))


SUITE = build_mos_suite(
    name="vquala-face",
    title="VQualA 2025 face image quality",
    source="https://arxiv.org/abs/2508.18445, which names the challenge's page",
    read_labels=read_labels,
    label_files={
        split: (f"{split}.csv", f"{split}_labels.csv", f"{split}.txt") for split in ("train", "val", "test")
    },
    default_split="val",
    read_predictions=read_score_lines,
    protocol=MosProtocol(),
    rubric="quality",
    mos_range=(0.0, 1.0),
)
