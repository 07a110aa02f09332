"""Import corrected Label Studio annotations as labelled rows."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.interop.export_files import open_output
from eval.interop.label_studio import NO_ELEMENTS
from judge.errors import InputError
from judge.types import DefectLabel, ElementLabel, LabelledSample, Labels

REGION_TYPES = ("rectanglelabels", "polygonlabels", "rectangle", "polygon")
"""Types of results that are regions; those without "labels" have no label."""
_UNKNOWN = object()


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote."""

    rows: int
    unannotated: int
    """Tasks without an annotation; they are left out."""
    ignored_reasons: Mapping[str, int]
    """Why results were left out, and how many: results that labels have no field for, for example brush
    strokes and relations, answers without a value, regions without a label or an area."""

    @property
    def ignored(self) -> int:
        """Number of results that were left out."""
        return sum(self.ignored_reasons.values())


def import_label_studio(export: Path, out: Path) -> ImportResult:
    """Convert Label Studio's JSON export to labelled rows.

    If the file is written next to the images, it is data of the suite `scenes`. The last annotation of a task
    that was not cancelled is used. Polygons and rotated rectangles become their bounding boxes; a region
    with several labels becomes a defect for each. Elements are labelled only where an annotator answered the
    question about them: an empty answer is none.

    Args:
        export: the export that Label Studio calls JSON (not JSON-MIN).
        out: JSONL file to write; images are named relative to it.

    Raises:
        InputError: the file is no such export, or a region in it is unusable.
    """
    rows = unannotated = 0
    ignored = Counter[str]()
    tasks = _read_tasks(export)
    with open_output(out) as file:
        for number, task in enumerate(tasks, 1):
            try:
                annotation = _last_annotation(task)
                if annotation is None:
                    unannotated += 1
                    continue
                sample = _to_sample(task["data"], annotation.get("result") or [], out.parent, ignored)
            except InputError:
                raise
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise InputError(
                    f"{export} task {number}",
                    _shorten(error),
                    "regions as this version exports them",
                    "correct the task",
                ) from None
            file.write(sample.model_dump_json(exclude={"reference"}) + "\n")
            rows += 1
    return ImportResult(rows, unannotated, dict(+ignored))


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
    text = " ".join(str(error).split())[:120] or type(error).__name__
    return f"no {text}" if isinstance(error, KeyError) else text


def _last_annotation(task: Mapping[str, Any]) -> dict[str, Any] | None:
    annotations = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
    return max(annotations, key=lambda a: str(a.get("updated_at") or "")) if annotations else None


@dataclass
class _Region:
    """What an annotator said about one region."""

    kinds: Sequence[str] = ()
    box: tuple[float, float, float, float] | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """`family`, `severity` and `explanation`, as far as they were answered."""


def _to_sample(
    data: Mapping[str, Any], results: list[Any], folder: Path, ignored: Counter[str]
) -> LabelledSample:
    """Convert an annotation to a labelled sample.

    Args:
        data: the `data` of the task.
        results: the `result` of the annotation.
        folder: folder that the image is named relative to.
        ignored: counts the results that are left out, by the reason.
    """
    regions: dict[str, _Region] = {}
    labels: dict[str, Any] = {}
    for number, result in enumerate(results):
        control, kind = result.get("from_name"), result["type"]
        region = regions.setdefault(str(result.get("id", number)), _Region())
        if kind in REGION_TYPES:
            region.box = _bounding_box(result)
            region.kinds = _listed(result["value"].get(kind)) or region.kinds
        elif kind == "labels":
            region.kinds = _listed(result["value"].get(kind))
        elif (answer := _answer(control, kind, result)) is _UNKNOWN:
            ignored[f"of type {kind}"] += 1
        elif answer in (None, "", []):
            ignored[f"{control} without an answer"] += 1
        elif control == "elements":
            labels["elements"] = _element_labels(data, set(answer))
        elif control == "score":
            labels["score"] = answer
        else:
            region.fields[control] = answer
    labels["defects"] = [label for region in regions.values() for label in _defect_labels(region, ignored)]
    file = data.get("file") or ""
    image = os.path.relpath(file, folder.resolve()) if file else data.get("image")
    names = [label.name for label in labels.get("elements", [])]
    return LabelledSample(id=str(data.get("id", "")), image=image, prompt=data.get("prompt") or "",
                          elements=names or None, labels=Labels(**labels))  # fmt: skip


def _listed(value: Any) -> list[Any]:
    """Return a value that Label Studio writes as a list, and some of its versions as one text."""
    if isinstance(value, str):
        return [value] if value else []
    return list(value or ())


def _answer(control: str, kind: str, result: Mapping[str, Any]) -> Any:
    """Return the answer to a question, without a value if it is empty; `_UNKNOWN` if labels have no field."""
    value = result.get("value") or {}
    if kind == "choices" and control in ("family", "severity"):
        return next(iter(_listed(value.get("choices"))), None)
    if kind == "choices" and control == "elements":
        return _listed(value.get("choices"))
    if kind == "textarea" and control == "explanation":
        return " ".join(_listed(value.get("text")))
    if kind == "number" and control == "score":
        return value.get("number")
    return _UNKNOWN


def _defect_labels(region: _Region, ignored: Counter[str]) -> Iterator[DefectLabel]:
    """Yield a label for each kind of a region."""
    if region.box is None:
        ignored["about a region that is not there"] += len(region.fields)
    elif not (region.box[0] < region.box[2] and region.box[1] < region.box[3]):
        ignored["regions without an area"] += 1
    elif not region.kinds:
        ignored["regions without a label"] += 1
    else:
        for kind in region.kinds:
            yield DefectLabel(kind=kind, box=region.box, **region.fields)


def _element_labels(data: Mapping[str, Any], chosen: set[str]) -> list[ElementLabel]:
    choices = data.get("elements") or []
    names = [choice if isinstance(choice, str) else choice["value"] for choice in choices]
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
