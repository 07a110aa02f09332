"""EvalMuse-Structure: how sound is the image, and where is it broken (NTIRE 2025 track 2).

Source: https://github.com/DYEvaLab/EvalMuse-Structure

Labels: `train_info.json`, `{img_name without suffix: {prompt_en, mos (1..5), bbox_info: [one list per
annotator of {bbox_type, bbox}]}}`. Type 1 is a rectangle `[{"x", "y"}, {"x", "y"}]`, type 2 a polygon
`[[x, y], ...]`.

Predictions: `output.pkl` (or the archive), `{img_name: {"score": float, "pred_area": HxW of 0/1}}`. As truth
of `judge eval score`, a pickle `{img_name: {score or mos, one mask}}` is accepted too.

Numbers: F1 of regions at 512 x 512 (see `eval.metrics.masks.region_f1`), raw SRCC, PLCC after the 4-parameter
logistic, final = 0.7 F1 + 0.15 (PLCC + SRCC). The organisers print the mean pixel IoU and do not score it.

Caveats:

- How three annotators become one mask is not published. Here a pixel is true where at least one of them
  marked it: the organisers' baseline maps 1/2/3 annotators to 64/127/180 and cuts at 40, which gives the
  same.
- Rectangles include their left and top edge and exclude the others. Polygons are filled with their outline;
  polygons of fewer than 3 points are skipped.
- The size of an image is taken from its file where it exists; for `judge eval score` without images, from the
  prediction's mask.
- Without any predicted region F1 is 0 here (their script prints NaN).
- Their scorer takes masks of type uint8 and shape (height, width), and stops at booleans, at integers of 32
  and 64 bits and at shape (1, height, width). `judge eval score` reads all of these, and counts them in
  `unusual_masks` with what their scorer does. Masks of 0 and 255 are resized before the cut, as there.
- `judge eval submit` writes uint8 masks of 0 and 1, as arrays that every version of numpy reads: numpy 2
  would write names that numpy 1 does not have.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.averages import weighted_sum
from eval.metrics.correlation import plcc, srcc
from eval.metrics.masks import REGION_MASK_SIDE
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.pickles import read_pickle
from eval.suites.readers.text_files import parse_number, read_json
from eval.suites.shared.accumulators import RegionAccumulator, draw_defects
from eval.suites.shared.media_files import MediaIndex, read_image_shape
from eval.suites.shared.reading import find_label_file, read_samples
from eval.suites.shared.samples import (
    GroundTruth,
    JudgedSample,
    SuiteSample,
    get_predicted_score,
    parse_verdict,
)
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.submission_files import README_OPTIONS, build_readme, require_score
from eval.suites.shared.suite import Metrics, Submission, Suite
from judge.errors import InputError

SOURCE = "https://github.com/DYEvaLab/EvalMuse-Structure"
LABEL_FILES = {
    "train": ("train_info.json", "anno_info.json"),
    "val": ("val_info.json",),
    "test": ("test_info.json",),
}
WEIGHTS = {"f1": 0.7, "plcc": 0.15, "srcc": 0.15}
SCORE_KEYS = ("mos", "score", "gt_score")
RECTANGLE, POLYGON = 1, 2
"""Values of `bbox_type`."""
Mask = NDArray[np.uint8]
"""0/1, shape (height, width)."""


# ----------------------------------------------------------------------------------- labels and true masks


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file; test lists have neither mos nor regions."""
    for name, row in _read_rows(path).items():
        place = f"{path.name}: {name}"
        if not isinstance(row, dict):
            raise InputError(place, row, "an object with prompt_en, mos and bbox_info", "fix the row")
        mos = parse_number(row["mos"], place, "mos") if row.get("mos") is not None else None
        regions = row.get("bbox_info")
        if regions is not None and not isinstance(regions, list):
            raise InputError(f"{place}: bbox_info", regions, "one list per annotator", "fix the row")
        yield SuiteSample(
            id=name,
            image=name,
            prompt=str(row.get("prompt_en") or row.get("prompt") or ""),
            labels=GroundTruth(
                mos=mos,
                score=mos if mos is not None and 1 <= mos <= 5 else None,
                annotations=[list(annotator or []) for annotator in regions or []],
            ),
        )


