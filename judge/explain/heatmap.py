"""Heat maps: where in the image a score and each defect come from.

The backend traces numbers back to the image patches that it was shown (`judge.backends.base.Tracer`): how
much, to first order, each number would change if the patch looked like the mean patch of the image. Two
requests are traced:

- the score, as at depth `score`, where no written text stands between it and the image;
- each defect: the probabilities of naming another defect and of giving it its kind, with everything before it
  in the form as in the verdict.

A map shows where the answer is sensitive. It is not another box of a defect, which the model writes, and it
does not say which change would help.
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
from judge.media.image import MAX_IMAGE_BYTES, list_detail_boxes
from judge.media.regions import to_relative
from judge.media.sources import decode_data_url
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Object, Repeat
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS
from judge.types import Heat, Verdict

if TYPE_CHECKING:
    from judge.backends.base import RelevanceMaps, Target
    from judge.pipeline.model_info import ModelInfo
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared_sample import PreparedSample

HeatMap = NDArray[np.float32]
"""(rows, columns): relevance, 0 or more."""
MAP_SIDE = 64
"""Pixels along the longer side of a map."""
BLUR_SIGMA = 0.7
"""Standard deviation of the smoothing, in patches."""
COLOR_STOPS = (
    (0, (0, 0, 4)),
    (64, (87, 16, 110)),
    (128, (188, 55, 84)),
    (192, (249, 142, 9)),
    (255, (252, 255, 164)),
)
"""Levels (0..255) and their colours, as in matplotlib's `inferno`, which is perceptually uniform."""


def check_has_gradients(model_info: ModelInfo) -> None:
    """Raise `InputError` for a model that cannot be traced."""
    if not model_info.has_gradients:
        mend = "use backend='transformers', which has gradients"
        raise InputError("heat", True, f"no heat maps with backend {model_info.name}", mend)


def build_trace_requests(
    pipeline: Pipeline, prepared: PreparedSample, verdict: Verdict
) -> list[TraceRequest]:
    """Build the requests that the backend must trace for a verdict.

    Args:
        pipeline: the pipeline of the model and the rubric.
        prepared: the sample.
        verdict: the verdict on the sample.

    Returns:
        A request for the score, and one for the defects if there are any; empty for an unscored verdict or a
        video.
    """
    if verdict.score is None or verdict.size is None or prepared.is_video:
        return []
    names = [element.name for element in verdict.elements]
    score_request = pipeline.build_score_request(prepared, names)
    requests = [TraceRequest(score_request, None, [_score_target(pipeline.rubric, verdict)])]
    if verdict.defects:
        form, values = _fill_form_to_defects(pipeline.rubric, verdict, names)
        targets = [_defect_target(index, defect.kind) for index, defect in enumerate(verdict.defects)]
        requests.append(TraceRequest(replace(prepared.request, form=form), values, targets))
    return requests


def add_heat_maps(
    pipeline: Pipeline, verdict: Verdict, replies: Sequence[RelevanceMaps | ReplyError]
) -> Verdict:
    """Add heat maps to a verdict, or a note that says why there are none.

    Args:
        pipeline: the pipeline of the model and the rubric.
        verdict: the verdict.
        replies: the backend's replies to `build_trace_requests`.
    """
    if verdict.size is None or verdict.score is None:
        return verdict
    errors = [str(reply) for reply in replies if isinstance(reply, ReplyError)]
    if errors or not replies:
        verdict.provenance.notes.append(f"no heat maps: {errors[0] if errors else 'videos have none'}")
        return verdict
    views, maps = _list_views(pipeline, verdict.size), list[str]()
    for reply in replies:
        for relevance in reply if not isinstance(reply, ReplyError) else ():
            # The views of the image are the last ones; a reference or examples may stand before them.
            maps.append(encode_heat_map(_merge_views(relevance[-len(views) :], views, verdict.size)))
    return verdict.model_copy(update={"heat": Heat(score=maps[0], defects=maps[1:])})


def encode_heat_map(heat_map: HeatMap) -> str:
    """Encode a map as an 8-bit grey PNG in a `data:` URL, its greatest value as 255."""
    top = float(heat_map.max())
    grey = np.zeros(heat_map.shape, np.uint8) if top <= 0 else (heat_map / top * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def decode_heat_map(url: str) -> HeatMap:
    """Decode a map of a verdict.

    Args:
        url: a `data:` URL as in `judge.types.Heat`.

    Returns:
        (rows, columns) in 0..1.

    Raises:
        MediaError: the URL is not an image.
    """
    data, _ = decode_data_url(url, "heat", MAX_IMAGE_BYTES)
    heat_map: HeatMap = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32) / np.float32(255)
    return heat_map


