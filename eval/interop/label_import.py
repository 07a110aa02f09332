"""Import corrected Label Studio annotations as labelled rows."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.interop.export_files import open_output
from eval.interop.label_studio import NO_ELEMENTS
from judge.errors import InputError
from judge.types import DefectLabel, ElementLabel, LabelledSample, Labels


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote."""

    rows: int
    unannotated: int
    """Tasks without an annotation; they are left out."""
    ignored: int
    """Results that labels have no field for, for example brush strokes."""


def import_label_studio(export: Path, out: Path) -> ImportResult:
    """Convert Label Studio's JSON export to labelled rows.

    If the file is written next to the images, it is data of the suite `scenes`. The last annotation of a task
    that was not cancelled is used. Polygons and rotated rectangles become their bounding boxes. Elements are
    labelled only where an annotator answered the question about them.

    Args:
        export: the export that Label Studio calls JSON (not JSON-MIN).
        out: JSONL file to write; images are named relative to it.

    Raises:
        InputError: the file is no such export, or a region in it is unusable.
    """
    rows = unannotated = ignored = 0
    tasks = _read_tasks(export)
    with open_output(out) as file:
        for number, task in enumerate(tasks, 1):
            annotation = _last_annotation(task)
            if annotation is None:
                unannotated += 1
                continue
            try:
                sample, unknown = _to_sample(task["data"], annotation.get("result") or [], out.parent)
            except InputError:
                raise
            except (KeyError, TypeError, ValueError, ValidationError) as error:
                raise InputError(
                    f"{export} task {number}",
                    _shorten(error),
                    "regions as this version exports them",
                    "correct the task",
                ) from None
            file.write(sample.model_dump_json(exclude={"reference"}) + "\n")
            rows, ignored = rows + 1, ignored + unknown
    return ImportResult(rows, unannotated, ignored)


def _read_tasks(export: Path) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(export.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("export", str(export), "a JSON export of Label Studio", reason) from None
    if not isinstance(tasks, list) or not all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks
    ):
        mend = "export the project as JSON, not JSON-MIN"
        raise InputError("export", str(export), "a list of tasks with `data` and `annotations`", mend)
    return tasks


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _last_annotation(task: Mapping[str, Any]) -> dict[str, Any] | None:
    annotations = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
    return max(annotations, key=lambda a: str(a.get("updated_at") or "")) if annotations else None


def _to_sample(data: Mapping[str, Any], results: list[Any], folder: Path) -> tuple[LabelledSample, int]:
    """Convert an annotation to a labelled sample.

    Args:
        data: the `data` of the task.
        results: the `result` of the annotation.
        folder: folder that the image is named relative to.

    Returns:
        The sample, and the number of results that labels have no field for.
    """
    regions: dict[str, dict[str, Any]] = {}
    labels: dict[str, Any] = {}
    ignored = 0
    for number, result in enumerate(results):
        control, kind, value = result["from_name"], result["type"], result["value"]
        region_id = str(result.get("id", number))
        if kind in ("rectanglelabels", "polygonlabels"):
            regions.setdefault(region_id, {}).update(kind=value[kind][0], box=_bounding_box(result))
        elif control in ("family", "severity") and kind == "choices":
            regions.setdefault(region_id, {})[control] = value["choices"][0]
        elif control == "explanation" and kind == "textarea":
            text = value["text"]
            text = " ".join(text) if isinstance(text, list) else text
            regions.setdefault(region_id, {})["explanation"] = text
        elif control == "elements" and kind == "choices":
            labels["elements"] = _element_labels(data, set(value["choices"]))
        elif control == "score" and kind == "number":
            labels["score"] = value["number"]
        else:
            ignored += 1
    complete = [region for region in regions.values() if "box" in region]
    ignored += len(regions) - len(complete)
    labels["defects"] = [DefectLabel(**region) for region in complete]
    file = data.get("file") or ""
    image = os.path.relpath(file, folder.resolve()) if file else data.get("image")
    names = [label.name for label in labels.get("elements", [])]
    sample = LabelledSample(id=str(data.get("id", "")), image=image, prompt=data.get("prompt") or "",
                            elements=names or None, labels=Labels(**labels))  # fmt: skip
    return sample, ignored


def _element_labels(data: Mapping[str, Any], chosen: set[str]) -> list[ElementLabel]:
    names = [choice["value"] for choice in data.get("elements") or []]
    return [ElementLabel(name=name, present=name in chosen) for name in names if name != NO_ELEMENTS]


def _bounding_box(result: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return the bounding box of a region in pixels, clipped to the image.

    Label Studio rotates a rectangle about its upper left corner.
    """
    value, width, height = result["value"], result["original_width"], result["original_height"]
    if "points" in value:
        corners = [(x * width / 100, y * height / 100) for x, y in value["points"]]
    else:
        x, y = value["x"] * width / 100, value["y"] * height / 100
        w, h = value["width"] * width / 100, value["height"] * height / 100
        angle = math.radians(value.get("rotation") or 0)
        c, s = math.cos(angle), math.sin(angle)
        corners = [(x + a * c - b * s, y + a * s + b * c) for a, b in ((0, 0), (w, 0), (0, h), (w, h))]
    xs, ys = [min(max(x, 0.0), width) for x, _ in corners], [min(max(y, 0.0), height) for _, y in corners]
    # The conversion to percent and back changes the last digits.
    x1, y1, x2, y2 = (round(v, 6) for v in (min(xs), min(ys), max(xs), max(ys)))
    return x1, y1, x2, y2