def _read_rows(path: Path) -> dict[str, Any]:
    rows = read_json(path, ".json", field="truth")
    if not isinstance(rows, dict) or not rows:
        expected = "an object {img_name: {prompt_en, mos, bbox_info}}"
        raise InputError("truth", str(path), expected, "write the file in this layout")
    return rows


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read samples with their images; `labels.load_mask` draws the true regions."""
    samples = read_samples(
        data,
        split,
        read_labels=read_labels,
        label_files=LABEL_FILES,
        default_split="train",
        source=SOURCE,
        media=media,
    )
    for sample in samples:
        annotations = sample.labels.annotations
        if media and (annotations or sample.labels.mos is not None):
            load_mask = partial(_draw_for_image, annotations, str(sample.image), sample.id)
            labels = sample.labels.model_copy(update={"load_mask": load_mask})
            sample = sample.model_copy(update={"labels": labels})
        yield sample


def draw_annotations(annotations: Sequence[Sequence[Any]], shape: tuple[int, int], place: str) -> Mask:
    """Draw a mask of the pixels that at least one annotator marked.

    Args:
        annotations: regions of each annotator.
        shape: height and width of the image.
        place: name of the sample, for errors.

    Raises:
        InputError: a region is neither a rectangle nor a polygon.
    """
    import cv2

    mask = np.zeros(shape, dtype=np.uint8)
    for region in (region for annotator in annotations for region in annotator):
        corners = _parse_corners(region, place)
        if corners is None:
            continue
        if region["bbox_type"] == RECTANGLE:
            (left, top), (right, bottom) = corners
            mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
        else:
            cv2.fillPoly(mask, [np.array(corners, dtype=np.int32)], 1)
    return mask


def _draw_for_image(annotations: Sequence[Sequence[Any]], image: str, place: str) -> Mask:
    return draw_annotations(annotations, read_image_shape(Path(image)), place)


def _parse_corners(region: Any, place: str) -> list[tuple[int, int]] | None:
    """Return the corners (x, y) of one region; None for polygons that enclose nothing."""
    if not isinstance(region, dict) or region.get("bbox_type") not in (RECTANGLE, POLYGON):
        raise InputError(place, region, "regions {bbox_type: 1 or 2, bbox}", "fix the row")
    try:
        if region["bbox_type"] == RECTANGLE:
            first, second = region["bbox"]
            return [(int(p["x"]), int(p["y"])) for p in (first, second)]
        corners = [(int(x), int(y)) for x, y in region["bbox"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(place, region, "corners of a rectangle or polygon", "fix the row") from None
    return corners if len(corners) >= 3 else None


# ----------------------------------------------------------------------------- verdicts, prediction files


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare the boxes of artifacts, drawn filled, with the true regions, and scores with human scores.

    Unscored verdicts predict no region.
    """
    regions, pairs = RegionAccumulator(), []
    unscored = total = 0
    for judged in judged_samples:
        mos, total = judged.sample.labels.mos, total + 1
        predicted = get_predicted_score(judged, "structure")
        unscored += predicted is None
        if predicted is not None and mos is not None:
            pairs.append((predicted, mos))
        regions.add_judged(judged)
    return compute_metrics(pairs, regions) | build_unscored_metric(unscored, total)


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official numbers of an output.pkl.

    The truth is a label file, a folder with labels and images, or a pickle.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    predictions = read_predictions(pred)
    labels = _read_truth(truth, predictions)
    names, extra = match_names(predictions, labels, pred)
    regions, pairs = RegionAccumulator(), []
    for name in names:
        predicted, mask = predictions[name]
        mos, load_mask = labels[name]
        pairs.append((predicted, mos))
        regions.add(_resize_as_scored(mask), load_mask())
    return compute_metrics(pairs, regions) | extra | _count_unusual_masks(pred)


