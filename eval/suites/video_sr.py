"""Video super-resolution quality: a ranking out of pairs (AIM 2024, over 150,000 votes on 1,124 videos).

The layout of the challenge's label file could not be verified. Accepted is `pairs.csv` with the columns
`first,second,winner` (one vote a row; winner is the name of one of the two, or `tie`) and optionally `group`
(the source video: only videos of one group are compared), or a CSV `name,score` of finished subjective scores
with an optional `group`. Votes become Bradley-Terry strengths within each group. Predictions: lines
`name,score`.

Reported are the means over groups of SRCC, PLCC (raw) and KRCC, as scores of different sources have no common
scale, and the share of votes that the prediction foretells (`accuracy`; human ties are left out). There is no
single official number here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from eval.metrics.agreement import Measure, accuracy, bradley_terry, krcc, mean, plcc, srcc
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.readers import files
from judge.errors import InputError

SOURCE = "https://challenges.videoprocessing.ai"
FILES = {"all": ("pairs.csv", "scores.csv")}
Votes = dict[str, list[tuple[str, str, float]]]
"""Group -> (first, second, 1 / 0 / 0.5)."""


def votes_of(path: Path) -> Votes:
    """The votes of a file of pairs."""
    found: Votes = {}
    for at, row in files.table(path, ["first", "second", "winner"], "truth"):
        outcome = {row["first"]: 1.0, row["second"]: 0.0, "tie": 0.5}.get(row["winner"])
        if outcome is None or row["first"] == row["second"]:
            raise InputError(f"{path.name} line {at}", row["winner"], "first, second or tie", "mend the line")
        found.setdefault(row.get("group", ""), []).append((row["first"], row["second"], outcome))
    return found


def labels(path: Path) -> Iterator[Item]:
    """One item per video, with its strength within its group; undefined strengths are None."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    if "winner" not in header:
        for at, row in files.table(path, ["name", "score"], "truth"):
            mos = files.number(row["score"], f"{path.name} line {at}")
            yield _item(row["name"], row.get("group", ""), Truth(mos=mos))
        return
    for group, votes in votes_of(path).items():
        ranking = bradley_terry([v[0] for v in votes], [v[1] for v in votes], [v[2] for v in votes])
        for entry in ranking:
            yield _item(entry.name, group, Truth(mos=entry.strength.value))


def _item(name: str, group: str, truth: Truth) -> Item:
    return Item(id=name, video=Path(name), group=group, labels=truth)


def numbers(given: Mapping[str, float], items: Iterable[Item], votes: Votes) -> Measures:
    """Means over groups of the correlations, and the share of votes foretold."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for item in items:
        if item.id in given and item.labels.mos is not None:
            groups.setdefault(item.group, []).append((given[item.id], item.labels.mos))
    found: Measures = {}
    for name, correlation in (("srcc", srcc), ("plcc", plcc), ("krcc", krcc)):
        values = [
            value
            for rows in groups.values()
            if (value := correlation([p for p, _ in rows], [t for _, t in rows]).value) is not None
        ]
        why = "undefined within each group (votes that leave a ranking open, or fewer than 2 videos)"
        found[name] = mean(values, interval=True) if values else Measure(None, why)
    decided = [v for rows in votes.values() for v in rows if v[2] != 0.5 and v[0] in given and v[1] in given]
    said = [None if given[a] == given[b] else float(given[a] > given[b]) for a, b, _ in decided]
    right = accuracy(said, [o for _, _, o in decided], interval=True)
    found["accuracy"] = right if decided else Measure(None, "the labels hold no single votes")
    return found


def score(pred: Path, truth: Path) -> Measures:
    """The numbers of a prediction file."""
    items = {item.id: item for item in base.unique(labels(truth), truth)}
    given = files.scored_lines(pred)
    _, said = opinions.joined(given, items, pred)
    return numbers(given, items.values(), _votes(truth)) | said


def _votes(path: Path) -> Votes:
    try:
        return votes_of(path)
    except InputError as error:
        if "header" in error.field:  # finished scores
            return {}
        raise


def measure(rows: Iterable[Row]) -> Measures:
    """A run, against strengths; single votes are not kept in a run."""
    given: dict[str, float] = {}
    items = []
    total = 0
    for row in rows:
        total += 1
        answer = answer_of(row)
        items.append(Item(id=row.sample.id, group=row.sample.group, labels=Truth(mos=row.sample.labels.mos)))
        if answer is not None:
            given[row.sample.id] = answer
    return numbers(given, items, {}) | opinions.unscored_of(total - len(given), total)


SUITE = Suite(
    name="video-sr",
    title="Video super-resolution quality (AIM 2024), a ranking out of pairs",
    source=SOURCE,
    read=partial(opinions.read, labels=labels, files=FILES, default="all", source=SOURCE, kind="video"),
    measure=measure,
    score=score,
    rubric="video",
    kind="video",
    depth="score",
    splits=tuple(FILES),
)
