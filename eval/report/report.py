"""Write the files of a report: report.html, a PNG of each plot, rows.csv and measures.json.

report.html needs no other file. rows.csv has one line for each row and run. A folder with an older report is
overwritten; each file is replaced in one step.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.report.answers import RunAnswers
from eval.report.data import ReportData
from eval.report.gallery import AddHeat
from eval.report.page import render_page
from eval.report.plots import make_plots
from eval.report.rankings import rank_generators
from eval.report.reading import read_report_data
from eval.runs.atomic_file import open_atomic
from eval.runs.records import RecordedRun
from eval.runs.run_folder import write_errors
from judge.errors import InputError

DEFAULT_IMAGES = 6
"""Number of images that are shown of the worst and of the best agreement."""
COLUMNS = ("run", "id", "generator", "status", "predicted", "human", "fitted", "elements_right", "elements")
"""Columns of rows.csv."""


def write_report(
    runs: Sequence[RecordedRun],
    out: Path,
    *,
    images: int = DEFAULT_IMAGES,
    add_heat: AddHeat | None = None,
) -> Path:
    """Write the report of some runs into a folder.

    Args:
        runs: runs over the same rows; differences are taken from the first one.
        out: the folder; created if it does not exist.
        images: number of images of the worst and of the best agreement, for each run; 0 shows no images.
        add_heat: adds heat maps to the verdict of a row that is shown.

    Returns:
        The path of the page.

    Raises:
        InputError: the runs are not over the same rows, the data is missing, a run has no verdict,
            matplotlib is not installed, or `out` cannot be written.
    """
    if images < 0:
        raise InputError("pictures", images, "0 or more", "the default is 6")
    data = read_report_data(runs)
    for run in data.runs:
        if not any(run.status):
            mend = "resume it with judge eval run"
            raise InputError("run", str(run.recorded.folders[0]), "a run with verdicts", mend)
    plots = make_plots(data)
    html = render_page(data, plots, images=images, add_heat=add_heat)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with open_atomic(out / "rows.csv", newline="", errors="replace") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for run in data.runs:
                table.writerows(_csv_rows(data, run))
        with open_atomic(out / "measures.json", newline="", errors="replace") as file:
            json.dump(_make_measures(data), file, indent=2, ensure_ascii=False, allow_nan=False)
        for plot in plots.values():
            with open_atomic(out / f"{plot.name}.png", "wb") as file:
                file.write(plot.png)
        with open_atomic(out / "report.html", newline="", errors="replace") as file:
            file.write(html)
    return out / "report.html"


def _csv_rows(data: ReportData, run: RunAnswers) -> Iterator[list[object]]:
    fitted = data.fitted(run)
    counts = run.elements.count_by_row(len(data.ids))
    for row, row_id in enumerate(data.ids):
        correct, total = counts[row]
        yield [
            _escape_formula(run.name), _escape_formula(row_id), _escape_formula(data.generators[row]),
            run.status[row] or "not judged yet",
            _format_number(run.predicted[row]), _format_number(data.truth[row]),
            "" if isinstance(fitted, str) else _format_number(fitted[row]),
            int(correct) if total else "", int(total) or "",
        ]  # fmt: skip


def _escape_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _format_number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _make_measures(data: ReportData) -> dict[str, Any]:
    """Return the content of measures.json: the numbers in the tables of the page."""
    return {
        "suite": data.suite.name,
        "rows": len(data.ids),
        "runs": [
            {
                "name": run.name,
                "model": run.recorded.manifest["loaded"],
                "rubric": run.recorded.manifest["rubric"],
                "scored": run.count("scored"),
                "unscored": run.count("unscored"),
                "abstained": run.abstained,
                "not_judged": run.count(""),
                "reasons": dict(run.reasons),
                "measures": {name: measure.as_dict() for name, measure in run.measures.items()},
                "generators": [
                    {"name": generator.name, "rows": generator.count, **generator.mean.as_dict()}
                    for generator in rank_generators(data.generators, run.predicted)
                ],
            }
            for run in data.runs
        ],
        "differences_from_the_first": [
            {"measure": name, "run": run.name, **asdict(difference)}
            for name, run, difference in data.differences
        ],
    }
