"""Official numbers of prediction files: `judge eval score SUITE --pred FILE --truth FILE [--json]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval import suites
from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

FIRST_KEYS = ("srcc", "plcc", "krcc", "rmse", "mae", "accuracy", "precision", "recall", "f1", "final")
"""Names of measures that come first, in this order, if the suite has them."""


def score_predictions(
    name: str, pred: Path, truth: Path, options: Mapping[str, str] | None = None
) -> dict[str, MetricValue]:
    """Compute the official numbers of a suite from files in the organisers' own layout.

    Args:
        name: name of the suite.
        pred: predictions: the file, or the archive that was submitted.
        truth: labels; for some suites a folder.
        options: values of `Suite.score_options`.

    Returns:
        Measures by name.

    Raises:
        InputError: there is no such suite, a file cannot be read, or the names in the files do not match.
    """
    suite = suites.load_suite(name)
    if suite.score_files is None:
        mend = "use judge eval run and judge eval report"
        raise InputError("suite", name, "a suite with files of predictions", mend)
    for field, path in (("pred", pred), ("truth", truth)):
        if not path.exists():
            raise InputError(field, str(path), "a file that exists", "check the path")
    for option, value in (options or {}).items():
        if option not in suite.score_options:
            known = ", ".join(suite.score_options) or f"no option: {name} has none"
            raise InputError("option", f"{option}={value}", known, "leave it out")
    measures = suite.score_files(pred, truth, **(options or {}))
    first = [key for key in FIRST_KEYS if key in measures]
    return {key: measures[key] for key in [*first, *(key for key in measures if key not in first)]}


def measures_to_json(measures: Mapping[str, MetricValue]) -> dict[str, Any]:
    """Convert measures to one JSON object: numbers by name, `count`, `interval_95` and `notes`.

    A number is None where it is undefined, never NaN. A name with a slash is nested once: `CLIP Score/plcc`
    is the key `plcc` of the object `CLIP Score`. A name that has a value of its own besides is the key `all`
    of its object: `box_f1@0.5` and `box_f1@0.5/artifact` are `all` and `artifact` of `box_f1@0.5`.
    """
    parents = {name.partition("/")[0] for name in measures if "/" in name}
    values: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for name, measure in measures.items():
        plain, key = measure.as_dict(), f"{name}/all" if name in parents else name
        _insert(values, key, plain["value"])
        _insert(counts, key, plain["count"])
        if plain["low"] is not None:
            _insert(intervals, key, [plain["low"], plain["high"]])
        if plain["note"]:
            notes[name] = plain["note"]
    return {**values, "count": counts, "interval_95": intervals, "notes": notes}


def _insert(target: dict[str, Any], name: str, value: Any) -> None:
    head, slash, tail = name.partition("/")
    if slash:
        target.setdefault(head, {})[tail] = value  # one level only: kinds such as "animal/human" have slashes
    else:
        target[name] = value
