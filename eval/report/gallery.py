"""The images of a report page, with the verdict's regions, elements and heat maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from eval.report.answers import RunAnswers
from eval.report.data import ReportData
from eval.report.reading import iterate_rows
from eval.report.selection import select_rows
from eval.runs.records import RecordedRun
from eval.suites.shared.samples import JudgedSample, SuiteSample
from judge.errors import InputError
from judge.explain.plain_text import to_plain_text
from judge.media.image import load_image
from judge.media.video import load_video
from judge.types import Heat, Verdict

AddHeat = Callable[[RecordedRun, JudgedSample], Verdict]
"""Returns the verdict of a row with heat maps."""
IMAGE_PIXELS = 448
"""Longer side of the images in the page, in pixels."""
HEAT_MAP_PIXELS = 176
"""Longer side of the heat maps in the page, in pixels."""
DISPLAY_HEIGHT = 344
"""Height of an image on the page in CSS pixels, if the page is wide enough."""


def make_gallery(data: ReportData, run: RunAnswers, count: int, add_heat: AddHeat | None) -> dict[str, Any]:
    """Return the template variables of the images of one run.

    Args:
        data: the report.
        run: one of its runs.
        count: number of images of the worst and of the best agreement.
        add_heat: adds heat maps to the verdicts, or None.
    """
    selection = select_rows(data, run, count)
    rows = dict(_read_rows(run, {*selection.worst, *selection.best}))
    heat = {index: add_heat(run.recorded, row).heat for index, row in rows.items()} if add_heat else {}
    fitted = data.fitted(run)
    groups = [
        {
            "title": title,
            "images": [
                _make_entry(data, run, index, rows[index], fitted, heat.get(index))
                for index in indices
                if index in rows
            ],
        }
        for title, indices in zip(selection.titles, (selection.worst, selection.best), strict=True)
    ]
    samples = [row.sample for row in rows.values()]
    return {
        "title": "Images" if len(data.runs) == 1 else f"Images: {run.name}",
        "rule": selection.rule,
        "groups": [group for group in groups if group["images"]],
        "has_true_regions": any(sample.labels.defects for sample in samples),
        "has_true_scores": not isinstance(fitted, str),
        "has_elements": any(row.verdict["elements"] for row in rows.values()),  # type: ignore[index]
        "has_heat": any(heat.values()),
    }


def _read_rows(run: RunAnswers, indices: set[int]) -> Iterator[tuple[int, JudgedSample]]:
    """Yield the judged rows with these indices."""
    remaining = len(indices)
    for index, row in enumerate(iterate_rows(run.recorded)):
        if not remaining:
            return
        if index in indices and isinstance(row, JudgedSample):
            remaining -= 1
            yield index, row


def _make_entry(
    data: ReportData, run: RunAnswers, index: int, row: JudgedSample, fitted: Any, heat: Heat | None
) -> dict[str, Any]:
    """Return the template variables of one image."""
    verdict: Any = row.verdict
    sample, truth = row.sample, data.truth[index]
    fit = None if isinstance(fitted, str) or not np.isfinite(fitted[index]) else float(fitted[index])
    return {
        "score": f"{run.predicted[index]:.2f}" if np.isfinite(run.predicted[index]) else "",
        "fitted": "" if fit is None or data.suite.mos_range == (1.0, 5.0) else f"{fit:.3g}",
        "truth": f"{truth:.3g}" if np.isfinite(truth) else "",
        "scale": _scale_positions(data, fit, float(truth)) if fit is not None else None,
        "prompt": to_plain_text(sample.prompt),
        "elements": list(_make_elements(sample, verdict)),
        "defects": [_describe_defect(defect) for defect in verdict["defects"]],
        "explanation": to_plain_text(verdict.get("explanation") or ""),
        "id": to_plain_text(sample.id),
        "generator": to_plain_text(sample.generator),
        **_make_image(sample, verdict, heat),
    }


def _scale_positions(data: ReportData, fitted: float, truth: float) -> tuple[str, str]:
    """Return the positions of the fitted and the true score on the human scale, in percent."""
    low, high = data.suite.mos_range or (float(np.nanmin(data.truth)), float(np.nanmax(data.truth)))
    width = max(high - low, 1e-12)
    a, b = (min(100.0, max(0.0, 100 * (value - low) / width)) for value in (fitted, truth))
    return f"{a:.1f}", f"{b:.1f}"


def _make_elements(sample: SuiteSample, verdict: Any) -> Iterator[dict[str, str]]:
    """Yield the elements of the verdict, then the labelled elements that have no answer."""
    truth = {" ".join(label.name.split()): label.present for label in sample.labels.elements}
    for element in verdict["elements"]:
        present = truth.get(" ".join(element["name"].split()))
        state = "unlabelled" if present is None else "" if present == element["present"] else "wrong"
        yield {
            "name": to_plain_text(
                element["name"] if element.get("expected", True) else f"no {element['name']}"
            ),
            "mark": "✓" if element["present"] else "✗",
            "probability": f"{element['probability']:.2f}",
            "state": state,
        }
    answered = {" ".join(element["name"].split()) for element in verdict["elements"]}
    for name in truth:
        if name not in answered:
            yield {"name": to_plain_text(name), "mark": "–", "probability": "", "state": "wrong"}


def _describe_defect(defect: Any) -> str:
    explanation = f": {to_plain_text(defect['explanation'])}" if defect["explanation"] else ""
    return f"{to_plain_text(defect['kind'])}, {defect['severity']}{explanation}"


def _make_image(sample: SuiteSample, verdict: Any, heat: Heat | None) -> dict[str, Any]:
    """Return the image, or a frame of the video, as a data URL with its boxes in percent.

    Without an image, `missing` says why.
    """
    empty = {"url": "", "alt": "", "width": 0, "height": 0, "display_width": 0, "missing": "", "boxes": [],
             "heat_maps": []}  # fmt: skip
    if sample.image is None and sample.video is None:
        return empty | {"missing": "the file is not in the data's folder"}
    try:
        image = load_image(sample.image).image if sample.video is None else load_video(sample.video).still
    except InputError as error:
        return empty | {"missing": to_plain_text(str(error))}
    zoom = min(1.0, IMAGE_PIXELS / max(image.width, image.height))
    width, height = max(1, round(image.width * zoom)), max(1, round(image.height * zoom))
    small = image.resize((width, height))
    boxes = [_make_box(d.box, image, 0, f"true: {d.kind}") for d in sample.labels.defects]
    for number, defect in enumerate(verdict["defects"], 1):
        boxes.append(_make_box(defect["box"], image, number, _describe_defect(defect)))
    title = to_plain_text(sample.prompt)[:160] or to_plain_text(sample.id)
    kinds = ", ".join(defect["kind"] for defect in verdict["defects"]) or "no defect"
    return empty | {
        "url": _to_data_url(small),
        "alt": f"{title}; the judge reports {to_plain_text(kinds)}",
        "width": width,
        "height": height,
        "display_width": round(DISPLAY_HEIGHT * width / height),
        "boxes": boxes,
        "heat_maps": list(_make_heat_maps(small, verdict, heat)) if heat else [],
    }


def _make_heat_maps(image: Any, verdict: Any, heat: Heat) -> Iterator[dict[str, str]]:
    """Yield the heat maps over the image: that of the score, then those of the defects."""
    from judge.explain.heatmap import blend_heat_map

    small = image.copy()
    small.thumbnail((HEAT_MAP_PIXELS, HEAT_MAP_PIXELS))
    names = ["score", *(f"{n} {to_plain_text(d['kind'])}" for n, d in enumerate(verdict["defects"], 1))]
    for name, url in zip(names, (heat.score, *heat.defects), strict=True):
        yield {"name": name, "url": _to_data_url(blend_heat_map(small, url))}


def _to_data_url(image: Any) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=84)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _make_box(box: Sequence[float], image: Any, number: int, title: str) -> dict[str, Any]:
    """Return the template variables of a box, with its position in percent; number 0: a true region."""
    w, h = image.width, image.height
    x1, y1, x2, y2 = box
    left, top, right, bottom = (
        min(100.0, max(0.0, 100 * value / side)) for value, side in ((x1, w), (y1, h), (x2, w), (y2, h))
    )
    return {
        "left": f"{left:.2f}", "top": f"{top:.2f}", "width": f"{right - left:.2f}",
        "height": f"{bottom - top:.2f}", "number": number, "title": title, "is_true": not number,
    }  # fmt: skip
