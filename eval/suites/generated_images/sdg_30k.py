"""SDG-30K: where, what, why and how much. Boxes of artifacts and misalignment with descriptions.

Source: the authors of SDG-30K (the page of the set could not be verified).

Labels and predictions have the same layout: JSONL of `{"filepath", "caption", "ann_translated_bboxes":
[{"box_2d": [x1, y1, x2, y2], "label": "artifact" | "misalignment" | "both", "description", "importance"}]}`.
Predictions may call the list `boxes`. `importance`, where it exists, is negligible, moderate or critical.
Boxes are in pixels, or with the option `unit=1000` in thousandths of the image's sides.

Numbers:

- F1 of each label at image level (`type_f1/...`).
- Clean images called clean (`clean_accuracy`).
- F1 of boxes at IoU >= 0.1 and >= 0.5 for each label and for both together (greedy by IoU; labels must agree,
  "both" agrees with either). `f1`, `precision` and `recall` are those at 0.5.
- Accuracy of importance on matched boxes.

Caveats: the paper assigns boxes by the Hungarian method on 1 - DIoU. Its similarity of descriptions needs a
sentence encoder, which is not shipped, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.boxes import box_f1, box_iou
from eval.metrics.classification import accuracy, f1_from_counts
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.text_files import parse_number, read_json_lines
from eval.suites.shared.media_files import read_image_shape
from eval.suites.shared.reading import check_split, check_unique_ids, find_label_file, resolve_media
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, parse_verdict
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError
from judge.types import DefectLabel

SOURCE = "the authors of SDG-30K (the set's page could not be verified)"
LABEL_FILES = {split: (f"{split}.jsonl", f"sdg_{split}.jsonl") for split in ("test", "train", "val")}
LABELS = ("artifact", "misalignment", "both")
IMPORTANCE = ("negligible", "moderate", "critical")
UNITS = ("pixels", "1000")
IOU_THRESHOLDS = (0.1, 0.5)


@dataclass(frozen=True)
class LabelledBox:
    """One box, predicted or true."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2."""
    label: str
    """One of `LABELS`."""
    importance: str = ""
    """One of `IMPORTANCE`, or empty."""


# ---------------------------------------------------------------------------------------------- reading


def read_lines(path: Path, field_name: str) -> Iterator[tuple[str, str, list[LabelledBox], list[str]]]:
    """Yield (filepath, caption, boxes, descriptions) of each line.

    Args:
        path: a JSONL file of labels or predictions.
        field_name: what the caller calls this input, for errors.

    Raises:
        InputError: a line has another layout.
    """
    for number, row in read_json_lines(path, field_name):
        place = f"{path.name} line {number}"
        if not isinstance(row, dict) or not isinstance(row.get("filepath"), str):
            raise InputError(place, row, "an object with filepath, caption and boxes", "fix the line")
        entries = row.get("ann_translated_bboxes", row.get("boxes", []))
        if not isinstance(entries, list):
            raise InputError(f"{place}: boxes", entries, "a list", "fix the line")
        boxes = [_parse_box(entry, place) for entry in entries]
        descriptions = [str(entry.get("description") or "") for entry in entries]
        yield row["filepath"], str(row.get("caption") or ""), boxes, descriptions


def _parse_box(entry: Any, place: str) -> LabelledBox:
    if not isinstance(entry, dict) or entry.get("label") not in LABELS:
        raise InputError(place, entry, f"a box with a label of {', '.join(LABELS)}", "fix the line")
    corners = entry.get("box_2d")
    if not isinstance(corners, list) or len(corners) != 4:
        raise InputError(f"{place}: box_2d", corners, "[x1, y1, x2, y2]", "fix the line")
    x1, y1, x2, y2 = (parse_number(corner, place, "box_2d") for corner in corners)
    importance = str(entry.get("importance") or "").lower()
    if importance and importance not in IMPORTANCE:
        raise InputError(f"{place}: importance", importance, ", ".join(IMPORTANCE), "fix the line")
    return LabelledBox((x1, y1, x2, y2), entry["label"], importance)


