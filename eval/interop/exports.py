"""Regions of a run for other people's tools, and corrected labels back from one of them.

- `coco`: FILE is a list of COCO results (box as x, y, width, height in pixels); beside it FILE with
  `.images.json` holds what the ids mean, and the true regions where the suite knows them, so that pycocotools
  reads one as ground truth and the other as results.
- `label-studio`: FILE is a list of tasks with predictions; beside it FILE with `.config.xml` is the labelling
  interface they fit. `import_labels` reads Label Studio's JSON export back as labelled rows.
- `fiftyone`: FILE is labels.json of a FiftyOneImageDetectionDataset (box as x, y, width, height, 0..1).

Rows are written as they are read; nothing is kept but the names of kinds and, for COCO, the true regions.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pydantic import ValidationError

from eval.runs.records import Recorded
from eval.suites.base import Item, Row
from judge.errors import InputError
from judge.types import DefectLabel, ElementLabel, Family, LabelledSample, Labels, Severity

NONE = "none of these"
"""Choice for a picture that shows no element: in Label Studio, nothing chosen and not looked at are alike."""
LOCAL = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine (LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED)."""


@dataclass(frozen=True)
class Written:
    """What an export wrote."""

    files: tuple[Path, ...]
    pictures: int
    regions: int


def export(record: Recorded, to: str, out: Path, *, url: str | None = None) -> Written:
    """Write the regions of a run.

    Args:
        record: the run.
        to: coco, label-studio or fiftyone.
        out: the file.
        url: label-studio only: what stands before a picture's path below the data's folder; default: the
            address at which Label Studio serves files of its own machine.

    Raises:
        InputError: no such format, the data is not there, or the file cannot be written.
    """
    if to not in FORMATS:
        raise InputError("to", to, ", ".join(FORMATS), "use one of them")
    if url is not None and to != "label-studio":
        raise InputError("url", url, "only with label-studio", "leave it out")
    return FORMATS[to](record, out, url)


# ------------------------------------------------------------------------------------------------- COCO


def _coco(record: Recorded, out: Path, url: str | None) -> Written:
    ids: dict[str, int] = {}
    pictures = regions = true = 0
    about = out.with_suffix(".images.json")
    with _whole(out) as results, _whole(about) as truth, _list(results) as add:
        truth.write('{"info": {"description": ' + json.dumps(record.suite.title) + '},\n"images": [')
        known: list[tuple[int, DefectLabel]] = []
        for number, row in enumerate(record.judged(media=True), 1):
            verdict: Any = row.verdict
            if verdict["size"] is None:
                continue
            width, height = verdict["size"]
            image = {"id": number, "file_name": _name(row.sample, record.data), "width": width,
                     "height": height, "sample": row.sample.id}  # fmt: skip
            truth.write((",\n" if pictures else "\n") + json.dumps(image, ensure_ascii=False))
            pictures += 1
            known += [(number, label) for label in row.sample.labels.defects]
            for defect in verdict["defects"]:
                kind = ids.setdefault(defect["kind"], len(ids) + 1)
                add({"image_id": number, "category_id": kind, "bbox": _across(defect["box"]),
                     "score": defect["confidence"]})  # fmt: skip
                regions += 1
        truth.write('],\n"annotations": [')
        for number, label in known:
            box = _across(label.box)
            kind = ids.setdefault(label.kind, len(ids) + 1)
            true += 1
            annotation = {"id": true, "image_id": number, "category_id": kind, "bbox": box,
                          "area": box[2] * box[3], "iscrowd": 0}  # fmt: skip
            truth.write((",\n" if true > 1 else "\n") + json.dumps(annotation))
        categories = [{"id": number, "name": name} for name, number in ids.items()]
        truth.write('],\n"categories": ' + json.dumps(categories, ensure_ascii=False) + "}\n")
    return Written((out, about), pictures, regions)


