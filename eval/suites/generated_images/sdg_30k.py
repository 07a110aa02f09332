"""SDG-30K: where, what, why and how much. Boxes of artifacts and misalignment with descriptions.

Source: https://huggingface.co/datasets/P1n3/SDG-30K (paper: arXiv 2606.06113; code:
https://github.com/nianbai006/SDG)

Labels: JSONL of `{"filepath", "caption", "ann_translated_bboxes": [{"box_2d": [x1, y1, x2, y2], "label":
"artifact" | "misalignment" | "both", "description", "importance"}]}`. Where this list is absent, the boxes
are those of `artifact_bboxes` and `misalignment_bboxes` (or the same with `_ann`), which are lists of boxes
or of their four numbers, or of `gemini_artifact_bboxes` and `gemini_misalignment_bboxes`, which are yxyx in
the authors' `eval_qwen.py`. The image may be called `filename`. A line with none of these is an error, not a
clean image.

Predictions: JSONL of `{"filepath", "response": "<think>...</think><answer>[{box_2d, label, description,
importance}]</answer>"}`, as the authors' inference writes them; a fenced block or a bare list is read too. A
reply is read before any other key of its line, because the authors' files repeat the labels there. A reply
without a readable list counts as no box, as there, and is counted in `unparsed`; boxes without four
numbers or a label are left out and counted in `skipped_boxes`. Files in the layout of the labels are read as
well, and may call the list `boxes`.

Boxes are in thousandths of the image's sides in the authors' files. `--option unit=1000` or `unit=pixels`
states the unit; by default it is found from the sizes of the images: boxes within all of their images and
images smaller than 1000 pixels are in pixels, others in thousandths. IoU is the same in both units.

The authors' sources disagree on the order of the coordinates: `ann_translated_bboxes` and replies are xyxy,
Gemini's boxes yxyx. `--option order=yxyx` reads labels in the other order. `box_order` says which fits: the
mean over true boxes of the best IoU with a predicted box, in the order that was read, with the other in its
note.

Numbers:

- `type_f1/TYPE`, DetTypeF1: F1 at image level; a box labelled "both" counts for each type.
- `clean_accuracy/TYPE`, ClnAcc: of the images without a true box of the type, the share without a predicted
  one. `clean_accuracy` (`all` in JSON): the same for images without any true box.
- `box_f1@0.1/TYPE`, `box_f1@0.5/TYPE`, BoxF1 of the paper: within each type, with a box "both" in each, boxes
  are assigned by the Hungarian method on 1 - DIoU (`eval/README.md` of the code), and a pair counts from that
  IoU on.
- `box_f1@0.1`, `box_f1@0.5` (`all` in JSON): as in the authors' `eval/code/evaluate.py`, boxes of both types
  together are matched greedily by IoU, labels must agree, and "both" agrees with each. `f1`, `precision` and
  `recall` are those at 0.5.
- `script_box_f1@0.5/TYPE`: what `evaluate.py` prints per label. Hits and misses of the matches above count
  for the label of the true box, false boxes for their own; "both" is a label of its own there.
- `importance_agreement/TYPE`, ImpAcc of the appendix: the mean of 1 - |difference| / 100 of importance over
  these matches at IoU >= 0.1, where both sides are numbers 1..100. `importance_accuracy`: the share of
  matches at 0.5 with the same of three words; 1-39 is negligible, 40-69 moderate, 70-100 critical.

What differs: the paper's similarity of descriptions needs a sentence encoder, which is not shipped, and is
left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eval.metrics.averages import mean
from eval.metrics.boxes import box_iou
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.defect_boxes import ORDERS, BoxRow, LabelledBox, read_box_rows
from eval.suites.shared.labelled_boxes import LabelledBoxAccumulator
from eval.suites.shared.media_files import read_image_shape
from eval.suites.shared.name_matching import shorten_list
from eval.suites.shared.reading import (
    check_split,
    check_unique_ids,
    find_label_file,
    resolve_media,
)
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, parse_verdict
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError
from judge.types import DefectLabel

SOURCE = "https://huggingface.co/datasets/P1n3/SDG-30K"
LABEL_FILES: dict[str, tuple[str, ...]] = {
    split: (f"{split}.jsonl", f"sdg_{split}.jsonl") for split in ("test", "train", "val")
}
LABEL_FILES["test"] += ("annotations.jsonl",)  # The authors' sample of 200 images.
UNITS = ("auto", "pixels", "1000")
MAX_CHECKED = 500
"""Number of images whose sizes are read to find the unit of the boxes."""


# ---------------------------------------------------------------------------------------------- reading


def read(
    data: Path, split: str | None = None, *, media: bool = True, unit: str = "auto", order: str = "xyxy"
) -> Iterator[SuiteSample]:
    """Read samples with their defects; a box labelled "both" becomes a defect of each family.

    Args:
        data: the set's folder, or a label file in it. split: `test` (default), `train` or `val`. media: False
        does not look for the images; boxes stay as they are. unit: unit of the boxes, which become pixels:
        `pixels`, `1000` for thousandths of the image's sides, or `auto` to find it. order: order of the
        coordinates, `xyxy` or `yxyx`.

    Raises:
        InputError: an option has another value, a file is missing, or a box exceeds its image.
    """
    for name, value, allowed in (("unit", unit, UNITS), ("order", order, ORDERS)):
        if value not in allowed:
            raise InputError(name, value, ", ".join(allowed), "choose one of these")
    path = find_label_file(
        data, LABEL_FILES[check_split(split, tuple(LABEL_FILES), "test")], SOURCE, LABEL_FILES
    )

    def samples() -> Iterator[SuiteSample]:
        return check_unique_ids((_make_sample(row) for row in read_box_rows(path, "truth", order)), path)

    def resolved() -> Iterator[SuiteSample]:
        return resolve_media(samples, data, SOURCE, media=media)

    if not media:
        yield from resolved()
        return
    unit = _find_unit(resolved()) if unit == "auto" else unit
    for sample in resolved():
        yield _scale_to_pixels(sample) if unit == "1000" else sample


def _make_sample(row: BoxRow) -> SuiteSample:
    labels = GroundTruth(
        defects=_defect_labels(row.boxes, row.descriptions),
        annotations=[[box.as_annotation() for box in row.boxes]],
    )
    return SuiteSample(id=row.filepath, image=row.filepath, prompt=row.caption, labels=labels)


def _find_unit(samples: Iterable[SuiteSample]) -> str:
    """Return the unit that fits the boxes: pixels, or 1000 for thousandths of the sides.

    An image whose sides are 1000 or more fits both; such images alone say thousandths, the authors' unit,
    unless a box exceeds 1000.

    Raises:
        InputError: boxes exceed 1000 in one place, and their image in another.
    """
    beyond_image, beyond_1000, has_small = "", "", False
    labelled = (sample for sample in samples if sample.labels.defects)
    for sample, _ in zip(labelled, range(MAX_CHECKED), strict=False):
        height, width = read_image_shape(Path(str(sample.image)))
        for defect in sample.labels.defects:
            right, bottom = defect.box[2], defect.box[3]
            has_small |= max(width, height) < 1000
            beyond_image = beyond_image or (sample.id if right > width or bottom > height else "")
            beyond_1000 = beyond_1000 or (sample.id if max(right, bottom) > 1000 else "")
    if beyond_image and beyond_1000:
        found = f"a box beyond its image in {beyond_image}, and one beyond 1000 in {beyond_1000}"
        mend = "try order=yxyx, or state the unit by unit=pixels or unit=1000"
        raise InputError("unit", found, "boxes in pixels, or in thousandths of the sides", mend)
    return "pixels" if beyond_1000 or (has_small and not beyond_image) else "1000"


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
        accumulator.add(predicted, truth, is_scored=not is_unscored)
    return accumulator.metrics() | build_unscored_metric(unscored, total)


def score_files(pred: Path, truth: Path, *, order: str = "xyxy") -> Metrics:
    """Compute all numbers of a prediction file.

    Args:
        pred: replies of a model, or boxes in the layout of the labels.
        truth: labels.
        order: order of the coordinates in the labels.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    predictions, labels = _read_by_name(pred, "pred"), _read_by_name(truth, "truth", order)
    names, extra = match_names(predictions, labels, pred)
    accumulator = LabelledBoxAccumulator()
    for name in names:
        accumulator.add(predictions[name].boxes, labels[name].boxes)
    rows = [predictions[name] for name in names]
    pairs = [(predictions[name].boxes, labels[name].boxes) for name in names]
    return accumulator.metrics() | _check_order(pairs, order) | _count_lost(rows) | extra


