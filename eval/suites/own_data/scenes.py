"""Drawn scenes: images, or clips, of this project's own renderer, whose labels are exact.

Source: `judge.scenes`, the renderer of this package.

Labels: a folder with `rows.jsonl` (one `LabelledSample` per line, images and masks relative to it), as
`judge.scenes.dataset` writes it, or such a file. Rows of clips (`judge scenes --video`) have `video` in place
of `image`; judge them with the rubric `video`.

Predictions: there is no file of predictions.

Numbers: elements (accuracy, precision, recall, F1), SRCC and PLCC of scores, F1 of boxes of artifacts at IoU
0.5, and regions by the rule of the EvalMuse structure track, with the judge's boxes drawn filled against the
exact masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from eval.metrics.boxes import boxes_to_mask
from eval.metrics.correlation import plcc, srcc
from eval.suites.shared.accumulators import (
    BoxAccumulator,
    ElementAccumulator,
    RegionAccumulator,
    list_defect_boxes,
)
from eval.suites.shared.media_files import read_image_shape
from eval.suites.shared.reading import (
    build_missing_files_error,
    check_split,
    check_unique_ids,
    find_label_file,
    resolve_media,
)
from eval.suites.shared.samples import (
    GroundTruth,
    JudgedSample,
    SuiteSample,
    get_predicted_score,
    parse_verdict,
)
from eval.suites.shared.scoring import build_unscored_metric
from eval.suites.shared.suite import MediaKind, Metrics, Suite
from judge.errors import InputError
from judge.types import DefectLabel, LabelledSample

SOURCE = "the renderer in this package: judge.scenes"


# ---------------------------------------------------------------------------------------------- reading


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read the scenes of a folder, in order.

    Raises:
        InputError: the label file or media are missing, a row is not valid, or images and clips are mixed.
    """
    check_split(split, ("all",), "all")
    path = find_label_file(data, ["rows.jsonl"], SOURCE)
    first = next(_read_rows(path), None)
    kind: MediaKind = "video" if first is not None and first.video is not None else "image"

    def samples() -> Iterator[SuiteSample]:
        return check_unique_ids(_read_rows(path, kind), path)

    yield from resolve_media(samples, path.parent, SOURCE, kind=kind, media=media)


def _read_rows(path: Path, kind: MediaKind | None = None) -> Iterator[SuiteSample]:
    """Yield the rows of a file; with a `kind`, each row must have media of this kind."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = f"{path.name} line {number}"
                sample = _parse_row(line, path, place, number)
                if kind is not None and getattr(sample, kind) is None:
                    mend = "keep images and clips in separate files"
                    raise InputError(f"{place}: {kind}", None, "rows that all have it", mend)
                yield sample


def _parse_row(line: str, path: Path, place: str, number: int) -> SuiteSample:
    try:
        row = LabelledSample.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InputError(f"{place}: {field}", first["input"], first["msg"], "fix the row") from None
    labels = GroundTruth(**dict(row.labels), mos=row.labels.score)
    fields = dict(row) | {"id": row.id or str(number), "labels": labels}
    if isinstance(row.video, str):
        return SuiteSample(**fields | {"video": Path(row.video)})
    if not isinstance(row.image, str):
        expected = "the path of an image, relative to the file"
        raise InputError(f"{place}: image", row.image, expected, "fix the row")
    load_mask = partial(_load_artifact_mask, row.labels.defects, path.parent, path.parent / row.image)
    return SuiteSample(**fields | {"labels": labels.model_copy(update={"load_mask": load_mask})})


def _load_artifact_mask(defects: list[DefectLabel], root: Path, image: Path) -> NDArray[np.bool_]:
    """Return the union of the true artifact regions; a region without a mask is its box, filled."""
    from PIL import Image

    height, width = read_image_shape(image)
    union: Any = np.zeros((height, width), dtype=bool)
    for defect in (d for d in defects if d.family == "artifact"):
        if defect.mask is None:
            union |= boxes_to_mask([defect.box], width, height)
            continue
        try:
            with Image.open(root / defect.mask) as mask:
                region = np.asarray(mask.convert("L")) > 127
        except OSError:
            raise build_missing_files_error("masks", [defect.mask], 1, root, SOURCE) from None
        if region.shape != union.shape:
            expected = f"the shape of the image, {union.shape}"
            raise InputError(str(defect.mask), region.shape, expected, "draw the scenes again")
        union |= region
    return np.asarray(union)


# ---------------------------------------------------------------------------------------------- metrics


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with the exact labels."""
    elements, boxes, regions = ElementAccumulator(), BoxAccumulator(), RegionAccumulator()
    pairs: list[tuple[float, float]] = []
    pairs_by_dimension: dict[str, list[tuple[float, float]]] = {}
    unscored = total = 0
    for judged in judged_samples:
        verdict, labels, total = parse_verdict(judged), judged.sample.labels, total + 1
        score, is_scored = get_predicted_score(judged), verdict.status == "scored"
        unscored += not is_scored
        if score is not None and labels.score is not None:
            pairs.append((score, labels.score))
        for name, true_score in labels.dimensions.items():
            if name in verdict.dimensions:
                pair = verdict.dimensions[name].score, true_score
                pairs_by_dimension.setdefault(name, []).append(pair)
        elements.add(judged)
        true_boxes = [d.box for d in labels.defects if d.family == "artifact"]
        boxes.add(list_defect_boxes(verdict, "artifact") if is_scored else None, true_boxes)
        regions.add_judged(judged)
    x, y = [p for p, _ in pairs], [t for _, t in pairs]
    metrics = {"srcc": srcc(x, y, interval=True), "plcc": plcc(x, y, interval=True)}
    for name, scores in sorted(pairs_by_dimension.items()):
        x, y = [p for p, _ in scores], [t for _, t in scores]
        metrics[f"srcc_by_dimension/{name}"] = srcc(x, y, interval=True)
    region_metrics = {f"region_{name}": value for name, value in regions.metrics().items()}
    metrics |= elements.metrics() | boxes.metrics() | region_metrics
    return metrics | build_unscored_metric(unscored, total)


SUITE = Suite(
    name="scenes",
    title="Drawn scenes with exact labels",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    mos_range=(1.0, 5.0),
    splits=("all",),
    default_split="all",
)
