"""HPDv2: human preferences over generated images.

Source: https://huggingface.co/datasets/ymhao/HPDv2

Labels: `test.json`, a list of `{prompt, image_path: [...], rank: [1 is best, ...], raw_annotations}`, or
`train.json`, a list of `{prompt, file_path: [two], human_preference: [1, 0]}` (two equal numbers are a tie).

Predictions: a JSON object `{name: score}`, or lines `name,score`.

Numbers: `accuracy` is the mean over lists of 1 - inversions / pairs; see
`eval.metrics.pairwise.pair_accuracy.inversion_accuracy` for ties. The share of single pairs ordered rightly
is reported as `pair_accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.shared.preference_benchmark import (
    ComparisonTable,
    build_preference_suite,
    list_accuracy,
    read_json_rows,
    read_parallel_lists,
)
from eval.suites.shared.samples import SuiteSample


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the images of a test or train file."""
    table = ComparisonTable()
    for number, (place, row) in enumerate(read_json_rows(path, ["prompt"])):
        if "image_path" in row:
            names, ranks = read_parallel_lists(row, "image_path", "rank", place)
        else:
            pair = {"file_path": [], "human_preference": None, **row}
            names, preferences = read_parallel_lists(pair, "file_path", "human_preference", place)
            ranks = [1.0 if preference == max(preferences) else 2.0 for preference in preferences]
        for name, rank in zip(names, ranks, strict=True):
            table.add_rank(str(number), name, str(row["prompt"]), rank, group=str(number))
    yield from table.samples()


SUITE = build_preference_suite(
    name="hpdv2",
    title="HPDv2 (preferences over generated images)",
    source="https://huggingface.co/datasets/ymhao/HPDv2",
    read_labels=read_labels,
    label_files={"test": ("test.json", "eval.json"), "train": ("train.json",)},
    default_split="test",
    rule=list_accuracy,
)
