"""The page of a report: one HTML file that needs nothing else.

Everything that comes from data (ids, prompts, reasons, names of generators and folders) passes through the
template's own escaping; only our style sheet and plots do not, and in plots the texts are escaped by
matplotlib. A content security policy in the page forbids scripts and anything from elsewhere.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.agreement import Measure
from eval.report import facts as reading
from eval.report.facts import Answers, Facts, Heated
from eval.report.plots import STAND_INS, Plot
from eval.suites.base import Item, Row
from judge.errors import InputError
from judge.explain.overlay import plain
from judge.media import image as media
from judge.media import video
from judge.runtime.version import __version__
from judge.types import Heat

HERE = Path(__file__).parent
MAP = 176
"""Longer side in pixels of a heat map."""
SIDE = 448
"""Longer side in pixels of the pictures in the page."""
HIGH = 344
"""Pixels of the page that a picture is high, where its width allows."""
SHOWN_RUNS = 3
"""Runs whose pictures are shown; the numbers are given for all."""

NAMES = {
    "srcc": "rank correlation (SRCC)", "plcc": "linear correlation (PLCC)", "krcc": "Kendall's tau (KRCC)",
    "plcc_raw": "PLCC without a fit", "plcc_fitted": "PLCC after the logistic fit", "rmse": "RMSE",
    "mae": "MAE", "element_accuracy": "elements judged right",
    "srcc_by_dimension": "SRCC by dimension",
    "region_pixel_iou": "IoU of pixels", "region_pixel_f1": "F1 of pixels",
    "element_constant": "the best constant answer",
    "element_calibration_error": "elements' calibration error",
    "f1": "F1", "box_f1": "F1 of boxes", "region_f1": "F1 of regions", "final": "final score",
    "unscored": "rows without a score",
}  # fmt: skip
OF_ELEMENTS = {
    "accuracy": "elements judged right", "accuracy_by_kind": "elements judged right",
    "precision": "precision of elements", "recall": "recall of elements", "f1": "F1 of elements",
}  # fmt: skip
"""What these measures are of where rows have elements."""
FIRST = ("final", "srcc", "plcc", "element_accuracy", "accuracy", "f1", "box_f1", "region_f1")
"""Measures for the tiles at the top, as far as there are any, at most four."""


def page(facts: Facts, plots: Mapping[str, Plot], *, pictures: int, heated: Heated | None = None) -> str:
    """The HTML of a report; `pictures` of the worst and best agreement each are shown of a run, with heat
    maps where there is somebody to make them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    room = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = range(min(SHOWN_RUNS, len(facts.runs)) if pictures else 0)
    galleries = [_gallery(facts, n, pictures, heated) for n in shown]
    galleries = [gallery for gallery in galleries if gallery["parts"]]
    from markupsafe import Markup

    return room.get_template("page.html.jinja").render(
        title=facts.suite.title,
        lead=_lead(facts),
        words={"people": facts.people, "said": facts.said},
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        sections=_sections(plots, galleries),
        runs=[_run(facts, number) for number in range(len(facts.runs))],
        measures=_measures(facts),
        differences=[_difference(facts, *found) for found in facts.differences],
        grouped=facts.has_elements,
        plots=plots,
        galleries=galleries,
        rankings=_rankings(facts),
        ranked_by_people=bool(reading.ranking(facts, facts.truth)),
        made=_made(facts),
        source=facts.suite.source,
        version=__version__,
        today=time.strftime("%Y-%m-%d"),
    )


def _lead(facts: Facts) -> str:
    count, opinions = len(facts.ids), int(np.isfinite(facts.truth).sum())
    known = f"{opinions:,} of them with a {facts.human}" if opinions else f"without a {facts.human}"
    if opinions == count:
        known = f"each with a {facts.human}"
    return f"{count:,} rows, {known}; {len(facts.runs)} run{'s' * (len(facts.runs) > 1)}."


