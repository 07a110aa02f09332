"""A report of one or several runs: a page to look at, plots, and the numbers behind them.

    judge eval report RUN... --out DIR

writes DIR/report.html (one file that needs nothing else), a PNG of each plot, rows.csv (a line for each row
and run) and measures.json. A folder that holds an older report is overwritten file by file, each whole.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.report import facts as reading
from eval.report.facts import Answers, Facts, Heated, collect
from eval.runs.records import Recorded
from judge.errors import InputError

PICTURES = 6
"""Pictures of the worst and of the best agreement, unless a number is asked for."""
COLUMNS = ("run", "id", "generator", "status", "predicted", "human", "fitted", "elements_right", "elements")


def report(
    records: Sequence[Recorded], out: Path, *, pictures: int = PICTURES, heated: Heated | None = None
) -> Path:
    """Write the report of these runs into a folder.

    Args:
        records: runs over the same rows; differences are taken from the first.
        out: folder, made when it is not there.
        pictures: of the worst and of the best agreement each, of each run; 0 leaves pictures out.
        heated: adds heat maps to the verdict of a row of a run, for the pictures that are shown.

    Returns:
        The page.

    Raises:
        InputError: the runs are not over the same rows, their data is not there, nothing is judged yet,
            matplotlib is not installed, or `out` cannot be written.
    """
    if pictures < 0:
        raise InputError("pictures", pictures, "0 or more", "6 is the usual number")
    facts = collect(records)
    for run in facts.runs:
        if not any(run.status):
            raise InputError(
                "run", str(run.record.folders[0]), "a run with verdicts", "judge eval run goes on with it"
            )
    from eval.report.page import page
    from eval.report.plots import plots, write

    drawn = plots(facts)
    text = page(facts, drawn, pictures=pictures, heated=heated)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with _whole(out / "rows.csv") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for run in facts.runs:
                table.writerows(_lines(facts, run))
        with _whole(out / "measures.json") as file:
            json.dump(_numbers(facts), file, indent=2, ensure_ascii=False, allow_nan=False)
        for plot in drawn.values():
            write(plot, out)
        with _whole(out / "report.html") as file:
            file.write(text)
    return out / "report.html"


def _lines(facts: Facts, run: Answers) -> Iterator[list[object]]:
    fitted = facts.fitted(run)
    tally = run.elements.tally(len(facts.ids))
    for at, name in enumerate(facts.ids):
        right, asked = tally[at]
        yield [
            _cell(run.name), _cell(name), _cell(facts.generators[at]), run.status[at] or "not judged yet",
            _digits(run.predicted[at]), _digits(facts.truth[at]),
            "" if isinstance(fitted, str) else _digits(fitted[at]),
            int(right) if asked else "", int(asked) or "",
        ]  # fmt: skip


def _cell(text: str) -> str:
    """Text that a spreadsheet takes as text: one that could be a formula gets an apostrophe before it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _digits(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _numbers(facts: Facts) -> dict[str, Any]:
    """measures.json: what the page's tables say."""
    return {
        "suite": facts.suite.name,
        "rows": len(facts.ids),
        "runs": [
            {
                "name": run.name,
                "model": run.record.manifest["loaded"],
                "rubric": run.record.manifest["rubric"],
                "scored": run.count("scored"),
                "unscored": run.count("unscored"),
                "not_judged": run.count(""),
                "reasons": dict(run.reasons),
                "measures": {name: measure.plain() for name, measure in run.measures.items()},
                "generators": [
                    {"name": s.name, "rows": s.count, **s.mean.plain()}
                    for s in reading.ranking(facts, run.predicted)
                ],
            }
            for run in facts.runs
        ],
        "differences_from_the_first": [
            {"measure": name, "run": run.name, **asdict(found)} for name, run, found in facts.differences
        ],
    }


@contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """A file that takes its place when all is written."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8", newline="", errors="replace") as file:
        yield file
    draft.replace(path)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            "out", str(out), "a folder that can be written", error.strerror or str(error)
        ) from None
