"""EvalMuse-Structure: how sound is the picture, and where is it broken (NTIRE 2025 track 2).

Labels: `train_info.json`, `{img_name without ending: {prompt_en, mos (1..5), bbox_info: [one list per
annotator of {bbox_type, bbox}]}}`; type 1 is a rectangle `[{"x", "y"}, {"x", "y"}]`, type 2 a polygon
`[[x, y], ...]`. Predictions: `output.pkl` (or the archive), `{img_name: {"score": float, "pred_area": HxW of
0/1}}`. As truth of `score`, a pickle `{img_name: {score or mos, one mask}}` is taken too.

How three annotators become one mask is not published. Here a pixel is true where at least one of them marked
it: the organisers' baseline maps 1/2/3 annotators to 64/127/180 and cuts at 40, which comes to the same.
Rectangles include their left and top edge and exclude the others, polygons are filled with their outline,
polygons of fewer than 3 points are passed over. A picture's size is taken from its file where it is there;
for `score` without pictures, from the prediction's mask.

F1 is over regions at 512 x 512 (see `eval.metrics.agreement.region_f1`). SRCC is raw, PLCC after the 4-parameter
logistic, final = 0.7 F1 + 0.15 (PLCC + SRCC). The mean pixel IoU is printed by the organisers and not
scored. Without any predicted region F1 is 0 here (their script prints NaN).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.agreement import combined, plcc, srcc
from eval.suites import base, opinions, writers
from eval.suites.base import Item, Measures, Row, Submission, Suite, Truth, answer_of, verdict_of
from eval.suites.readers import files
from eval.suites.readers.pickles import load
from eval.suites.tally import Regions, defect_mask
from judge.errors import InputError

SOURCE = "https://github.com/DYEvaLab/EvalMuse-Structure"
FILES = {
    "train": ("train_info.json", "anno_info.json"),
    "val": ("val_info.json",),
    "test": ("test_info.json",),
}
WEIGHTS = {"f1": 0.7, "plcc": 0.15, "srcc": 0.15}
SCORES = ("mos", "score", "gt_score")
Mask = NDArray[np.uint8]


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file; test lists have neither mos nor regions."""
    for name, row in _rows(path).items():
        where = f"{path.name}: {name}"
        if not isinstance(row, dict):
            raise InputError(where, row, "an object with prompt_en, mos and bbox_info", "mend the row")
        mos = files.number(row["mos"], where, "mos") if row.get("mos") is not None else None
        drawn = row.get("bbox_info")
        if drawn is not None and not isinstance(drawn, list):
            raise InputError(f"{where}: bbox_info", drawn, "one list per annotator", "mend the row")
        yield Item(
            id=name,
            image=name,
            prompt=str(row.get("prompt_en") or row.get("prompt") or ""),
            labels=Truth(
                mos=mos,
                score=mos if mos is not None and 1 <= mos <= 5 else None,
                annotations=[list(person or []) for person in drawn or []],
            ),
        )


def _rows(path: Path) -> dict[str, Any]:
    rows = files.json_of(path, ".json", field="truth")
    if not isinstance(rows, dict) or not rows:
        raise InputError(
            "truth", str(path), "an object {img_name: {prompt_en, mos, bbox_info}}", "write it so"
        )
    return rows


def union(annotations: Sequence[Sequence[Any]], shape: tuple[int, int], where: str) -> Mask:
    """Where at least one annotator marked the picture, 0/1, shape (height, width)."""
    import cv2

    mask = np.zeros(shape, dtype=np.uint8)
    for region in (region for person in annotations for region in person):
        corners = _points(region, where)
        if corners is None:
            continue
        if region["bbox_type"] == 1:
            (left, top), (right, bottom) = corners
            mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
        else:
            cv2.fillPoly(mask, [np.array(corners, dtype=np.int32)], 1)
    return mask