def _sections(plots: Mapping[str, Plot], galleries: Sequence[Any]) -> list[tuple[str, str]]:
    there: list[tuple[str, str, bool]] = [
        ("measures", "Measures", True),
        ("agreement", "Agreement", "scatter" in plots or "scores" in plots),
        ("kinds", "Elements by kind", "kinds" in plots),
        ("calibration", "Calibration", "calibration" in plots),
        ("generators", "Generators", "generators" in plots),
        ("pictures", "Pictures", bool(galleries)),
        ("unscored", "Rows without a score", True),
        ("made", "How it was made", True),
    ]
    return [(id, name) for id, name, shown in there if shown]


def _color(number: int) -> int:
    return number % len(STAND_INS.runs)


def named(facts: Facts, measure: str) -> str:
    """A measure's name for people."""
    head, slash, rest = measure.partition("/")
    known = NAMES | OF_ELEMENTS if facts.has_elements else NAMES
    name = known.get(head, head.replace("_", " "))
    return f"{name}: {rest}" if slash else name


# ---------------------------------------------------------------------------------------------- the runs


def _run(facts: Facts, number: int) -> dict[str, Any]:
    run, manifest = facts.runs[number], facts.runs[number].record.manifest
    loaded, rubric = manifest["loaded"], manifest["rubric"]["name"]
    model = f"{manifest['model']} + {manifest['adapter']}" if manifest["adapter"] else manifest["model"]
    shards = f", {len(run.record.folders)} shards" if len(run.record.folders) > 1 else ""
    return {
        "name": run.name,
        "color": _color(number),
        "made": f"{model}, {loaded['backend']}, rubric {rubric}, depth {manifest['depth']}{shards}",
        "tiles": [_tile(named(facts, name), run.measures[name]) for name in _headline(run)],
        "total": len(run.status),
        "scored": run.count("scored"),
        "unscored": run.count("unscored"),
        "open": run.count(""),
        "reasons": [
            {"count": n, "reason": plain(reason), "examples": ", ".join(run.examples[reason])}
            for reason, n in run.reasons.most_common(20)
        ],
    }


def _headline(run: Answers) -> list[str]:
    defined = [name for name, m in run.measures.items() if m.value is not None]
    return [name for name in FIRST if name in defined][:4]


def _tile(name: str, measure: Measure) -> dict[str, str]:
    shown = _value(measure)
    return {"name": name, "text": shown["text"] or "", "span": shown["span"]}


def _value(measure: Measure) -> dict[str, Any]:
    span = measure.interval
    ends = f"{_number(span.low)} to {_number(span.high)}" if span and span.low is not None else ""
    text = None if measure.value is None else _number(measure.value)
    return {"text": text, "span": ends, "note": measure.note}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) != 1:
        return f"{value:,.0f}"
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:,.2f}").replace("-", "−")


def _measures(facts: Facts) -> list[dict[str, Any]]:
    order = dict.fromkeys(name for run in facts.runs for name in run.measures)
    rows = [
        {
            "name": named(facts, name),
            "cells": [_value(m) if (m := run.measures.get(name)) else None for run in facts.runs],
        }
        for name in order
    ]
    spent = [float(np.median(run.milliseconds)) if len(run.milliseconds) else None for run in facts.runs]
    cells = [None if s is None else {"text": f"{s:,.1f} ms", "span": "", "note": ""} for s in spent]
    return [*rows, {"name": "median time a row", "cells": cells}]


def _difference(facts: Facts, measure: str, run: Answers, found: Any) -> dict[str, Any]:
    known = found.value is not None
    return {
        "run": run.name,
        "color": _color(facts.runs.index(run)),
        "measure": named(facts, measure),
        "value": _signed(found.value) if known else None,
        "span": f"{_signed(found.low)} to {_signed(found.high)}" if known else "",
        "p": f"{found.p:.3f}" if known and found.p >= 0.005 else "< 0.005" if known else "",
        "sure": known and found.p < 0.05,
        "count": found.count,
        "note": found.note,
    }


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _rankings(facts: Facts) -> list[str]:
    """How well each run's ranking of the generators agrees with that of people."""
    people = reading.ranking(facts, facts.truth)
    if len(people) < 3:
        return []
    said = []
    for run in facts.runs:
        found = reading.agreement_of_rankings(reading.ranking(facts, run.predicted), people)
        if found.value is not None:
            said.append(
                f"{run.name} ranks {found.count} generators with a rank correlation of {found.value:.2f}."
            )
    return said


