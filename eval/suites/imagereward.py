"""ImageReward's test set: ranked lists of 4 to 9 generated images.

Labels: `test.json` (or `validation.json`, `train.json`), a list of `{id, prompt, generations: [...], ranking:
[1 is best, ...]}`. Predictions: the file that the organisers' `test.py` writes, a list of `{id, rewards:
[...]}` in the order of `generations`, or `{name: score}`. Accuracy pools all pairs that people order; pairs
of equal human rank are skipped, and a pair that the judge ties is wrong. Checked against `test.py` of
THUDM/ImageReward.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.suites import preferences
from eval.suites.base import Item, Measures
from eval.suites.preferences import Lists, Pictures, pooled, preference_suite, rows_of, same_length
from eval.suites.readers import files
from judge.errors import InputError

KEYS = ("id", "prompt", "generations", "ranking")


def labels(path: Path) -> Iterator[Item]:
    """Pictures of a label file."""
    pictures = Pictures()
    for where, row in rows_of(path, KEYS):
        names, places = same_length(row, "generations", "ranking", where)
        for name, place in zip(names, places, strict=True):
            pictures.place(str(row["id"]), name, str(row["prompt"]), place, group=str(row["id"]))
    yield from pictures.items()


def score(pred: Path, truth: Path) -> Measures:
    """The official number, of either layout of predictions."""
    rows: Any = files.json_of(pred, ".json", field="pred") if pred.suffix.lower() == ".json" else {}
    if not isinstance(rows, list):
        return preferences.scored(pred, truth, labels=labels, rule=pooled)
    given = {str(row["id"]): row for _, row in rows_of(pred, ["id", "rewards"])}
    lists: Lists = {}
    for where, row in rows_of(truth, KEYS):
        _, places = same_length(row, "generations", "ranking", where)
        name = str(row["id"])
        if name not in given or len(given[name]["rewards"]) != len(places):
            raise InputError(f"pred: {name}", given.get(name), f"{len(places)} rewards", "predict all images")
        rewards = [files.number(value, f"pred: {name}", "rewards") for value in given[name]["rewards"]]
        lists[name] = list(zip(rewards, places, strict=True))
    return pooled(lists)


SUITE = preference_suite(
    name="imagereward",
    title="ImageReward (ranked lists of generated images)",
    source="https://huggingface.co/datasets/THUDM/ImageRewardDB",
    labels=labels,
    files={"test": ("test.json",), "validation": ("validation.json",), "train": ("train.json",)},
    default="test",
    rule=pooled,
    score=score,
)
