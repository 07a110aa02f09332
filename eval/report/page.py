"""The page of a report: one HTML file that needs no other file.

All text from the data (ids, prompts, reasons, names of generators and folders) is escaped by the template.
Only the style sheet and the plots are not; in plots, matplotlib escapes the text. A content security policy
in the page forbids scripts and any request to another place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.metric_value import MetricValue
from eval.metrics.significance import Difference
from eval.report.answers import RunAnswers
from eval.report.data import ReportData
from eval.report.gallery import AddHeat, make_gallery
from eval.report.plot_style import PLACEHOLDERS
from eval.report.plots import Plot
from eval.report.rankings import correlate_rankings, rank_generators
from judge.explain.plain_text import to_plain_text
from judge.runtime.version import __version__

TEMPLATE_FOLDER = Path(__file__).parent
MAX_RUNS_WITH_IMAGES = 3
"""Number of runs whose images are shown; numbers are shown for all runs."""
MAX_TILES = 4
"""Number of measures in the summary of a run."""

MEASURE_NAMES = {
    "srcc": "rank correlation (SRCC)", "plcc": "linear correlation (PLCC)", "krcc": "Kendall's tau (KRCC)",
    "plcc_raw": "PLCC without a fit", "plcc_fitted": "PLCC after the logistic fit", "rmse": "RMSE",
    "mae": "MAE", "element_accuracy": "accuracy of elements",
    "srcc_by_dimension": "SRCC by dimension",
    "region_pixel_iou": "IoU of pixels", "region_pixel_f1": "F1 of pixels",
    "element_constant": "best constant answer for elements",
    "element_calibration_error": "calibration error of elements",
    "f1": "F1", "box_f1": "F1 of boxes", "region_f1": "F1 of regions", "final": "final score",
    "unscored": "rows without a score",
}  # fmt: skip
ELEMENT_MEASURE_NAMES = {
    "accuracy": "accuracy of elements", "accuracy_by_kind": "accuracy of elements",
    "precision": "precision of elements", "recall": "recall of elements", "f1": "F1 of elements",
}  # fmt: skip
"""Names of measures that are computed from elements if the rows have elements."""
TILE_MEASURES = ("final", "srcc", "plcc", "element_accuracy", "accuracy", "f1", "box_f1", "region_f1")
"""Measures in the summary of a run: the first `MAX_TILES` of these that the run has."""


def render_page(
    data: ReportData, plots: Mapping[str, Plot], *, images: int, add_heat: AddHeat | None = None
) -> str:
    """Render the HTML of a report.

    Args:
        data: the report.
        plots: its plots by name.
        images: number of images of the worst and of the best agreement, for each run; 0 shows no images.
        add_heat: adds heat maps to the verdicts of the shown rows, or None.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    with_images = range(min(MAX_RUNS_WITH_IMAGES, len(data.runs)) if images else 0)
    galleries = [
        {"color": _color_index(n), **make_gallery(data, data.runs[n], images, add_heat)} for n in with_images
    ]
    galleries = [gallery for gallery in galleries if gallery["groups"]]
    return environment.get_template("page.html.jinja").render(
        title=data.suite.title,
        summary=_make_summary(data),
        truth={"source": data.truth_source, "label": data.truth_label},
        style=Markup((TEMPLATE_FOLDER / "style.css").read_text(encoding="utf-8")),
        sections=_list_sections(plots, galleries),
        runs=[_make_run(data, number) for number in range(len(data.runs))],
        measures=_make_measure_rows(data),
        differences=[_make_difference(data, *row) for row in data.differences],
        intervals_over="images" if data.has_elements else "rows",
        plots=plots,
        galleries=galleries,
        rankings=_describe_rankings(data),
        is_ranked_by_truth=bool(rank_generators(data.generators, data.truth)),
        provenance=_make_provenance(data),
        source=data.suite.source,
        version=__version__,
        today=time.strftime("%Y-%m-%d"),
    )


def _make_summary(data: ReportData) -> str:
    rows, scores = len(data.ids), int(np.isfinite(data.truth).sum())
    text = f"{scores:,} of them with a {data.truth_name}" if scores else f"without a {data.truth_name}"
    if scores == rows:
        text = f"each with a {data.truth_name}"
    return f"{rows:,} rows, {text}; {len(data.runs)} run{'s' * (len(data.runs) > 1)}."


def _list_sections(plots: Mapping[str, Plot], galleries: Sequence[Any]) -> list[tuple[str, str]]:
    """Return (id, title) of the sections that the page has."""
    sections: list[tuple[str, str, bool]] = [
        ("measures", "Measures", True),
        ("agreement", "Agreement", "scatter" in plots or "scores" in plots),
        ("kinds", "Elements by kind", "kinds" in plots),
        ("calibration", "Calibration", "calibration" in plots),
        ("generators", "Generators", "generators" in plots),
        ("images", "Images", bool(galleries)),
        ("unscored", "Rows without a score", True),
        ("provenance", "Provenance", True),
    ]
    return [(id, title) for id, title, is_shown in sections if is_shown]


def _color_index(number: int) -> int:
    return number % len(PLACEHOLDERS.runs)


def measure_title(data: ReportData, measure: str) -> str:
    """Return the title of a measure in the page; a part after a slash is kept."""
    head, slash, rest = measure.partition("/")
    names = MEASURE_NAMES | ELEMENT_MEASURE_NAMES if data.has_elements else MEASURE_NAMES
    title = names.get(head, head.replace("_", " "))
    return f"{title}: {rest}" if slash else title


