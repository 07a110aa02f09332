"""Drawn scenes: pictures, or clips, of this project's own renderer, whose truth is exact.

Data: a folder with `rows.jsonl` (one `LabelledSample` a line, pictures and masks relative to it), as
`judge.scenes.dataset` makes it, or such a file. Rows of clips (`judge scenes --video`) have `video` in
place of `image`; ask them with the rubric `video`. Measured are elements, scores, boxes of
artifacts at IoU 0.5, and regions by the structure track's rule, the judge's boxes drawn filled against the
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

from eval.metrics.agreement import boxes_mask, plcc, srcc
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of, verdict_of
from eval.suites.evalmuse_structure import picture_shape
from eval.suites.tally import Boxes, Elements, Regions, defect_boxes
from judge.errors import InputError
from judge.types import DefectLabel, LabelledSample

SOURCE = "the renderer in this package: judge.scenes"


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
    """Scenes of a folder, in order."""
    opinions.checked_split(split, ("all",), "all")
    path = base.label_file(data, ["rows.jsonl"], SOURCE)
    root = path.parent
    first = next(_items(path), None)
    kind: base.Kind = "video" if first is not None and first.video is not None else "image"
    items = lambda: base.unique(_items(path, kind), path)  # noqa: E731
    yield from base.with_media(items, root, SOURCE, kind=kind, media=media)


def _items(path: Path, kind: base.Kind | None = None) -> Iterator[Item]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                item = _item(line, path, f"{path.name} line {number}", number)
                if kind is not None and getattr(item, kind) is None:
                    where = f"{path.name} line {number}: {kind}"
                    raise InputError(where, None, "rows that all have it", "keep pictures and clips apart")
                yield item


def _item(line: str, path: Path, where: str, number: int) -> Item:
    try:
        sample = LabelledSample.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InputError(f"{where}: {field}", first["input"], first["msg"], "mend the row") from None
    truth = Truth(**dict(sample.labels), mos=sample.labels.score)
    fields = dict(sample) | {"id": sample.id or str(number), "labels": truth}
    if isinstance(sample.video, str):
        return Item(**fields | {"video": Path(sample.video)})
    if not isinstance(sample.image, str):
        raise InputError(f"{where}: image", sample.image, "a picture's path, relative to the file", "mend it")
    area = partial(_area, sample.labels.defects, path.parent, path.parent / sample.image)
    return Item(**fields | {"labels": truth.model_copy(update={"area": area})})


def _area(defects: list[DefectLabel], root: Path, image: Path) -> NDArray[np.bool_]:
    """Union of the true artifact regions; the filled box where a region has no mask."""
    from PIL import Image

    height, width = picture_shape(image)
    found: Any = np.zeros((height, width), dtype=bool)
    for defect in (d for d in defects if d.family == "artifact"):
        if defect.mask is None:
            found |= boxes_mask([defect.box], width, height)
            continue
        try:
            with Image.open(root / defect.mask) as picture:
                region = np.asarray(picture.convert("L")) > 127
        except OSError:
            raise base.missing("masks", [defect.mask], 1, root, SOURCE) from None
        if region.shape != found.shape:
            raise InputError(
                str(defect.mask), region.shape, f"the picture's shape, {found.shape}", "draw again"
            )
        found |= region
    return np.asarray(found)


def measure(rows: Iterable[Row]) -> Measures:
    """A run over scenes."""
    elements, boxes, regions = Elements(), Boxes(), Regions()
    pairs: list[tuple[float, float]] = []
    dimensions: dict[str, list[tuple[float, float]]] = {}
    unscored = total = 0
    for row in rows:
        verdict, truth, total = verdict_of(row), row.sample.labels, total + 1
        answer, scored = answer_of(row), verdict.status == "scored"
        unscored += not scored
        if answer is not None and truth.score is not None:
            pairs.append((answer, truth.score))
        for name, wanted in truth.dimensions.items():
            if name in verdict.dimensions:
                dimensions.setdefault(name, []).append((verdict.dimensions[name].score, wanted))
        elements.add(row)
        true = [d.box for d in truth.defects if d.family == "artifact"]
        boxes.add(defect_boxes(verdict, "artifact") if scored else None, true)
        regions.add_row(row)
    x, y = [p for p, _ in pairs], [t for _, t in pairs]
    found = {"srcc": srcc(x, y, interval=True), "plcc": plcc(x, y, interval=True)}
    for name, sides in sorted(dimensions.items()):
        found[f"srcc_by_dimension/{name}"] = srcc([p for p, _ in sides], [t for _, t in sides], interval=True)
    areas = {f"region_{name}": value for name, value in regions.measures().items()}
    return found | elements.measures() | boxes.measures() | areas | opinions.unscored_of(unscored, total)


SUITE = Suite(
    name="scenes",
    title="Drawn scenes with exact labels",
    source=SOURCE,
    read=read,
    measure=measure,
    scale=(1.0, 5.0),
    splits=("all",),
)