def _points(region: Any, where: str) -> list[tuple[int, int]] | None:
    """The corners of one region; None for polygons that enclose nothing."""
    if not isinstance(region, dict) or region.get("bbox_type") not in (1, 2):
        raise InputError(where, region, "regions {bbox_type: 1 or 2, bbox}", "mend the row")
    try:
        if region["bbox_type"] == 1:
            first, second = region["bbox"]
            return [(int(p["x"]), int(p["y"])) for p in (first, second)]
        corners = [(int(x), int(y)) for x, y in region["bbox"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(where, region, "corners of a rectangle or polygon", "mend the row") from None
    return corners if len(corners) >= 3 else None


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
    """Items with their pictures; `labels.area` draws the true regions when it is called."""
    read_items = opinions.read(
        data, split, labels=labels, files=FILES, default="train", source=SOURCE, media=media
    )
    for item in read_items:
        drawn = item.labels.annotations
        if media and (drawn or item.labels.mos is not None):
            area = partial(_area, drawn, str(item.image), item.id)
            item = item.model_copy(update={"labels": item.labels.model_copy(update={"area": area})})
        yield item


def _area(annotations: Sequence[Sequence[Any]], image: str, where: str) -> Mask:
    return union(annotations, picture_shape(Path(image)), where)


def picture_shape(path: Path) -> tuple[int, int]:
    """Height and width of a picture as stored (the set's annotations know no EXIF orientation).

    Raises:
        InputError: not a picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError("image", str(path), "a picture", "get the file again") from None


def measure(rows: Iterable[Row]) -> Measures:
    """A run: boxes of artifacts drawn filled against the true regions. Unscored verdicts found nothing."""
    regions, pairs = Regions(), []
    unscored = total = 0
    for row in rows:
        truth, total = row.sample.labels, total + 1
        answer = answer_of(row, "structure")
        unscored += answer is None
        if answer is not None and truth.mos is not None:
            pairs.append((answer, truth.mos))
        regions.add_row(row)
    return _numbers(pairs, regions) | opinions.unscored_of(unscored, total)


def _numbers(pairs: Sequence[tuple[float, float]], regions: Regions) -> Measures:
    x, y = [p for p, _ in pairs], [t for _, t in pairs]
    found = {
        "srcc": srcc(x, y, interval=True),
        "plcc": plcc(x, y, fitted=True, interval=True),
        "plcc_raw": plcc(x, y, interval=True),
        **regions.measures(),
    }
    return found | {"final": combined(found, WEIGHTS)}


def score(pred: Path, truth: Path) -> Measures:
    """The official numbers of an output.pkl against labels, a folder of labels and pictures, or a pickle."""
    given = predictions(pred)
    wanted = _truth(truth, given)
    names, said = opinions.joined(given, wanted, pred)
    regions, pairs = Regions(), []
    for name in names:
        value, mask = given[name]
        mos, true = wanted[name]
        pairs.append((value, mos))
        regions.add(mask, true() if callable(true) else true)
    return _numbers(pairs, regions) | said


def predictions(path: Path, field: str = "pred") -> dict[str, tuple[float, Mask]]:
    """A pickle of scores and masks, by name.

    Raises:
        InputError: not such a pickle, or one that asks for more than data.
    """
    rows = load(path, files.content(path, "output.pkl", ".pkl", field=field), field=field)
    if not isinstance(rows, dict) or not rows:
        raise InputError(field, str(path), "a pickle {img_name: {score, pred_area}}", "write it so")
    return {str(name): _prediction(row, f"{field}: {name}") for name, row in rows.items()}


def _prediction(row: Any, where: str) -> tuple[float, Mask]:
    allowed = "an object {score, pred_area: H x W of 0/1}"
    if not isinstance(row, Mapping):
        raise InputError(where, type(row).__name__, allowed, "write it so")
    value = next((row[key] for key in SCORES if key in row), None)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    masks = [
        v for k, v in sorted(row.items(), key=lambda kv: kv[0] != "pred_area") if isinstance(v, np.ndarray)
    ]
    masks = [np.squeeze(m) for m in masks if m.size > 1]
    if value is None or not masks or masks[0].ndim != 2:
        raise InputError(where, sorted(map(str, row)), allowed, "write it so")
    return files.number(value, where), (masks[0] > 0).astype(np.uint8)


def _truth(path: Path, given: Mapping[str, tuple[float, Mask]]) -> dict[str, tuple[float, Any]]:
    if path.is_file() and path.suffix.lower() in (".pkl", ".pickle"):
        return dict(predictions(path, "truth"))
    found = base.label_file(path, [name for names in FILES.values() for name in names], SOURCE)
    media = base.Media(path) if path.is_dir() else None
    wanted: dict[str, tuple[float, Any]] = {}
    for item in labels(found):
        if item.labels.mos is None:
            continue
        picture = media.find(item.id) if media else None
        if picture is None and item.id in given:
            shape: Any = given[item.id][1].shape
            _fits(item, shape)
            area = partial(union, item.labels.annotations, shape, item.id)
        else:
            area = partial(_area, item.labels.annotations, str(picture), item.id)
        wanted[item.id] = item.labels.mos, area
    if not wanted:
        raise InputError("truth", str(found), "labels with mos", "this file has none: it is for participants")
    return wanted


def _fits(item: Item, shape: tuple[int, int]) -> None:
    """Without the picture, its size is the mask's; regions beyond it show that this is wrong."""
    corners = [p for person in item.labels.annotations for r in person for p in _points(r, item.id) or []]
    far = [(x, y) for x, y in corners if x > shape[1] or y > shape[0]]
    if far:
        raise InputError(
            f"truth: {item.id}",
            f"a corner at {far[0]}",
            f"regions within the prediction's mask of {shape[1]} x {shape[0]}",
            "give --truth the folder with the label file and the pictures, whose sizes are needed",
        )


def files_of(rows: Sequence[Row], **options: str) -> dict[str, bytes]:
    """output.pkl with 0/1 masks of the pictures' sizes, and readme.txt."""
    made = {}
    for row in rows:
        verdict = verdict_of(row)
        if verdict.size is None:
            raise InputError(f"verdict {row.sample.id}", None, "the size of its picture", "judge it again")
        width, height = verdict.size
        made[row.sample.id] = {
            "score": writers.number_of(row, "structure"),
            "pred_area": defect_mask(verdict, (height, width)),
        }
    options = {name.replace("_", "-"): value for name, value in options.items()}
    # The challenge asks for a pickle; protocol 4 is what every Python 3 since 3.4 reads.
    return {
        "output.pkl": pickle.dumps(made, protocol=4),
        "readme.txt": writers.readme(rows, options, llm=False),
    }


SUITE = Suite(
    name="evalmuse-structure",
    title="EvalMuse-Structure (NTIRE 2025 text-to-image quality, track 2)",
    source=SOURCE,
    read=read,
    measure=measure,
    score=score,
    predicts="structure",
    scale=(1.0, 5.0),
    splits=tuple(FILES),
    submission=Submission(files_of, writers.README),
)