def _across(box: Any) -> list[float]:
    """x1, y1, x2, y2 as x, y, width, height."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


# --------------------------------------------------------------------------------------------- FiftyOne


def _fiftyone(record: Recorded, out: Path, url: str | None) -> Written:
    pictures = regions = 0
    with _whole(out) as file:
        file.write('{"labels": {')
        for row in record.judged(media=True):
            verdict: Any = row.verdict
            if verdict["size"] is None:
                continue
            width, height = verdict["size"]
            found = []
            for defect in verdict["defects"]:
                x, y, w, h = _across(defect["box"])
                found.append({
                    "label": defect["kind"],
                    "bounding_box": [x / width, y / height, w / width, h / height],
                    "confidence": defect["confidence"],
                    "attributes": {key: defect[key] for key in ("family", "severity", "explanation")},
                })  # fmt: skip
            name = str(Path(_name(row.sample, record.data)).with_suffix(""))
            file.write((",\n" if pictures else "\n") + json.dumps(name) + ": " + json.dumps(found))
            pictures += 1
            regions += len(found)
        file.write("}}\n")
    return Written((out,), pictures, regions)


# ----------------------------------------------------------------------------------------- Label Studio


def _label_studio(record: Recorded, out: Path, url: str | None) -> Written:
    kinds: dict[str, None] = dict.fromkeys(_kinds_of(record))
    pictures = regions = 0
    config = out.with_suffix(".config.xml")
    with _whole(out) as file, _list(file) as add:
        for row in record.judged(media=True):
            if (row.verdict)["size"] is None:  # type: ignore[index]
                continue
            task = _task(row, record, url)
            add(task)
            kinds |= dict.fromkeys(defect["kind"] for defect in row.verdict["defects"])  # type: ignore[index]
            pictures += 1
            regions += len(row.verdict["defects"])  # type: ignore[index]
    with _whole(config) as file:
        file.write(_config(list(kinds)))
    return Written((out, config), pictures, regions)


def _kinds_of(record: Recorded) -> list[str]:
    """The kinds of defect that the run's rubric knows, where it is one of ours."""
    from judge.rubrics.rubric import Rubric

    try:
        asked = Rubric.load(record.rubric).defects
    except InputError:
        return []
    return [kind for group in asked.kinds.values() for kind in group] if asked else []


def _config(kinds: list[str]) -> str:
    """The labelling interface that the tasks' predictions fit."""
    labels = "\n".join(f"    <Label value={quoteattr(kind)}/>" for kind in kinds)

    def choices(name: str, values: tuple[str, ...]) -> str:
        inner = "".join(f"<Choice value={quoteattr(value)}/>" for value in values)
        head = f'<Choices name="{name}" toName="image" perRegion="true" choice="single-radio">'
        return f"  {head}{inner}</Choices>"

    return f"""<View>
  <Header value="$prompt"/>
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="region" toName="image">
{labels}
  </RectangleLabels>
{choices("family", get_args(Family))}
{choices("severity", get_args(Severity))}
  <TextArea name="explanation" toName="image" perRegion="true" maxSubmissions="1" editable="true"/>
  <Header value="Which of these does the picture show?"/>
  <Choices name="elements" toName="image" choice="multiple" value="$elements"/>
  <Header value="Score, 1 (worst) to 5 (best)"/>
  <Number name="score" toName="image" min="1" max="5" step="0.01"/>
</View>
"""