def compute_metrics(pairs: Sequence[tuple[float, float]], regions: RegionAccumulator) -> Metrics:
    """Compute all numbers from (predicted, human) scores and regions."""
    x, y = [p for p, _ in pairs], [t for _, t in pairs]
    metrics = {
        "srcc": srcc(x, y, interval=True),
        "plcc": plcc(x, y, logistic_parameters=4, interval=True),
        "plcc_raw": plcc(x, y, interval=True),
        **regions.metrics(),
    }
    return metrics | {"final": weighted_sum(metrics, WEIGHTS)}


def read_predictions(path: Path, field: str = "pred") -> dict[str, tuple[float, Mask]]:
    """Read a pickle of scores and masks by name.

    Raises:
        InputError: the file is not such a pickle, or holds more than data.
    """
    rows = read_pickle(path, "output.pkl", ".pkl", field=field)
    if not isinstance(rows, dict) or not rows:
        expected = "a pickle {img_name: {score, pred_area}}"
        raise InputError(field, str(path), expected, "write the file in this layout")
    return {str(name): _parse_prediction(row, f"{field}: {name}") for name, row in rows.items()}


def _resize_as_scored(mask: Mask) -> Mask:
    """Resize a mask of more than 0 and 1 as the organisers' scorer does: first resize, then cut at > 0."""
    import cv2

    side = REGION_MASK_SIDE
    return cv2.resize(mask, (side, side)).astype(np.uint8) if mask.max(initial=0) > 1 else mask


def _count_unusual_masks(pred: Path) -> Metrics:
    """Return the metric `unusual_masks`: masks that the organisers' scorer does not take; empty if none."""
    rows = read_pickle(pred, "output.pkl", ".pkl")
    kinds: dict[str, list[str]] = {}
    for name, row in rows.items():
        area = next((mask for mask in _list_masks(row)), None)
        if area is not None and (area.dtype != np.uint8 or area.ndim != 2):
            kinds.setdefault(f"{area.dtype} of {area.ndim} axes", []).append(str(name))
    if not kinds:
        return {}
    count = sum(map(len, kinds.values()))
    listing = "; ".join(f"{len(names)} are {kind}, such as {names[0]}" for kind, names in kinds.items())
    note = "the organisers' scorer takes uint8 of shape (height, width), and stops at bool, int32, int64 "
    note += f"or more than 2 axes: {listing}"
    return {"unusual_masks": MetricValue(float(count), note, len(rows))}


def _list_masks(row: Mapping[Any, Any]) -> list[NDArray[Any]]:
    """Return the arrays of one prediction, `pred_area` before others."""
    items = sorted(row.items(), key=lambda item: item[0] != "pred_area")
    return [value for _, value in items if isinstance(value, np.ndarray) and value.size > 1]


def _parse_prediction(row: Any, place: str) -> tuple[float, Mask]:
    expected, mend = "an object {score, pred_area: H x W of 0/1}", "write the file in this layout"
    if not isinstance(row, Mapping):
        raise InputError(place, type(row).__name__, expected, mend)
    score = next((row[key] for key in SCORE_KEYS if key in row), None)
    if isinstance(score, np.ndarray) and score.size == 1:
        score = score.item()
    masks = [_drop_leading_axes(value) for value in _list_masks(row)]
    if score is None or not masks or masks[0].ndim != 2:
        raise InputError(place, sorted(map(str, row)), expected, mend)
    mask = masks[0] if masks[0].dtype == np.uint8 else (masks[0] > 0).astype(np.uint8)
    return parse_number(score, place), mask


def _drop_leading_axes(mask: NDArray[Any]) -> NDArray[Any]:
    """Return (1, height, width) as (height, width); other axes of length 1 are an image's own side."""
    while mask.ndim > 2 and mask.shape[0] == 1:
        mask = mask[0]
    return np.squeeze(mask, -1) if mask.ndim == 3 and mask.shape[-1] == 1 else mask