def read(
    data: Path, split: str | None = None, *, media: bool = True, unit: str = "pixels"
) -> Iterator[SuiteSample]:
    """Read samples with their defects; a box labelled "both" becomes a defect of each family.

    Args:
        data: the set's folder, or a label file in it.
        split: `test` (default), `train` or `val`.
        media: False does not look for the images.
        unit: unit of `box_2d`: `pixels`, or `1000` for thousandths of the image's sides, which become pixels
            where the images are read.
    """
    if unit not in UNITS:
        raise InputError("unit", unit, ", ".join(UNITS), "choose one of these")
    path = find_label_file(data, LABEL_FILES[check_split(split, tuple(LABEL_FILES), "test")], SOURCE)

    def samples() -> Iterator[SuiteSample]:
        for name, caption, boxes, descriptions in read_lines(path, "truth"):
            labels = GroundTruth(
                defects=_defect_labels(boxes, descriptions), annotations=[[vars(box) for box in boxes]]
            )
            yield SuiteSample(id=name, image=name, prompt=caption, labels=labels)

    root = data if data.is_dir() else data.parent
    for sample in resolve_media(lambda: check_unique_ids(samples(), path), root, SOURCE, media=media):
        yield _scale_to_pixels(sample) if unit == "1000" and media else sample


def _defect_labels(boxes: Sequence[LabelledBox], descriptions: Sequence[str]) -> list[DefectLabel]:
    return [
        DefectLabel(
            family=family,
            kind="other" if family == "artifact" else "wrong object",
            box=box.box,
            severity=box.importance or "moderate",
            explanation=description,
        )
        for box, description in zip(boxes, descriptions, strict=True)
        for family in ("artifact", "misalignment")
        if box.label in (family, "both")
    ]


def _scale_to_pixels(sample: SuiteSample) -> SuiteSample:
    """Convert all boxes of a sample from thousandths to pixels."""
    height, width = read_image_shape(Path(str(sample.image)))
    factors = (width / 1000, height / 1000) * 2

    def scale(box: Sequence[float]) -> tuple[float, ...]:
        return tuple(value * factor for value, factor in zip(box, factors, strict=True))

    labels = sample.labels
    defects = [defect.model_copy(update={"box": scale(defect.box)}) for defect in labels.defects]
    annotations = [[{**box, "box": scale(box["box"])} for box in boxes] for boxes in labels.annotations]
    update = {"defects": defects, "annotations": annotations}
    return sample.model_copy(update={"labels": labels.model_copy(update=update)})


# ---------------------------------------------------------------------------------------------- metrics