def _task(row: Row, record: Recorded, url: str | None) -> dict[str, Any]:
    verdict: Any = row.verdict
    item, made = row.sample, verdict["provenance"]
    name = _name(item, record.data)
    names = [element["name"] for element in verdict["elements"]]
    data = {
        "image": _address(item, name, url),
        "prompt": item.prompt,
        "elements": [{"value": value} for value in ([*names, NONE] if names else [])],
        "id": item.id,
        "file": str(Path(item.image).resolve()) if isinstance(item.image, str) else "",
        "generator": item.generator,
    }
    result: list[dict[str, Any]] = []
    for number, defect in enumerate(verdict["defects"], 1):
        result += _region(f"region-{number}", defect, verdict["size"])
    if names:
        seen = [element["name"] for element in verdict["elements"] if element["present"]]
        result.append(_answer("elements", "choices", {"choices": seen or [NONE]}))
    if verdict["score"] is not None:
        result.append(_answer("score", "number", {"number": round(verdict["score"], 2)}))
    version = made["model"] + (f" + {made['adapter']}" if made["adapter"] else "")
    sure = [defect["confidence"] for defect in verdict["defects"]]
    prediction = {"model_version": version, "score": min(sure, default=1.0), "result": result}
    return {"data": data, "predictions": [prediction]}


def _address(item: Item, name: str, url: str | None) -> str:
    """Where Label Studio finds a picture."""
    if url is not None:
        return url + quote(name)
    return LOCAL + quote(str(Path(item.image).resolve())) if isinstance(item.image, str) else ""