def _read_truth(
    path: Path, predictions: Mapping[str, tuple[float, Mask]]
) -> dict[str, tuple[float, Callable[[], Mask]]]:
    """Return human score and a function that draws the true mask, by name."""
    if path.is_file() and path.suffix.lower() in (".pkl", ".pickle"):
        rows = read_predictions(path, "truth")
        return {name: (mos, partial(np.asarray, mask)) for name, (mos, mask) in rows.items()}
    file = find_label_file(path, [name for names in LABEL_FILES.values() for name in names], SOURCE)
    index = MediaIndex(path) if path.is_dir() else None
    labels: dict[str, tuple[float, Callable[[], Mask]]] = {}
    for sample in read_labels(file):
        if sample.labels.mos is None:
            continue
        image = index.find(sample.id) if index else None
        load_mask: Callable[[], Mask]
        if image is None and sample.id in predictions:
            shape: Any = predictions[sample.id][1].shape
            _check_within(sample, shape)
            load_mask = partial(draw_annotations, sample.labels.annotations, shape, sample.id)
        else:
            load_mask = partial(_draw_for_image, sample.labels.annotations, str(image), sample.id)
        labels[sample.id] = sample.labels.mos, load_mask
    if not labels:
        mend = "this file has none: it is for participants"
        raise InputError("truth", str(file), "labels with mos", mend)
    return labels


def _check_within(sample: SuiteSample, shape: tuple[int, int]) -> None:
    """Raise `InputError` when regions exceed the size of the prediction's mask.

    Without the image, its size is taken from the mask; regions beyond it show that this size is wrong.
    """
    regions = [region for annotator in sample.labels.annotations for region in annotator]
    corners = [corner for region in regions for corner in _parse_corners(region, sample.id) or []]
    outside = [(x, y) for x, y in corners if x > shape[1] or y > shape[0]]
    if outside:
        raise InputError(
            f"truth: {sample.id}",
            f"a corner at {outside[0]}",
            f"regions within the prediction's mask of {shape[1]} x {shape[0]}",
            "give --truth the folder with the label file and the images, whose sizes are needed",
        )


# ------------------------------------------------------------------------------------------- submission


def build_files(judged_samples: Sequence[JudgedSample], **options: str) -> dict[str, bytes]:
    """Build output.pkl, with 0/1 masks of the images' sizes, and readme.txt.

    Raises:
        InputError: a verdict has no score, or no size of its image.
    """
    predictions = {}
    for judged in judged_samples:
        verdict = parse_verdict(judged)
        if verdict.size is None:
            place = f"verdict {judged.sample.id}"
            raise InputError(place, None, "the size of its image", "judge it again")
        width, height = verdict.size
        predictions[judged.sample.id] = {
            "score": require_score(judged, "structure"),
            "pred_area": draw_defects(verdict, (height, width)),
        }
    return {
        "output.pkl": _dump_predictions(predictions),
        "readme.txt": build_readme(judged_samples, options, llm=False),
    }


class _AnyNumpyPickler(pickle.Pickler):
    """Writes arrays as calls of `numpy.ndarray(shape, type, bytes)`, the one name that all versions share."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        # A bytearray, because an array over bytes could not be written to.
        return np.ndarray, (value.shape, value.dtype.name, bytearray(value.tobytes()))


def _dump_predictions(predictions: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the pickle that the challenge asks for; every Python 3 since 3.4 reads protocol 4."""
    buffer = io.BytesIO()
    _AnyNumpyPickler(buffer, protocol=4).dump(predictions)
    return buffer.getvalue()


SUITE = Suite(
    name="evalmuse-structure",
    title="EvalMuse-Structure (NTIRE 2025 text-to-image quality, track 2)",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    dimension="structure",
    mos_range=(1.0, 5.0),
    splits=tuple(LABEL_FILES),
    default_split="train",
    submission=Submission(build_files, README_OPTIONS),
)
