"""The commonest benchmark: one human score a picture or video, and correlations with it.

What differs between such sets is data: how labels and predictions are written, whether Pearson's correlation
is taken after a logistic, and how the numbers are weighted into one. `Rule` says the latter, the modules of
the suites the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.agreement import Measure, combined, krcc, mae, plcc, rmse, srcc
from eval.suites import base
from eval.suites.base import Item, Measures, Row, Submission, Suite, answer_of
from judge.errors import InputError

Labels = Callable[[Path], Iterable[Item]]
"""A label file as items, with the set's name of the picture in `image` (or `video`)."""
Predictions = Callable[[Path], dict[str, float]]


@dataclass(frozen=True)
class Rule:
    """How a set's official numbers come from pairs of predictions and opinions."""

    fit: int = 0
    """Parameters of the logistic before Pearson's correlation: 4, 5, or 0 for none."""
    errors: bool = False
    """Whether RMSE and MAE (after a logistic of `fit` or else 4 parameters) are official numbers."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"srcc": 0.5, "plcc": 0.5})
    """Weights of the numbers in `final`; empty where the set has no single number."""
    note: str = ""
    """What must be said about `plcc` or `final`, for example that the rule could not be verified."""


def opinions(predicted: Iterable[float], truth: Iterable[float], rule: Rule) -> Measures:
    """All numbers of a rule; `plcc` is the official one, `plcc_raw` and `plcc_fitted` stand beside it."""
    x, y = np.array(list(predicted), dtype=np.float64), np.array(list(truth), dtype=np.float64)
    fit = rule.fit or 4
    found: Measures = {
        "srcc": srcc(x, y, interval=True),
        "plcc_raw": plcc(x, y, interval=True),
        "plcc_fitted": plcc(x, y, fitted=True, parameters=fit, interval=True),
        "krcc": krcc(x, y, interval=True),
    }
    official = found["plcc_fitted" if rule.fit else "plcc_raw"]
    found = {"srcc": found["srcc"], "plcc": official, **found}
    if rule.errors:
        found["rmse"] = rmse(x, y, fitted=True, parameters=fit, interval=True)
        found["mae"] = mae(x, y, fitted=True, parameters=fit, interval=True)
    if rule.weights:
        found["final"] = noted(combined(found, dict(rule.weights)), rule.note)
    return found


def noted(measure: Measure, note: str) -> Measure:
    """The measure with one more thing said about it."""
    return (
        replace(measure, note="; ".join(part for part in (measure.note, note) if part)) if note else measure
    )


def joined(
    predicted: Mapping[str, Any], truth: Mapping[str, Any], path: Path
) -> tuple[list[str], dict[str, Measure]]:
    """The names both sides share, in the order of the truth, and what to say of further predictions.

    Raises:
        InputError: predictions are missing; it says which and how many.
    """
    absent = [name for name in truth if name not in predicted]
    if absent:
        shown = base.some(absent)
        raise InputError(
            "pred",
            str(path),
            f"a prediction for each of the {len(truth)} names; {len(absent)} are missing: {shown}",
            "add them, or score against the labels of the same split",
        )
    extra = [name for name in predicted if name not in truth]
    said = {}
    if extra:
        said["extra"] = Measure(
            float(len(extra)), f"predictions without a label, left out: {base.some(extra)}", len(extra)
        )
    return list(truth), said


def measured(
    rows: Iterable[Row],
    *,
    rule: Rule,
    predicts: str = "",
    also: Mapping[str, str] | None = None,
) -> Measures:
    """Verdicts against opinions. Unscored verdicts have no number and are left out, counted in `unscored`.

    Args:
        rows: items with their verdicts.
        rule: the set's.
        predicts: dimension of the verdict that answers `mos`.
        also: human dimension -> dimension of the verdict, each measured beside the main score.
    """
    sides: dict[str, list[tuple[float, float]]] = {"": [], **{name: [] for name in also or {}}}
    unscored = total = 0
    for row in rows:
        labels, total = row.sample.labels, total + 1
        answers = {"": predicts, **(also or {})}
        truths = {"": labels.mos, **labels.mos_by}
        for name, dimension in answers.items():
            given, wanted = answer_of(row, dimension), truths.get(name)
            if name == "":
                unscored += given is None
            if given is not None and wanted is not None:
                sides[name].append((given, wanted))
    found: Measures = {}
    for name, pairs in sides.items():
        x, y = [p for p, _ in pairs], [t for _, t in pairs]
        if name == "":
            found |= opinions(x, y, rule)
        else:
            found[f"srcc_{name}"] = srcc(x, y, interval=True)
            found[f"plcc_{name}"] = plcc(x, y, fitted=bool(rule.fit), interval=True)
    return found | unscored_of(unscored, total)


def unscored_of(unscored: int, total: int) -> Measures:
    """How many verdicts had no score."""
    note = "left out of correlations" if unscored else ""
    return {"unscored": Measure(float(unscored), note, total)}


def scored(pred: Path, truth: Path, *, labels: Labels, predictions: Predictions, rule: Rule) -> Measures:
    """The official numbers of a prediction file against a label file."""
    wanted = {item.id: item.labels.mos for item in base.unique(labels(truth), truth)}
    wanted = {name: mos for name, mos in wanted.items() if mos is not None}
    if not wanted:
        raise InputError(
            "truth", str(truth), "labels with scores", "this file has none: take another split's"
        )
    given = predictions(pred)
    names, said = joined(given, wanted, pred)
    return opinions((given[n] for n in names), (wanted[n] for n in names), rule) | said  # type: ignore[misc]


def read(
    data: Path,
    split: str | None = None,
    *,
    labels: Labels,
    files: Mapping[str, tuple[str, ...]],
    default: str,
    source: str,
    kind: base.Kind = "image",
    media: bool = True,
) -> Iterator[Item]:
    """Items of a folder: the label file of the split, then the media it names.

    Args:
        data: the set's folder, or a label file in it.
        split: one of the names in `files`.
        labels: reads a label file.
        files: split -> names that its label file has.
        default: split taken when none is asked for.
        source: where the set is officially obtained.
        kind: of the media.
        media: False does not look for them.
    """
    part = checked_split(split, tuple(files), default)
    found = base.label_file(data, files[part], source)

    def items() -> Iterator[Item]:
        # A file that names its rows' splits may hold several.
        return (item for item in base.unique(labels(found), found) if item.split in ("", part))

    root = data if data.is_dir() else data.parent
    yield from base.with_media(items, root, source, kind=kind, media=media)


def checked_split(split: str | None, names: tuple[str, ...], default: str) -> str:
    """The split asked for, or the default one.

    Raises:
        InputError: the set has no such split.
    """
    if split is None:
        return default
    if split not in names:
        raise InputError("split", split, ", ".join(names), "choose one of these")
    return split


def opinion_suite(
    *,
    name: str,
    title: str,
    source: str,
    labels: Labels,
    files: Mapping[str, tuple[str, ...]],
    default: str,
    predictions: Predictions,
    rule: Rule,
    rubric: str = "default",
    kind: base.Kind = "image",
    predicts: str = "",
    also: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    submission: Submission | None = None,
) -> Suite:
    """A suite of this family."""
    return Suite(
        name=name,
        title=title,
        source=source,
        read=partial(read, labels=labels, files=files, default=default, source=source, kind=kind),
        measure=partial(measured, rule=rule, predicts=predicts, also=also),
        score=partial(scored, labels=labels, predictions=predictions, rule=rule),
        rubric=rubric,
        kind=kind,
        depth="score",
        predicts=predicts,
        scale=scale,
        splits=tuple(files),
        submission=submission,
    )
