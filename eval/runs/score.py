"""Official numbers of prediction files: `judge eval score SUITE --pred FILE --truth FILE [--json]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.metrics.agreement import Measure
from eval.suites import suite
from judge.errors import InputError

OFFICIAL = ("srcc", "plcc", "krcc", "rmse", "mae", "accuracy", "precision", "recall", "f1", "final")
"""Keys that come first, in this order, as they apply."""


def score(name: str, pred: Path, truth: Path) -> dict[str, Measure]:
    """The official numbers of a suite, from files in the organisers' own layout.

    Args:
        name: of the suite.
        pred: predictions, the file or the archive that was submitted.
        truth: labels; some suites take a folder.

    Raises:
        InputError: no such suite, a file that cannot be read, names that do not match.
    """
    found = suite(name)
    if found.score is None:
        raise InputError("suite", name, "a suite with files of predictions", "judge eval run and report it")
    for field, path in (("pred", pred), ("truth", truth)):
        if not path.exists():
            raise InputError(field, str(path), "a file that exists", "check the path")
    measures = found.score(pred, truth)
    first = [key for key in OFFICIAL if key in measures]
    return {key: measures[key] for key in [*first, *(k for k in measures if k not in first)]}


def as_json(measures: Mapping[str, Measure]) -> dict[str, Any]:
    """One JSON object: numbers by name (None where undefined), `count`, `interval_95` and `notes`.

    Names with a slash are nested once: `CLIP Score/plcc` stands in an object `CLIP Score`. Never NaN.
    """
    values: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    spans: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for name, measure in measures.items():
        plain = measure.plain()
        _put(values, name, plain["value"])
        _put(counts, name, plain["count"])
        if plain["low"] is not None:
            _put(spans, name, [plain["low"], plain["high"]])
        if plain["note"]:
            notes[name] = plain["note"]
    return {**values, "count": counts, "interval_95": spans, "notes": notes}


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    head, slash, tail = name.partition("/")
    if slash:
        into.setdefault(head, {})[tail] = value  # one level: kinds such as "animal/human" have slashes
    else:
        into[name] = value
