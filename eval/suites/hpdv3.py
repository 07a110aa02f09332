"""HPDv3: human preferences over generated and real images, in pairs.

Labels: `test.json` or `train.json`, a list of `{prompt, choice_dist, confidence, path1, path2, model1,
model2}`, of which path1 is the preferred one. Accuracy is the share of pairs in which path1 scores higher; a
tie of the judge's is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item
from eval.suites.preferences import Pictures, pooled, preference_suite, rows_of


def labels(path: Path) -> Iterator[Item]:
    """Pictures of a label file."""
    pictures = Pictures()
    for at, (_, row) in enumerate(rows_of(path, ["prompt", "path1", "path2"])):
        prompt = str(row["prompt"])
        for place, side in ((1.0, "1"), (2.0, "2")):
            generator = str(row.get(f"model{side}") or "")
            pictures.place(str(at), str(row[f"path{side}"]), prompt, place, generator=generator, group=prompt)
    yield from pictures.items()


SUITE = preference_suite(
    name="hpdv3",
    title="HPDv3 (preferences over generated and real images)",
    source="https://huggingface.co/datasets/MizzenAI/HPDv3",
    labels=labels,
    files={"test": ("test.json",), "train": ("train.json",)},
    default="test",
    rule=pooled,
)