@dataclass
class LabelledBoxAccumulator:
    """Counts over images."""

    types: dict[str, list[tuple[int, int, int, int]]] = field(
        default_factory=lambda: {"artifact": [], "misalignment": []}
    )
    """Label -> counts at image level, as `f1_from_counts` takes them."""
    boxes: dict[tuple[str, float], list[tuple[int, int, int, int]]] = field(default_factory=dict)
    """(label or `all`, IoU threshold) -> counts of boxes of each image."""
    called_clean: list[bool] = field(default_factory=list)
    """For each clean image, whether the judge found nothing in it."""
    importance: list[tuple[str, str]] = field(default_factory=list)
    """(predicted, true) importance of matched boxes."""

    def add(self, predicted: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> None:
        """Add the boxes of one image."""
        for label, counts in self.types.items():
            p, t = (any(b.label in (label, "both") for b in side) for side in (predicted, truth))
            counts.append((p and t, p, p and t, t))
        if not truth:
            self.called_clean.append(not predicted)
        for label in ("artifact", "misalignment", "all"):
            own, true = (_select(side, label) for side in (predicted, truth))
            for threshold in IOU_THRESHOLDS:
                box_counts, importance = _match_boxes(own, true, threshold)
                self.boxes.setdefault((label, threshold), []).append(box_counts)
                if label == "all" and threshold == 0.5:
                    self.importance += importance

    def metrics(self) -> Metrics:
        """Compute all numbers."""
        metrics: Metrics = {}
        for (label, threshold), rows in sorted(self.boxes.items()):
            f1, precision, recall = f1_from_counts(np.array(rows, dtype=np.int64), "box", interval=True)
            suffix = f"@{threshold}" + ("" if label == "all" else f"/{label}")
            metrics[f"box_f1{suffix}"] = f1
            if suffix == "@0.5":
                metrics |= {"f1": f1, "precision": precision, "recall": recall}
        for label, rows in self.types.items():
            counts = np.array(rows, dtype=np.int64)
            metrics[f"type_f1/{label}"] = f1_from_counts(counts, label, interval=True)[0]
        clean = accuracy(self.called_clean, [True] * len(self.called_clean), interval=True)
        no_clean = MetricValue(None, "no image of the truth is clean")
        metrics["clean_accuracy"] = clean if self.called_clean else no_clean
        pairs = [(predicted, true) for predicted, true in self.importance if true]
        importance = accuracy([p for p, _ in pairs], [t for _, t in pairs], interval=True)
        no_importance = MetricValue(None, "no matched box has an importance")
        metrics["importance_accuracy"] = importance if pairs else no_importance
        return metrics


def _select(boxes: Sequence[LabelledBox], label: str) -> list[LabelledBox]:
    """Return the boxes of a label. `all` selects all boxes; boxes labelled "both" belong to each label."""
    return [box for box in boxes if label == "all" or box.label in (label, "both")]


def _match_boxes(
    predicted: Sequence[LabelledBox], truth: Sequence[LabelledBox], threshold: float
) -> tuple[tuple[int, int, int, int], list[tuple[str, str]]]:
    """Match the boxes of one image; labels must agree.

    Returns:
        Counts as `f1_from_counts` takes them, and (predicted, true) importance of each match.
    """
    result = box_f1([[b.box for b in predicted]], [[b.box for b in truth]], threshold=threshold)
    pairs = [(i, j) for _, i, j, _ in result.matches if _labels_agree(predicted[i], truth[j])]
    if len(pairs) < len(result.matches):  # A box of another label may have taken the place of the right one.
        pairs = _match_with_labels(predicted, truth, threshold)
    importance = [(predicted[i].importance, truth[j].importance) for i, j in pairs]
    return (len(pairs), len(predicted), len(pairs), len(truth)), importance


def _match_with_labels(
    predicted: Sequence[LabelledBox], truth: Sequence[LabelledBox], threshold: float
) -> list[tuple[int, int]]:
    """Match boxes whose labels agree, greedily by IoU."""
    candidates = sorted(
        (-box_iou(a.box, b.box), i, j)
        for i, a in enumerate(predicted)
        for j, b in enumerate(truth)
        if _labels_agree(a, b)
    )
    pairs: list[tuple[int, int]] = []
    for negative_iou, i, j in candidates:
        if -negative_iou >= threshold and all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _labels_agree(a: LabelledBox, b: LabelledBox) -> bool:
    return a.label == b.label or "both" in (a.label, b.label)


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare the defects of verdicts with the labels.

    An unscored verdict has no defects, and does not count as calling its image clean.
    """
    accumulator = LabelledBoxAccumulator()
    unscored = total = 0
    for judged in judged_samples:
        verdict, total = parse_verdict(judged), total + 1
        is_unscored = verdict.status != "scored"
        unscored += is_unscored
        predicted = [LabelledBox(d.box, d.family, d.severity) for d in verdict.defects]
        annotations = judged.sample.labels.annotations
        truth = [LabelledBox(**entry) for entry in (annotations[0] if annotations else [])]
        accumulator.add(predicted, truth)
        if is_unscored and not truth:
            accumulator.called_clean[-1] = False
    return accumulator.metrics() | build_unscored_metric(unscored, total)


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute all numbers of a prediction file.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    predictions, labels = _read_by_name(pred, "pred"), _read_by_name(truth, "truth")
    names, extra = match_names(predictions, labels, pred)
    accumulator = LabelledBoxAccumulator()
    for name in names:
        accumulator.add(predictions[name], labels[name])
    return accumulator.metrics() | extra


def _read_by_name(path: Path, field_name: str) -> dict[str, list[LabelledBox]]:
    boxes_by_name: dict[str, list[LabelledBox]] = {}
    for name, _, boxes, _ in read_lines(path, field_name):
        if name in boxes_by_name:
            raise InputError(field_name, name, "each filepath once", "remove the duplicate line")
        boxes_by_name[name] = boxes
    return boxes_by_name


SUITE = Suite(
    name="sdg-30k",
    title="SDG-30K (where, what, why and how much)",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    splits=tuple(LABEL_FILES),
    options={"unit": "unit of box_2d: pixels (default), or 1000 for thousandths of the sides"},
)