def blend_heat_map(image: Image.Image, url: str) -> Image.Image:
    """Blend a map over its image: grey where the map is low, coloured where it is high.

    Args:
        image: RGB of any size.
        url: the map as a `data:` URL.

    Returns:
        RGB of the image's size.
    """
    import cv2

    heat = cv2.resize(decode_heat_map(url), image.size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    stops, colors = [level for level, _ in COLOR_STOPS], np.array([color for _, color in COLOR_STOPS])
    colored = np.stack([np.interp(heat * 255, stops, colors[:, n]) for n in range(3)], axis=-1)
    grey = np.asarray(image.convert("L"), np.float32)[..., None] * 0.8
    share = heat[..., None] ** 0.7 * 0.85
    return Image.fromarray((grey * (1 - share) + colored * share).clip(0, 255).astype(np.uint8))


def _score_target(rubric: Rubric, verdict: Verdict) -> Target:
    """Return the derivative of the expected score by the probability of each label, at the verdict."""
    names = rubric.score.dimensions
    if not names:
        return {"score": {label: float(label) for label in SCORE_LABELS}}
    scores = {name: verdict.dimensions[name].score for name in names}
    target: dict[str, dict[str, float]] = {}
    for name in names:
        # Every rule is linear in each dimension, so a difference of 1 gives the slope.
        slope = float(rubric.combine(scores | {name: scores[name] + 1}) - rubric.combine(scores))
        if name == "alignment" and verdict.elements:
            share = 4 * slope / len(verdict.elements)
            for n, element in enumerate(verdict.elements):
                # The score falls with the probability that the image shows what must be absent.
                target[f"elements.{n}"] = {"true": share if element.expected else -share}
        else:
            target[f"dimensions.{name}"] = {label: int(label) * slope for label in SCORE_LABELS}
    return target


def _defect_target(index: int, kind: str) -> Target:
    return {f"defects.{index}.open": {"open": 1.0}, f"defects.{index}.kind": {kind: 1.0}}


def _fill_form_to_defects(
    rubric: Rubric, verdict: Verdict, names: Sequence[str]
) -> tuple[Form, dict[str, Any]]:
    """Return the rubric's form up to the defects, and the values that the verdict has in it."""
    form = rubric.form(names, len(verdict.defects))
    before = list(takewhile(lambda member: member[0] != "defects", form.root.members))
    defects_node = dict(form.root.members)["defects"]
    assert isinstance(defects_node, Repeat) and verdict.size is not None
    known: dict[str, Any] = {name: attribute.label for name, attribute in verdict.attributes.items()}
    known["elements"] = {element.name: element.shown for element in verdict.elements}
    values = {name: known[name] for name, _ in before}
    items = []
    for defect in verdict.defects:
        box = to_relative(defect.box, *verdict.size)
        item = {**defect.model_dump(), "box": list(box)}
        items.append({name: item[name] for name, _ in defects_node.item.members})
    values["defects"] = items
    return Form(Object((*before, ("defects", defects_node)))), values


def _list_views(pipeline: Pipeline, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return the boxes of an image that the model was shown, in pixels: the whole and the detail crops."""
    side = pipeline.model_info.size
    details = list_detail_boxes(*size, side, pipeline.rubric.details) if side else []
    return [(0, 0, *size), *details]


def _merge_views(
    relevance: Sequence[HeatMap], views: Sequence[tuple[int, int, int, int]], size: tuple[int, int]
) -> HeatMap:
    """Merge the maps of all views of an image; where views overlap, relevance per area is summed."""
    import cv2

    scale = MAP_SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    merged = np.zeros((height, width), np.float32)
    for view_map, (left, top, right, bottom) in zip(relevance, views, strict=True):
        smooth = cv2.GaussianBlur(view_map, (0, 0), BLUR_SIGMA)
        x1, y1 = round(left * scale), round(top * scale)
        x2, y2 = max(x1 + 1, round(right * scale)), max(y1 + 1, round(bottom * scale))
        density = smooth * (smooth.size / ((right - left) * (bottom - top)))
        resized = cv2.resize(density, (x2 - x1, y2 - y1), interpolation=cv2.INTER_CUBIC)
        merged[y1:y2, x1:x2] += resized.clip(0)
    return merged
