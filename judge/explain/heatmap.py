"""Heat maps: where in the picture a score and each defect come from, beside the boxes that a model writes.

The backend traces numbers back to the patches that it was shown (`judge.backends.base.Tracer`): how much, to
first order, each would change if the patch looked like the mean patch of the picture. Two questions are put:

- the score, as at depth `score`, where nothing that was written stands between it and the picture;
- each defect: the probabilities of naming another one and of calling it what it is called, with everything
  before it in the form as the verdict has it.

A map shows where the answer is sensitive. It is no second box, and says nothing of what would help.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.backends.base import TraceRequest
from judge.errors import InputError, ReplyError
from judge.media import image as media
from judge.media import regions
from judge.rubrics.form import Form, Object, Repeat
from judge.rubrics.rubric import SCALE, Rubric
from judge.types import Heat, Verdict

if TYPE_CHECKING:
    from judge.backends.base import Rasters, Target
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared import ModelInfo, PreparedSample

Map = NDArray[np.float32]
RASTER = 64
"""Pixels along the longer side of a map."""
BLUR = 0.7
"""Standard deviation, in patches, of the smoothing."""
COLORS = (
    (0, (0, 0, 4)),
    (64, (87, 16, 110)),
    (128, (188, 55, 84)),
    (192, (249, 142, 9)),
    (255, (252, 255, 164)),
)
"""Levels and their colours, in the order of matplotlib's `inferno`: equal steps look equal."""


def check(card: ModelInfo) -> None:
    """Raises `InputError` for a model that cannot be traced."""
    if not card.traces:
        mend = "take backend='transformers', which has gradients"
        raise InputError("heat", True, f"no heat maps with backend {card.name}", mend)


def questions(pipeline: Pipeline, case: PreparedSample, verdict: Verdict) -> list[TraceRequest]:
    """What the backend is to trace for a scored verdict on one picture; nothing where there is no picture."""
    if verdict.score is None or verdict.size is None or case.moving:
        return []
    names = [element.name for element in verdict.elements]
    requests = [TraceRequest(pipeline.scored(case, names), None, [_score(pipeline.rubric, verdict)])]
    if verdict.defects:
        form, values = _written(pipeline.rubric, verdict, names)
        targets = [_defect(n, defect.kind) for n, defect in enumerate(verdict.defects)]
        requests.append(TraceRequest(replace(case.request, form=form), values, targets))
    return requests


def with_heat(pipeline: Pipeline, verdict: Verdict, told: Sequence[Rasters | ReplyError]) -> Verdict:
    """The verdict with its maps, or with a note where there are none."""
    if verdict.size is None or verdict.score is None:
        return verdict
    faults = [str(found) for found in told if isinstance(found, ReplyError)]
    if faults or not told:
        verdict.provenance.notes.append(f"no heat maps: {faults[0] if faults else 'videos have none'}")
        return verdict
    views, maps = _views(pipeline, verdict.size), list[str]()
    for found in told:
        for rasters in found if not isinstance(found, ReplyError) else ():
            maps.append(png(_together(rasters[-len(views) :], views, verdict.size)))
    return verdict.model_copy(update={"heat": Heat(score=maps[0], defects=maps[1:])})


def png(levels: Map) -> str:
    """A map as an 8-bit grey PNG, its greatest value 255, as a `data:` URL."""
    top = float(levels.max())
    grey = np.zeros(levels.shape, np.uint8) if top <= 0 else (levels / top * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def levels(url: str) -> Map:
    """A map of a verdict as (rows, columns) in 0..1. Raises `MediaError` where it is no picture."""
    data, _ = media.from_data_url(url, "heat", media.MAX_BYTES)
    grey: Map = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32) / np.float32(255)
    return grey


def painted(picture: Image.Image, url: str) -> Image.Image:
    """A map over its picture: the picture in grey where it is cold, glowing where it is hot."""
    import cv2

    hot = cv2.resize(levels(url), picture.size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    stops, colors = [level for level, _ in COLORS], np.array([color for _, color in COLORS])
    glow = np.stack([np.interp(hot * 255, stops, colors[:, n]) for n in range(3)], axis=-1)
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * 0.8
    share = hot[..., None] ** 0.7 * 0.85
    return Image.fromarray((grey * (1 - share) + glow * share).clip(0, 255).astype(np.uint8))


def _score(rubric: Rubric, verdict: Verdict) -> Target:
    """The slope of the expected score by the probability of each label, where the verdict stands."""
    names = rubric.score.dimensions
    if not names:
        return {"score": {label: float(label) for label in SCALE}}
    at = {name: verdict.dimensions[name].score for name in names}
    target: dict[str, dict[str, float]] = {}
    for name in names:
        # Every rule is linear in each dimension by itself.
        slope = float(rubric.combine(at | {name: at[name] + 1}) - rubric.combine(at))
        if name == "alignment" and verdict.elements:
            share = 4 * slope / len(verdict.elements)
            target |= {f"elements.{n}": {"true": share} for n in range(len(verdict.elements))}
        else:
            target[f"dimensions.{name}"] = {label: int(label) * slope for label in SCALE}
    return target


def _defect(index: int, kind: str) -> Target:
    return {f"defects.{index}.open": {"open": 1.0}, f"defects.{index}.kind": {kind: 1.0}}


def _written(rubric: Rubric, verdict: Verdict, names: Sequence[str]) -> tuple[Form, dict[str, Any]]:
    """The rubric's form up to the defects, and what the verdict has in it."""
    form = rubric.form(names, len(verdict.defects))
    before = list(takewhile(lambda member: member[0] != "defects", form.root.members))
    listed = dict(form.root.members)["defects"]
    assert isinstance(listed, Repeat) and verdict.size is not None
    told: dict[str, Any] = {name: attribute.label for name, attribute in verdict.attributes.items()}
    told["elements"] = {element.name: element.present for element in verdict.elements}
    values = {name: told[name] for name, _ in before}
    items = []
    for defect in verdict.defects:
        box = regions.to_relative(defect.box, *verdict.size)
        item = {**defect.model_dump(), "box": list(box)}
        items.append({name: item[name] for name, _ in listed.item.members})
    values["defects"] = items
    return Form(Object((*before, ("defects", listed)))), values


def _views(pipeline: Pipeline, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """What the model was shown of a picture, in its pixels: left, top, right and lower edge."""
    side = pipeline.card.size
    parts = media.windows(*size, side, pipeline.rubric.details) if side else []
    return [(0, 0, *size), *parts]


def _together(
    rasters: Sequence[Map], views: Sequence[tuple[int, int, int, int]], size: tuple[int, int]
) -> Map:
    """One map of all views: relevance by area, summed where views overlap."""
    import cv2

    scale = RASTER / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    whole = np.zeros((height, width), np.float32)
    for raster, (left, top, right, low) in zip(rasters, views, strict=True):
        smooth = cv2.GaussianBlur(raster, (0, 0), BLUR)
        x1, y1 = round(left * scale), round(top * scale)
        x2, y2 = max(x1 + 1, round(right * scale)), max(y1 + 1, round(low * scale))
        density = smooth * (smooth.size / ((right - left) * (low - top)))
        whole[y1:y2, x1:x2] += cv2.resize(density, (x2 - x1, y2 - y1), interpolation=cv2.INTER_CUBIC).clip(0)
    return whole