def _made(facts: Facts) -> list[dict[str, Any]]:
    manifests = [run.record.manifest for run in facts.runs]

    def row(name: str, of: Any) -> dict[str, Any]:
        return {
            "name": name,
            "values": [str(v) if (v := of(m)) not in (None, "", {}) else "–" for m in manifests],
        }

    rows = [
        row("model", lambda m: m["loaded"]["model"]),
        row("revision", lambda m: str(m["loaded"]["revision"])[:16]),
        row("adapter", lambda m: m["loaded"]["adapter"]),
        row("backend", lambda m: f"{m['loaded']['backend']} {m['loaded']['backend_version']}"),
        row("rubric", lambda m: f"{m['rubric']['name']} {m['rubric']['hash'][:12]}"),
        row("depth", lambda m: m["depth"]),
        row("seed", lambda m: m["seed"]),
        row("suite", lambda m: m["suite"] + (f", split {m['split']}" if m["split"] else "")),
        row("limit", lambda m: m["limit"]),
        row("data fingerprint", lambda m: m["data"]["fingerprint"][:16]),
        row("begun", lambda m: str(m.get("begun", "")).replace("T", " ")),
        row("versions", lambda m: ", ".join(f"{k} {v}" for k, v in m["versions"].items())),
    ]
    return rows


# ------------------------------------------------------------------------------------------- the pictures


def _gallery(facts: Facts, number: int, count: int, heated: Heated | None) -> dict[str, Any]:
    run = facts.runs[number]
    choice = reading.chosen(facts, run, count)
    rows = dict(_picked(run, {*choice.worst, *choice.best}))
    maps = {at: heated(run.record, row).heat for at, row in rows.items()} if heated else {}
    fitted = facts.fitted(run)
    names = ("Worst agreement", "Best agreement")
    if "lowest" in choice.rule:
        names = ("Lowest", "Highest")
    parts = [
        {
            "title": title,
            "pictures": [
                _picture(facts, run, at, rows[at], fitted, maps.get(at)) for at in chosen if at in rows
            ],
        }
        for title, chosen in zip(names, (choice.worst, choice.best), strict=True)
    ]
    items = [row.sample for row in rows.values()]
    return {
        "title": "Pictures" if len(facts.runs) == 1 else f"Pictures: {run.name}",
        "rule": choice.rule,
        "color": _color(number),
        "parts": [part for part in parts if part["pictures"]],
        "has_truth": any(item.labels.defects for item in items),
        "has_people": not isinstance(fitted, str),
        "has_elements": any(row.verdict["elements"] for row in rows.values()),  # type: ignore[index]
        "has_heat": any(maps.values()),
    }


def _picked(run: Answers, wanted: set[int]) -> Iterator[tuple[int, Row]]:
    left = len(wanted)
    for at, row in enumerate(reading.rows_of(run.record)):
        if not left:
            return
        if at in wanted and isinstance(row, Row):
            left -= 1
            yield at, row


def _picture(facts: Facts, run: Answers, at: int, row: Row, fitted: Any, heat: Heat | None) -> dict[str, Any]:
    verdict: Any = row.verdict
    item, human = row.sample, facts.truth[at]
    mapped = None if isinstance(fitted, str) or not np.isfinite(fitted[at]) else float(fitted[at])
    shown = _shown(item, verdict, heat)
    return {
        "score": f"{run.predicted[at]:.2f}" if np.isfinite(run.predicted[at]) else "",
        "fitted": "" if mapped is None or _same_scale(facts) else f"{mapped:.3g}",
        "human": f"{human:.3g}" if np.isfinite(human) else "",
        "rail": _rail(facts, mapped, float(human)) if mapped is not None else None,
        "prompt": plain(item.prompt),
        "elements": list(_elements(item, verdict)),
        "defects": [_said(d) for d in verdict["defects"]],
        "explanation": plain(verdict.get("explanation") or ""),
        "id": plain(item.id),
        "generator": plain(item.generator),
        **shown,
    }


