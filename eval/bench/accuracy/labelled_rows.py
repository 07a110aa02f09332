"""Read scenes from a JSONL file of labelled samples, so that images of any renderer can be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.metrics.boxes import boxes_to_mask
from judge.errors import InputError
from judge.scenes.held_out import LabelledScene
from judge.types import LabelledSample


def read_scenes(file: Path, count: int | None = None) -> list[LabelledScene]:
    """Read labelled scenes.

    Args:
        file: JSONL file of `LabelledSample`; images and masks are paths relative to it.
        count: number of rows, the first ones; None: all.

    Raises:
        InputError: the file does not exist, a row is no `LabelledSample`, or an image or mask is missing.
    """
    if not file.is_file():
        raise InputError("rows", str(file), "a JSONL file of labelled samples", "check the path")
    scenes: list[LabelledScene] = []
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise InputError("rows", str(file), "UTF-8 text", "write the file again") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and (count is None or len(scenes) < count):
            scenes.append(_read_row(line, f"{file.name} line {number}", file.parent))
    if not scenes:
        raise InputError("rows", str(file), "at least one row", "write rows into the file")
    return scenes


def _read_row(line: str, where: str, root: Path) -> LabelledScene:
    from pydantic import ValidationError

    from judge.media.image import load_image

    try:
        sample = LabelledSample.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InputError(f"{where}: {field}", first["input"], first["msg"], "correct the row") from None
    if not isinstance(sample.image, str) or not (root / sample.image).is_file():
        raise InputError(
            f"{where}: image", sample.image, "the path of an image, relative to the file", "correct the path"
        )
    path = root / sample.image
    image = load_image(path, field=f"{where}: image")
    mask, note = _read_mask(sample, root, image.width, image.height, where)
    update = {"image": str(path), "id": sample.id or where}
    return LabelledScene(sample.model_copy(update=update), mask, note)


def _read_mask(
    sample: LabelledSample, root: Path, width: int, height: int, where: str
) -> tuple[NDArray[np.bool_], str]:
    """Return the union of the true regions, shape (height, width), and a note if a region has no mask."""
    from PIL import Image

    union, note = np.zeros((height, width), dtype=bool), ""
    for number, defect in enumerate(d for d in sample.labels.defects if d.family == "artifact"):
        if defect.mask is None:
            union |= boxes_to_mask([defect.box], width, height)
            note = "some true regions have no mask; their filled boxes are used instead"
            continue
        field = f"{where}: defects.{number}.mask"
        path = root / defect.mask
        try:
            with Image.open(path) as image:
                region = np.asarray(image.convert("L")) > 127
        except OSError:
            raise InputError(
                field, str(path), "the path of a PNG, relative to the file", "correct the path"
            ) from None
        if region.shape != union.shape:
            raise InputError(field, region.shape, f"the shape of the image, {union.shape}", "write it again")
        union |= region
    return union, note
