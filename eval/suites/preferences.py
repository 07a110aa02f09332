"""Benchmarks of choices: which of several pictures of one prompt people prefer.

A picture is judged once, however many comparisons it takes part in; `Truth.places` says its place in each.
Sets of this kind have no file of predictions of their own (but for ImageReward): accepted is a JSON object
`{name: score}`, or lines `name,score`, with the names of the label file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from eval.metrics.agreement import Measure, accuracy, inversion_accuracy, preference_accuracy
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.readers import files
from judge.errors import InputError

Lists = dict[str, list[tuple[float | None, float]]]
"""Comparison -> (the judge's score or None, people's place) of each picture in it."""


@dataclass
class Picture:
    """One picture with all its places, while a label file is read."""

    name: str
    prompt: str
    generator: str = ""
    group: str = ""
    places: dict[str, float] = field(default_factory=dict)


class Pictures:
    """The pictures of a label file, each once; one under two prompts is two things to judge."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Picture] = {}

    def place(
        self, comparison: str, name: str, prompt: str, place: float, *, generator: str = "", group: str = ""
    ) -> None:
        """Note the place of a picture in a comparison."""
        picture = self._found.setdefault((name, prompt), Picture(name, prompt, generator, group))
        picture.places[comparison] = place

    def items(self) -> Iterator[Item]:
        """The pictures in order of first appearance; ids are names, with #2 at a second prompt."""
        times: dict[str, int] = {}
        for picture in self._found.values():
            n = times[picture.name] = times.get(picture.name, 0) + 1
            yield Item(
                id=picture.name if n == 1 else f"{picture.name}#{n}",
                image=picture.name,
                prompt=picture.prompt,
                generator=picture.generator,
                group=picture.group,
                labels=Truth(places=picture.places),
            )


# ----------------------------------------------------------------------------------------------- measures


def pooled(lists: Lists) -> Measures:
    """Accuracy over all pairs that people order; a pair that the judge ties or did not score is wrong."""
    said, true, groups = [], [], []
    for comparison, sides in lists.items():
        for (a, place_a), (b, place_b) in combinations(sides, 2):
            if place_a != place_b:
                said.append(None if a is None or b is None or a == b else a > b)
                true.append(place_a < place_b)
                groups.append(comparison)
    return {"accuracy": accuracy(said, true, groups=groups, interval=True)}


def inverted(lists: Lists) -> Measures:
    """Mean over lists of 1 - inversions / pairs; lists with an unscored picture are left out."""
    whole = {name: sides for name, sides in lists.items() if all(a is not None for a, _ in sides)}
    given = [a for sides in whole.values() for a, _ in sides]
    places = [p for sides in whole.values() for _, p in sides]
    groups = [name for name, sides in whole.items() for _ in sides]
    found = inversion_accuracy(given, places, groups, interval=True)  # type: ignore[arg-type]
    lost = len(lists) - len(whole)
    note = f"{lost} of {len(lists)} lists have an unscored picture and are left out" if lost else ""
    return {"accuracy": opinions.noted(found, note)} | {
        "pair_accuracy": pooled(lists)["accuracy"],
    }


def points(lists: Lists) -> Measures:
    """Mean point over pairs: 1, 1/2 or 0 as `preference_accuracy` says."""
    pairs = [sides for sides in lists.values() if len(sides) == 2]
    label = [0.5 if a[1] == b[1] else float(a[1] < b[1]) for a, b in pairs]
    return {
        "accuracy": preference_accuracy(
            [a[0] for a, _ in pairs], [b[0] for _, b in pairs], label, interval=True
        )
    }


def measured(rows: Iterable[Row], *, rule: Any) -> Measures:
    """A run by one of the rules above."""
    lists: Lists = {}
    unscored = total = 0
    for row in rows:
        answer, total = answer_of(row), total + 1
        unscored += answer is None
        for comparison, place in row.sample.labels.places.items():
            lists.setdefault(comparison, []).append((answer, place))
    cut = sum(len(sides) < 2 for sides in lists.values())
    found: Measures = rule({name: sides for name, sides in lists.items() if len(sides) > 1})
    if cut:
        note = "comparisons of which only one picture was judged; left out"
        found["cut"] = Measure(float(cut), note, len(lists))
    return found | opinions.unscored_of(unscored, total)


def scored(pred: Path, truth: Path, *, labels: opinions.Labels, rule: Any) -> Measures:
    """The official number of scores by name against a label file."""
    given = predictions(pred)
    lists: Lists = {}
    absent, names = [], set()
    for item in labels(truth):
        name = item.id if item.id in given else str(item.image)
        names.add(name)
        if name not in given:
            absent.append(item.id)
            continue
        for comparison, place in item.labels.places.items():
            lists.setdefault(comparison, []).append((given[name], place))
    if absent:
        shown = base.some(absent)
        raise InputError(
            "pred",
            str(pred),
            f"a score for each of the {len(names)} pictures; {len(absent)} are missing: {shown}",
            "add them, or score against the labels of the same split",
        )
    found: Measures = rule(lists)
    return found


def predictions(path: Path) -> dict[str, float]:
    """`{name: score}` as JSON, or lines `name,score`."""
    if path.suffix.lower() != ".json":
        return files.scored_lines(path)
    rows = files.json_of(path, ".json", field="pred")
    if not isinstance(rows, Mapping) or not rows:
        raise InputError("pred", str(path), "an object {name: score}", "write it so")
    return {str(name): files.number(value, f"{path.name}: {name}") for name, value in rows.items()}


def preference_suite(
    *,
    name: str,
    title: str,
    source: str,
    labels: opinions.Labels,
    files: Mapping[str, tuple[str, ...]],
    default: str,
    rule: Any,
    read: Any = None,
    score: Any = None,
) -> Suite:
    """A suite of this family."""
    return Suite(
        name=name,
        title=title,
        source=source,
        read=read or partial(opinions.read, labels=labels, files=files, default=default, source=source),
        measure=partial(measured, rule=rule),
        score=score or partial(scored, labels=labels, rule=rule),
        depth="score",
        splits=tuple(files),
    )


def rows_of(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of a JSON list whose objects have the keys."""
    rows = files.json_of(path, ".json", field="truth")
    wanted = list(keys)
    if not isinstance(rows, list) or not rows:
        raise InputError("truth", str(path), f"a JSON list of {{{', '.join(wanted)}}}", "take the set's file")
    for at, row in enumerate(rows, 1):
        where = f"{path.name} row {at}"
        absent = [k for k in wanted if k not in row] if isinstance(row, dict) else wanted
        if absent:
            raise InputError(where, row, f"an object with {', '.join(wanted)}", f"{absent[0]} is missing")
        yield where, row


def same_length(row: Mapping[str, Any], first: str, second: str, where: str) -> tuple[list[str], list[float]]:
    """Two lists of one object, names and numbers, as long as each other."""
    names, values = row[first], row[second]
    if not isinstance(names, list) or not isinstance(values, list) or len(names) != len(values):
        raise InputError(where, row, f"{first} and {second} of one length", "mend the row")
    return [str(n) for n in names], [files.number(v, where, second) for v in values]
