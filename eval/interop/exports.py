"""Export the regions of a run as COCO results, FiftyOne detections or Label Studio predictions.

- `coco`: FILE is a list of COCO results (box as x, y, width, height in pixels). Next to it, FILE with the
  suffix `.images.json` holds the images and categories that the ids refer to, and the true regions if the
  suite has them, so that pycocotools reads one as ground truth and the other as results.
- `fiftyone`: FILE is the labels.json of a FiftyOneImageDetectionDataset (box as x, y, width, height, 0..1).
- `label-studio`: see `eval.interop.label_studio`.

Rows are written while they are read. Only the names of the kinds and, for COCO, the true regions are kept in
memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.interop.export_files import ExportResult, image_name, json_list, open_output, to_xywh
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
    images = regions = 0
    truth_path = out.with_suffix(".images.json")
    with open_output(out) as results, open_output(truth_path) as truth, json_list(results) as add:
        truth.write('{"info": {"description": ' + json.dumps(run.suite.title) + '},\n"images": [')
        labels: list[tuple[int, DefectLabel]] = []
        for number, row in enumerate(run.judged_rows(media=True), 1):
            verdict: Any = row.verdict
            if verdict["size"] is None:
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
    return ExportResult((out, truth_path), images, regions)


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
    images = regions = 0
    with open_output(out) as file:
        file.write('{"labels": {')
        for row in run.judged_rows(media=True):
            verdict: Any = row.verdict
            if verdict["size"] is None:
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
            name = str(Path(image_name(row.sample, run.data)).with_suffix(""))
            file.write((",\n" if images else "\n") + json.dumps(name) + ": " + json.dumps(detections))
            images += 1
            regions += len(detections)
        file.write("}}\n")
    return ExportResult((out,), images, regions)


FORMATS: dict[str, Callable[[RecordedRun, Path, str | None], ExportResult]] = {
    "coco": _export_coco,
    "label-studio": export_label_studio,
    "fiftyone": _export_fiftyone,
}