def _region(name: str, defect: Mapping[str, Any], size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    width, height = size
    x, y, w, h = _across(defect["box"])
    sides = zip("x y width height".split(), (x, y, w, h), (width, height, width, height), strict=True)
    place = {side: 100 * value / whole for side, value, whole in sides} | {"rotation": 0}
    about = {"id": name, "original_width": width, "original_height": height, "image_rotation": 0}
    said = (
        ("region", "rectanglelabels", {"rectanglelabels": [defect["kind"]]}),
        ("family", "choices", {"choices": [defect["family"]]}),
        ("severity", "choices", {"choices": [defect["severity"]]}),
        ("explanation", "textarea", {"text": [defect["explanation"]]}),
    )
    for control, kind, value in said:
        if value != {"text": [""]}:
            answer = _answer(control, kind, place | value) | about
            yield answer | ({"score": defect["confidence"]} if control == "region" else {})


def _answer(control: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": control, "to_name": "image", "type": kind, "value": value}


# ------------------------------------------------------------------------------------------ the way back


@dataclass(frozen=True)
class Imported:
    """What came back."""

    rows: int
    without: int
    """Tasks that nobody has annotated, left out."""
    ignored: int
    """Answers of kinds that no label has a place for, for example brush strokes."""


def import_labels(export: Path, out: Path) -> Imported:
    """Label Studio's JSON export as labelled rows; beside the pictures they are data of the suite `scenes`.

    A task's last annotation that was not cancelled counts. Polygons and turned rectangles become the boxes
    around them. Elements are labels only where somebody answered for them.

    Args:
        export: the file that Label Studio calls JSON (not JSON-MIN).
        out: JSONL file to write; pictures are named relative to it.

    Raises:
        InputError: the file is no such export, or a region in it is unusable.
    """
    try:
        tasks = json.loads(export.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("export", str(export), "a JSON export of Label Studio", reason) from None
    if not isinstance(tasks, list) or not all(
        isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks
    ):
        mend = "export the project as JSON, not JSON-MIN"
        raise InputError("export", str(export), "a list of tasks with `data` and `annotations`", mend)
    rows = without = ignored = 0
    with _whole(out) as file:
        for number, task in enumerate(tasks, 1):
            annotation = _last(task)
            if annotation is None:
                without += 1
                continue
            try:
                sample, lost = _sample(task["data"], annotation.get("result") or [], out.parent)
            except (KeyError, TypeError, ValueError, ValidationError, InputError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"{export} task {number}",
                    _brief(error),
                    "regions as this version exports them",
                    "mend the task",
                ) from None
            file.write(sample.model_dump_json(exclude={"reference"}) + "\n")
            rows, ignored = rows + 1, ignored + lost
    return Imported(rows, without, ignored)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _last(task: Mapping[str, Any]) -> dict[str, Any] | None:
    done = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
    return max(done, key=lambda a: str(a.get("updated_at") or "")) if done else None


def _sample(data: Mapping[str, Any], result: list[Any], folder: Path) -> tuple[LabelledSample, int]:
    regions: dict[str, dict[str, Any]] = {}
    labels: dict[str, Any] = {}
    lost = 0
    for number, answer in enumerate(result):
        control, kind, value = answer["from_name"], answer["type"], answer["value"]
        own = str(answer.get("id", number))
        if kind in ("rectanglelabels", "polygonlabels"):
            regions.setdefault(own, {}).update(kind=value[kind][0], box=_box(answer))
        elif control in ("family", "severity") and kind == "choices":
            regions.setdefault(own, {})[control] = value["choices"][0]
        elif control == "explanation" and kind == "textarea":
            text = value["text"]
            regions.setdefault(own, {})["explanation"] = " ".join(text) if isinstance(text, list) else text
        elif control == "elements" and kind == "choices":
            names = [choice["value"] for choice in data.get("elements") or []]
            chosen = set(value["choices"])
            labels["elements"] = [
                ElementLabel(name=name, present=name in chosen) for name in names if name != NONE
            ]
        elif control == "score" and kind == "number":
            labels["score"] = value["number"]
        else:
            lost += 1
    whole = [region for region in regions.values() if "box" in region]
    lost += len(regions) - len(whole)
    labels["defects"] = [DefectLabel(**region) for region in whole]
    file = data.get("file") or ""
    image = os.path.relpath(file, folder.resolve()) if file else data.get("image")
    names = [label.name for label in labels.get("elements", [])]
    sample = LabelledSample(id=str(data.get("id", "")), image=image, prompt=data.get("prompt") or "",
                            elements=names or None, labels=Labels(**labels))  # fmt: skip
    return sample, lost


def _box(answer: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The box around a region in pixels; its corners are turned about the upper left one, as drawn."""
    value, width, height = answer["value"], answer["original_width"], answer["original_height"]
    if "points" in value:
        corners = [(x * width / 100, y * height / 100) for x, y in value["points"]]
    else:
        x, y = value["x"] * width / 100, value["y"] * height / 100
        w, h = value["width"] * width / 100, value["height"] * height / 100
        turn = math.radians(value.get("rotation") or 0)
        c, s = math.cos(turn), math.sin(turn)
        corners = [(x + a * c - b * s, y + a * s + b * c) for a, b in ((0, 0), (w, 0), (0, h), (w, h))]
    xs, ys = [min(max(x, 0.0), width) for x, _ in corners], [min(max(y, 0.0), height) for _, y in corners]
    # Percent and back leave crumbs in the last digits.
    x1, y1, x2, y2 = (round(v, 6) for v in (min(xs), min(ys), max(xs), max(ys)))
    return x1, y1, x2, y2


# ----------------------------------------------------------------------------------------------- writing


def _name(item: Item, root: Path) -> str:
    """A picture's path below the data's folder; the sample's id where it has none."""
    if not isinstance(item.image, str | os.PathLike):
        return item.id
    path, folder = Path(item.image), root if root.is_dir() else root.parent
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


@contextmanager
def _list(file: Any) -> Iterator[Callable[[Any], None]]:
    """A JSON list, written as it grows."""
    start = "[\n"

    def add(value: Any) -> None:
        nonlocal start
        file.write(start + json.dumps(value, ensure_ascii=False))
        start = ",\n"

    yield add
    file.write("[]\n" if start == "[\n" else "\n]\n")


@contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """A file that takes its place when all is written."""
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(path), "a file that can be written", reason) from None
    finally:
        draft.unlink(missing_ok=True)


FORMATS: dict[str, Callable[[Recorded, Path, str | None], Written]] = {
    "coco": _coco,
    "label-studio": _label_studio,
    "fiftyone": _fiftyone,
}
