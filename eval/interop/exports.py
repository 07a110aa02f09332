"""Export the regions of a run as COCO results, FiftyOne detections or Label Studio predictions.

- `coco`: FILE is a list of COCO results (box as x, y, width, height in pixels). Next to it, FILE with the
  suffix `.images.json` holds the images and categories that the ids refer to, and the true regions if the
  suite has them, so that pycocotools reads one as ground truth and the other as results.
- `fiftyone`: FILE is the labels.json of a FiftyOneImageDetectionDataset (box as x, y, width, height, 0..1).
  FiftyOne calls an image by its path without the suffix; where several rows have the same, the suffix or a
  number is added. Next to it, FILE with the suffix `.data.json` says which image each name stands for; give
  it to FiftyOne as `data_path`.
- `label-studio`: see `eval.interop.label_studio`.

Rows are written while they are read. Only the names of the kinds and, for COCO, the true regions are kept in
memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from pathlib import Path, PurePosixPath
from typing import Any

from eval.interop.export_files import (
    ExportResult,
    image_file,
    image_name,
    json_list,
    open_output,
    to_xywh,
)
from eval.interop.label_studio import export_label_studio
from eval.runs.records import RecordedRun
from judge.errors import InputError
from judge.types import DefectLabel


def export_regions(run: RecordedRun, to: str, out: Path, *, url: str | None = None) -> ExportResult:
    """Write the regions of a run.

    Args:
        run: the run.
        to: coco, label-studio or fiftyone.
        out: the file.
        url: label-studio only: prefix of the images' paths below the data's folder; default: the address at
            which Label Studio serves local files.

    Raises:
        InputError: there is no such format, the data is missing, or the file cannot be written.
    """
    if to not in FORMATS:
        raise InputError("to", to, ", ".join(FORMATS), "use one of them")
    if url is not None and to != "label-studio":
        raise InputError("url", url, "only with label-studio", "leave it out")
    return FORMATS[to](run, out, url)


def _export_coco(run: RecordedRun, out: Path, url: str | None) -> ExportResult:
    category_ids: dict[str, int] = {}
    images = regions = unjudged = 0
    truth_path = out.with_suffix(".images.json")
    with open_output(out) as results, open_output(truth_path) as truth, json_list(results) as add:
        truth.write('{"info": {"description": ' + json.dumps(run.suite.title) + '},\n"images": [')
        labels: list[tuple[int, DefectLabel]] = []
        for number, row in enumerate(run.judged_rows(media=True), 1):
            verdict: Any = row.verdict
            if verdict["size"] is None:
                unjudged += 1
                continue
            width, height = verdict["size"]
            image = {"id": number, "file_name": image_name(row.sample, run.data), "width": width,
                     "height": height, "sample": row.sample.id}  # fmt: skip
            truth.write((",\n" if images else "\n") + json.dumps(image, ensure_ascii=False))
            images += 1
            labels += [(number, label) for label in row.sample.labels.defects]
            for defect in verdict["defects"]:
                category = category_ids.setdefault(defect["kind"], len(category_ids) + 1)
                add({"image_id": number, "category_id": category, "bbox": to_xywh(defect["box"]),
                     "score": defect["confidence"]})  # fmt: skip
                regions += 1
        _write_coco_truth(truth, labels, category_ids)
    return ExportResult((out, truth_path), images, regions, unjudged)


def _write_coco_truth(file: Any, labels: list[tuple[int, DefectLabel]], category_ids: dict[str, int]) -> None:
    """Write the end of the ground truth: annotations and categories.

    Args:
        file: the file, after its list of images.
        labels: image ids with their true regions.
        category_ids: category by kind; kinds that are new are added.
    """
    file.write('],\n"annotations": [')
    for number, (image_id, label) in enumerate(labels, 1):
        box = to_xywh(label.box)
        category = category_ids.setdefault(label.kind, len(category_ids) + 1)
        annotation = {"id": number, "image_id": image_id, "category_id": category, "bbox": box,
                      "area": box[2] * box[3], "iscrowd": 0}  # fmt: skip
        file.write((",\n" if number > 1 else "\n") + json.dumps(annotation))
    categories = [{"id": category, "name": name} for name, category in category_ids.items()]
    file.write('],\n"categories": ' + json.dumps(categories, ensure_ascii=False) + "}\n")


def _export_fiftyone(run: RecordedRun, out: Path, url: str | None) -> ExportResult:
    images = regions = unjudged = 0
    data_path, names = out.with_suffix(".data.json"), dict[str, str]()
    with open_output(out) as file:
        file.write('{"labels": {')
        for row in run.judged_rows(media=True):
            verdict: Any = row.verdict
            if verdict["size"] is None:
                unjudged += 1
                continue
            width, height = verdict["size"]
            detections = []
            for defect in verdict["defects"]:
                x, y, w, h = to_xywh(defect["box"])
                detections.append({
                    "label": defect["kind"],
                    "bounding_box": [x / width, y / height, w / width, h / height],
                    "confidence": defect["confidence"],
                    "attributes": {key: defect[key] for key in ("family", "severity", "explanation")},
                })  # fmt: skip
            path = image_file(row.sample)
            name = _unique_name(image_name(row.sample, run.data), has_suffix=path is not None, names=names)
            names[name] = "" if path is None else str(path.resolve())
            file.write((",\n" if images else "\n") + json.dumps(name) + ": " + json.dumps(detections))
            images += 1
            regions += len(detections)
        file.write("}}\n")
    with open_output(data_path) as file:
        # FiftyOne takes the suffix from these names, to find them among the labels.
        paths = {name + Path(path).suffix: path for name, path in names.items() if path}
        file.write(json.dumps(paths, ensure_ascii=False, indent=1) + "\n")
    return ExportResult((out, data_path), images, regions, unjudged)


def _unique_name(image: str, *, has_suffix: bool, names: Container[str]) -> str:
    """Return how FiftyOne is to call an image: its path without the suffix, if no other is called so.

    Args:
        image: path of the image, or id of the sample.
        has_suffix: whether it ends in the suffix of a file.
        names: names of the others.
    """
    path = PurePosixPath(image)
    if not has_suffix or not path.suffix:
        name = image
    else:
        name = str(path.with_suffix(""))
        if name in names:
            name = f"{name}_{path.suffix[1:]}"
    number, unique = 2, name
    while unique in names:
        unique, number = f"{name}_{number}", number + 1
    return unique


FORMATS: dict[str, Callable[[RecordedRun, Path, str | None], ExportResult]] = {
    "coco": _export_coco,
    "label-studio": export_label_studio,
    "fiftyone": _export_fiftyone,
}