def _check_order(pairs: Iterable[tuple[Sequence[LabelledBox], Sequence[LabelledBox]]], order: str) -> Metrics:
    """Return the metric `box_order`: how well labels fit predictions as read, and in the other order."""
    fits: dict[bool, list[float]] = {False: [], True: []}
    for predicted, truth in pairs:
        for box in truth:
            for is_swapped, values in fits.items():
                x1, y1, x2, y2 = box.box
                corners = (y1, x1, y2, x2) if is_swapped else box.box
                values.append(max((box_iou(p.box, corners) for p in predicted), default=0.0))
    as_read, swapped = mean(fits[False]), mean(fits[True])
    if as_read.value is None or swapped.value is None:
        return {}
    other = next(name for name in ORDERS if name != order)
    better = f"give --option order={other}" if swapped.value > as_read.value else f"{order} fits"
    note = f"mean best IoU of the labels read as {order}; as {other} it is {swapped.value:.4f}: {better}"
    return {"box_order": replace(as_read, note=note)}


def _count_lost(rows: Sequence[BoxRow]) -> Metrics:
    """Return how many replies and boxes could not be used; empty when all could."""
    metrics: Metrics = {}
    unparsed = [row.filepath for row in rows if not row.is_parsed]
    skipped = sum(row.skipped for row in rows)
    if unparsed:
        note = f"replies without a readable list of boxes, taken as none: {shorten_list(unparsed)}"
        metrics["unparsed"] = MetricValue(float(len(unparsed)), note, len(rows))
    if skipped:
        note = "boxes of replies without four numbers or a label; left out"
        metrics["skipped_boxes"] = MetricValue(float(skipped), note, len(rows))
    return metrics


def _read_by_name(path: Path, field_name: str, order: str = "xyxy") -> dict[str, BoxRow]:
    rows: dict[str, BoxRow] = {}
    for row in read_box_rows(path, field_name, order):
        if row.filepath in rows:
            raise InputError(field_name, row.filepath, "each filepath once", "remove the duplicate line")
        rows[row.filepath] = row
    return rows


SUITE = Suite(
    name="sdg-30k",
    title="SDG-30K (where, what, why and how much)",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    splits=tuple(LABEL_FILES),
    default_split="test",
    options={
        "unit": "unit of the boxes: pixels, 1000 for thousandths of the sides, or auto (default) to find it",
        "order": "order of the coordinates: xyxy (default) or yxyx",
    },
    score_options={"order": "order of the coordinates in the labels: xyxy (default) or yxyx"},
)
