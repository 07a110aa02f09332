"""HPDv3: human preferences over generated and real images, in pairs.

Source: https://huggingface.co/datasets/MizzenAI/HPDv3

Labels: `test.json` or `train.json`, a list of `{prompt, choice_dist, confidence, path1, path2, model1,
model2}`, of which `path1` is the preferred one.

Predictions: a JSON object `{name: score}`, or lines `name,score`.

Numbers: accuracy is the share of pairs in which `path1` scores higher; a tie of the judge's is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.shared.preference_benchmark import (
    ComparisonTable,
    build_preference_suite,
    pair_accuracy,
    read_json_rows,
)
from eval.suites.shared.samples import SuiteSample


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the images of a label file."""
    table = ComparisonTable()
    for number, (_, row) in enumerate(read_json_rows(path, ["prompt", "path1", "path2"])):
        prompt = str(row["prompt"])
        for rank, side in ((1.0, "1"), (2.0, "2")):
            generator = str(row.get(f"model{side}") or "")
            name = str(row[f"path{side}"])
            table.add_rank(str(number), name, prompt, rank, generator=generator, group=prompt)
    yield from table.samples()


SUITE = build_preference_suite(
    name="hpdv3",
    title="HPDv3 (preferences over generated and real images)",
    source="https://huggingface.co/datasets/MizzenAI/HPDv3",
    read_labels=read_labels,
    label_files={"test": ("test.json", "eval.json"), "train": ("train.json",)},
    default_split="test",
    rule=pair_accuracy,
)