# ---------------------------------------------------------------------------------------------- the runs


def _make_run(data: ReportData, number: int) -> dict[str, Any]:
    run, manifest = data.runs[number], data.runs[number].recorded.manifest
    loaded, rubric = manifest["loaded"], manifest["rubric"]["name"]
    model = f"{manifest['model']} + {manifest['adapter']}" if manifest["adapter"] else manifest["model"]
    shard_count = len(run.recorded.folders)
    shards = f", {shard_count} shards" if shard_count > 1 else ""
    return {
        "name": run.name,
        "color": _color_index(number),
        "settings": f"{model}, {loaded['backend']}, rubric {rubric}, depth {manifest['depth']}{shards}",
        "tiles": [_make_tile(measure_title(data, name), run.measures[name]) for name in _tile_measures(run)],
        "total": len(run.status),
        "scored": run.count("scored"),
        "unscored": run.count("unscored"),
        "abstained": run.abstained,
        "not_judged": run.count(""),
        "reasons": [
            {"count": count, "reason": to_plain_text(reason), "examples": ", ".join(run.examples[reason])}
            for reason, count in run.reasons.most_common(20)
        ],
    }


def _tile_measures(run: RunAnswers) -> list[str]:
    defined = [name for name, measure in run.measures.items() if measure.value is not None]
    return [name for name in TILE_MEASURES if name in defined][:MAX_TILES]


def _make_tile(title: str, measure: MetricValue) -> dict[str, str]:
    cell = _make_cell(measure)
    return {"title": title, "text": cell["text"] or "", "interval": cell["interval"]}


def _make_cell(measure: MetricValue) -> dict[str, Any]:
    """Return the text of a value, of its interval and its note; the text of an undefined value is None."""
    interval = measure.interval
    ends = ""
    if interval and interval.low is not None:
        ends = f"{_format_number(interval.low)} to {_format_number(interval.high)}"
    text = None if measure.value is None else _format_number(measure.value)
    return {"text": text, "interval": ends, "note": measure.note}


def _format_number(value: float | None) -> str:
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) != 1:
        return f"{value:,.0f}"
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:,.2f}").replace("-", "−")


def _make_measure_rows(data: ReportData) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for run in data.runs for name in run.measures)
    rows = [
        {
            "title": measure_title(data, name),
            "cells": [_make_cell(m) if (m := run.measures.get(name)) else None for run in data.runs],
        }
        for name in names
    ]
    medians = [float(np.median(run.milliseconds)) if len(run.milliseconds) else None for run in data.runs]
    cells = [None if m is None else {"text": f"{m:,.1f} ms", "interval": "", "note": ""} for m in medians]
    return [*rows, {"title": "median time per row", "cells": cells}]


def _make_difference(
    data: ReportData, measure: str, run: RunAnswers, difference: Difference
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.name,
        "color": _color_index(data.runs.index(run)),
        "measure": measure_title(data, measure),
        "count": difference.count,
        "note": difference.note,
        "value": None,
        "interval": "",
        "p": "",
        "is_significant": False,
    }
    if difference.value is None or difference.low is None or difference.high is None or difference.p is None:
        return row
    return row | {
        "value": _format_signed(difference.value),
        "interval": f"{_format_signed(difference.low)} to {_format_signed(difference.high)}",
        "p": f"{difference.p:.3f}" if difference.p >= 0.005 else "< 0.005",
        "is_significant": difference.p < 0.05,
    }


def _format_signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _describe_rankings(data: ReportData) -> list[str]:
    """Return a sentence for each run on how well its ranking of the generators agrees with the true one."""
    true_ranking = rank_generators(data.generators, data.truth)
    if len(true_ranking) < 3:
        return []
    sentences = []
    for run in data.runs:
        ranking = rank_generators(data.generators, run.predicted)
        correlation = correlate_rankings(ranking, true_ranking)
        if correlation.value is not None:
            sentences.append(
                f"{run.name} ranks {correlation.count} generators with a rank correlation of "
                f"{correlation.value:.2f}."
            )
    return sentences


def _make_provenance(data: ReportData) -> list[dict[str, Any]]:
    """Return the rows of the table of provenance: settings of each run, from its manifest."""
    rows: dict[str, Callable[[Any], Any]] = {
        "model": lambda m: m["loaded"]["model"],
        "revision": lambda m: str(m["loaded"]["revision"])[:16],
        "adapter": lambda m: m["loaded"]["adapter"],
        "backend": lambda m: f"{m['loaded']['backend']} {m['loaded']['backend_version']}",
        "rubric": lambda m: f"{m['rubric']['name']} {m['rubric']['hash'][:12]}",
        "depth": lambda m: m["depth"],
        "seed": lambda m: m["seed"],
        "suite": lambda m: m["suite"] + (f", split {m['split']}" if m["split"] else ""),
        "limit": lambda m: m["limit"],
        "data fingerprint": lambda m: m["data"]["fingerprint"][:16],
        "started": lambda m: str(m.get("begun", "")).replace("T", " "),
        "versions": lambda m: ", ".join(f"{name} {version}" for name, version in m["versions"].items()),
    }
    manifests = [run.recorded.manifest for run in data.runs]
    return [
        {
            "title": title,
            "values": [str(value) if (value := read(m)) not in (None, "", {}) else "–" for m in manifests],
        }
        for title, read in rows.items()
    ]
