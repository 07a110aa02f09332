"""Agreement of the reported boxes with the heat maps of the same defects.

A heat map is computed from the pixels, a box is generated as text. Where they agree, the answer rests on the
region in the box. Both numbers are areas under the ROC curve (AUC) over the cells of a heat map (0.5: no
better than chance): cells inside against cells outside of the reported box; and, to tell a wrong heat map
from a wrong box, cells inside against cells outside of the true region, for the reports that are correct.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.trust.scenes import TrustScene
from eval.trust.scores import Measurement, Tick, mean
from judge.errors import InputError
from judge.explain.heatmap import decode_heat_map
from judge.media.regions import box_to_mask, iou, scale_box
from judge.types import Box, Verdict

MIN_IOU = 0.1
"""A report is correct if its IoU with a true region is greater, as in the EvalMuse structure track."""


def measure_attribution(
    judge: Any, scenes: Sequence[TrustScene], verdicts: Sequence[Verdict], tick: Tick
) -> Measurement:
    """Measure how well heat maps agree with reported boxes and with true regions.

    Args:
        judge: the judge.
        scenes: the scenes.
        verdicts: the judge's verdicts on the scenes.
        tick: called after each heat map.

    Returns:
        `heat_in_box` and `heat_in_truth`, mean AUCs; None if the judge makes no heat maps.
    """
    in_box, in_truth = list[float](), list[float]()
    try:
        if not hasattr(judge, "heated"):
            mend = "use a judge.Judge"
            raise InputError("judge", type(judge).__name__, "a judge that makes heat maps", mend)
        for scene, verdict in zip(scenes, verdicts, strict=True):
            if not verdict.defects:
                continue
            heat = judge.heated(verdict, scene.sample).heat
            tick()
            for defect, url in zip(verdict.defects, heat.defects if heat else (), strict=False):
                heat_map, truth = decode_heat_map(url), _matching_region(defect.box, scene)
                in_box += heat_auc(heat_map, defect.box, verdict.size)
                in_truth += heat_auc(heat_map, truth, verdict.size) if truth else []
    except InputError as error:
        note = f"no heat maps: {error}"
        return Measurement({"heat_in_box": None, "heat_in_truth": None}, {"heat_in_box": note})
    return Measurement(
        {"heat_in_box": mean(in_box), "heat_in_truth": mean(in_truth)},
        {
            "heat_in_box": f"AUC of heat inside against outside of {len(in_box)} reported boxes",
            "heat_in_truth": f"the same for the true regions of {len(in_truth)} correct reports",
        },
    )


def _matching_region(box: Box, scene: TrustScene) -> Box | None:
    """Return the true region with the largest IoU with a reported box; None if it is not over `MIN_IOU`."""
    regions = [defect.box for defect in scene.truth.labels.defects]
    best = max(regions, key=lambda region: iou(region, box), default=None)
    return best if best and iou(best, box) > MIN_IOU else None


def heat_auc(heat_map: NDArray[np.float32], box: Box, size: tuple[int, int] | None) -> list[float]:
    """Return the AUC of the cells inside against the cells outside of a box.

    Args:
        heat_map: array of shape (rows, columns).
        box: box in pixels of the image.
        size: (width, height) of the image; None: that of the heat map.

    Returns:
        One number, or none if the box contains all cells or no cell.
    """
    height, width = heat_map.shape
    image_width, image_height = size or (width, height)
    mask = box_to_mask(scale_box(box, width / image_width, height / image_height), width, height)
    inside, outside = heat_map[mask], heat_map[~mask]
    if not len(inside) or not len(outside):
        return []
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)].sum()
    return [float((ranks - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))]
