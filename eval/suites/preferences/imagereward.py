"""ImageReward's test set: ranked lists of 4 to 9 generated images.

Source: https://huggingface.co/datasets/THUDM/ImageRewardDB

Labels: `test.json` (or `validation.json`, `train.json`), a list of `{id, prompt, generations: [...], ranking:
[1 is best, ...]}`.

Predictions: the file that the organisers' `test.py` writes, a list of `{id, rewards: [...]}` in the order of
`generations`; or a JSON object `{name: score}`, or lines `name,score`.

Numbers: accuracy pools all pairs that people order. Pairs of equal human rank are skipped, and a pair that
the judge ties is wrong. Checked against `test.py` of THUDM/ImageReward.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.suites.readers.text_files import parse_number, read_json
from eval.suites.shared.preference_benchmark import (
    Comparisons,
    ComparisonTable,
    build_preference_suite,
    pair_accuracy,
    read_json_rows,
    read_parallel_lists,
    score_preference_files,
)
from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.scoring import match_names
from eval.suites.shared.suite import Metrics
from judge.errors import InputError

KEYS = ("id", "prompt", "generations", "ranking")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the images of a label file."""
    table = ComparisonTable()
    for place, row in read_json_rows(path, KEYS):
        names, ranks = read_parallel_lists(row, "generations", "ranking", place)
        for name, rank in zip(names, ranks, strict=True):
            table.add_rank(str(row["id"]), name, str(row["prompt"]), rank, group=str(row["id"]))
    yield from table.samples()


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official number of either layout of predictions.

    Raises:
        InputError: a file cannot be read, or rewards are missing.
    """
    rows: Any = read_json(pred, ".json", field="pred") if pred.suffix.lower() == ".json" else {}
    if not isinstance(rows, list):
        return score_preference_files(pred, truth, read_labels=read_labels, rule=pair_accuracy)
    predictions = {str(row["id"]): row for _, row in read_json_rows(pred, ["id", "rewards"])}
    lists = {str(row["id"]): (place, row) for place, row in read_json_rows(truth, KEYS)}
    _, extra = match_names(predictions, lists, pred)
    comparisons: Comparisons = {}
    for list_id, (place, row) in lists.items():
        _, ranks = read_parallel_lists(row, "generations", "ranking", place)
        found = predictions[list_id]["rewards"]
        if not isinstance(found, list) or len(found) != len(ranks):
            raise InputError(f"pred: {list_id}", found, f"{len(ranks)} rewards", "predict all images")
        rewards = [parse_number(value, f"pred: {list_id}", "rewards") for value in found]
        comparisons[list_id] = list(zip(rewards, ranks, strict=True))
    return pair_accuracy(comparisons) | extra


SUITE = build_preference_suite(
    name="imagereward",
    title="ImageReward (ranked lists of generated images)",
    source="https://huggingface.co/datasets/THUDM/ImageRewardDB",
    read_labels=read_labels,
    label_files={
        "test": ("test.json", "eval.json"),
        "validation": ("validation.json",),
        "train": ("train.json",),
    },
    default_split="test",
    rule=pair_accuracy,
    score_files=score_files,
)
