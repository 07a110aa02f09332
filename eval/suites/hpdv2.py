"""HPDv2: human preferences over generated images.

Labels: `test.json`, a list of `{prompt, image_path: [...], rank: [1 is best, ...], raw_annotations}`, or
`train.json`, a list of `{prompt, file_path: [two], human_preference: [1, 0]}` (two equal numbers are a tie).
Accuracy is the mean over lists of 1 - inversions / pairs; see `eval.metrics.agreement.inversion_accuracy` for ties.
The share of single pairs ordered rightly stands beside it as `pair_accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item
from eval.suites.preferences import Pictures, inverted, preference_suite, rows_of, same_length


def labels(path: Path) -> Iterator[Item]:
    """Pictures of either file."""
    pictures = Pictures()
    for at, (where, row) in enumerate(rows_of(path, ["prompt"])):
        if "image_path" in row:
            names, places = same_length(row, "image_path", "rank", where)
        else:
            names, chosen = same_length(
                {"file_path": [], "human_preference": None, **row}, "file_path", "human_preference", where
            )
            places = [1.0 if c == max(chosen) else 2.0 for c in chosen]
        for name, place in zip(names, places, strict=True):
            pictures.place(str(at), name, str(row["prompt"]), place, group=str(at))
    yield from pictures.items()


SUITE = preference_suite(
    name="hpdv2",
    title="HPDv2 (preferences over generated images)",
    source="https://huggingface.co/datasets/ymhao/HPDv2",
    labels=labels,
    files={"test": ("test.json",), "train": ("train.json",)},
    default="test",
    rule=inverted,
)