def _same_scale(facts: Facts) -> bool:
    return facts.suite.scale == (1.0, 5.0)


def _rail(facts: Facts, mapped: float, human: float) -> tuple[str, str]:
    """Places of both scores on the human scale, in percent."""
    ends = facts.suite.scale or (float(np.nanmin(facts.truth)), float(np.nanmax(facts.truth)))
    span = max(ends[1] - ends[0], 1e-12)
    a, b = (min(100.0, max(0.0, 100 * (v - ends[0]) / span)) for v in (mapped, human))
    return f"{a:.1f}", f"{b:.1f}"


def _elements(item: Item, verdict: Any) -> Iterator[dict[str, str]]:
    truth = {" ".join(label.name.split()): label.present for label in item.labels.elements}
    for element in verdict["elements"]:
        known = truth.get(" ".join(element["name"].split()))
        state = "open" if known is None else "" if known == element["present"] else "wrong"
        yield {
            "name": plain(element["name"]),
            "mark": "✓" if element["present"] else "✗",
            "probability": f"{element['probability']:.2f}",
            "state": state,
        }
    answered = {" ".join(element["name"].split()) for element in verdict["elements"]}
    for name in truth:
        if name not in answered:
            yield {"name": plain(name), "mark": "–", "probability": "", "state": "wrong"}


def _said(defect: Any) -> str:
    said = f": {plain(defect['explanation'])}" if defect["explanation"] else ""
    return f"{plain(defect['kind'])}, {defect['severity']}{said}"


def _shown(item: Item, verdict: Any, heat: Heat | None) -> dict[str, Any]:
    """The picture, or the frame that stands for a video, as a data URL with its boxes in percent, or why
    there is none."""
    nothing = {"url": "", "alt": "", "width": 0, "height": 0, "across": 0, "missing": ""}
    nothing |= {"boxes": [], "maps": []}
    if item.image is None and item.video is None:
        return nothing | {"missing": "the file is not where the data is now"}
    try:
        picture = media.load(item.image).image if item.video is None else video.load(item.video).still
    except InputError as error:
        return nothing | {"missing": plain(str(error))}
    zoom = min(1.0, SIDE / max(picture.width, picture.height))
    size = max(1, round(picture.width * zoom)), max(1, round(picture.height * zoom))
    small = picture.resize(size)
    boxes = [_box(d.box, picture, 0, f"true: {d.kind}") for d in item.labels.defects]
    for number, defect in enumerate(verdict["defects"], 1):
        boxes.append(_box(defect["box"], picture, number, _said(defect)))
    found = ", ".join(d["kind"] for d in verdict["defects"]) or "no defect"
    alt = f"{plain(item.prompt)[:160] or plain(item.id)}; the judge names {plain(found)}"
    across = round(HIGH * size[0] / size[1])
    return nothing | {
        "url": _url(small), "alt": alt, "width": size[0], "height": size[1], "across": across, "boxes": boxes,
        "maps": list(_maps(small, verdict, heat)) if heat else [],
    }  # fmt: skip


def _maps(picture: Any, verdict: Any, heat: Heat) -> Iterator[dict[str, str]]:
    """The heat maps over the picture, the score's first."""
    from judge.explain.heatmap import painted

    small = picture.copy()
    small.thumbnail((MAP, MAP))
    names = ["score", *(f"{n} {plain(d['kind'])}" for n, d in enumerate(verdict["defects"], 1))]
    for name, url in zip(names, (heat.score, *heat.defects), strict=True):
        yield {"name": name, "url": _url(painted(small, url))}


def _url(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=84)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _box(box: Sequence[float], picture: Any, number: int, title: str) -> dict[str, Any]:
    w, h = picture.width, picture.height
    x1, y1, x2, y2 = box
    left, top, right, bottom = (
        min(100.0, max(0.0, 100 * v / side)) for v, side in ((x1, w), (y1, h), (x2, w), (y2, h))
    )
    return {
        "left": f"{left:.2f}", "top": f"{top:.2f}", "width": f"{right - left:.2f}",
        "height": f"{bottom - top:.2f}", "number": number, "title": title, "true": not number,
    }  # fmt: skip
