"""Does a judge point where it looks? Its boxes beside the heat maps of the same defects.

A heat map comes from the pixels, a box from what was written. Where they agree, the box says what the answer
rests on. Both numbers are areas under the ROC curve of a map's cells (0.5: no better than chance): inside
against outside of the reported box; and, to tell a wrong map from a wrong box, inside against outside of the
true region, for those reports that are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.trust.material import Part, Scene, Tick, mean
from judge.errors import InputError
from judge.explain.heatmap import levels
from judge.media.regions import box_mask, iou, scale
from judge.types import Box, Verdict

RIGHT = 0.1
"""Least IoU with a true region of a report that is right, as in the EvalMuse structure track."""


def measure(judge: Any, scenes: Sequence[Scene], known: Sequence[Verdict], tick: Tick) -> Part:
    inside, true = list[float](), list[float]()
    try:
        if not hasattr(judge, "heated"):
            raise InputError("judge", type(judge).__name__, "one that makes heat maps", "take a Judge")
        for scene, verdict in zip(scenes, known, strict=True):
            if not verdict.defects:
                continue
            heat = judge.heated(verdict, scene.sample).heat
            tick()
            for defect, url in zip(verdict.defects, heat.defects if heat else (), strict=False):
                found, truth = levels(url), _nearest(defect.box, scene)
                inside += _area(found, defect.box, verdict.size)
                true += _area(found, truth, verdict.size) if truth else []
    except InputError as error:
        return Part({"heat_in_box": None, "heat_in_truth": None}, {"heat_in_box": f"no heat maps: {error}"})
    return Part(
        {"heat_in_box": mean(inside), "heat_in_truth": mean(true)},
        {
            "heat_in_box": f"AUC of heat inside against outside of {len(inside)} reported boxes",
            "heat_in_truth": f"the same for the true region, of {len(true)} reports that are right",
        },
    )


def _nearest(box: Box, scene: Scene) -> Box | None:
    """The true region that a report means; None where it means none."""
    best = max((d.box for d in scene.truth.labels.defects), key=lambda own: iou(own, box), default=None)
    return best if best and iou(best, box) > RIGHT else None


def _area(found: NDArray[np.float32], box: Box, size: tuple[int, int] | None) -> list[float]:
    """Area under the ROC curve; none where the box holds all cells or none."""
    height, width = found.shape
    across, down = size or (width, height)
    within = box_mask(scale(box, width / across, height / down), width, height)
    hot, cold = found[within], found[~within]
    if not len(hot) or not len(cold):
        return []
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([hot, cold]))[: len(hot)].sum()
    return [float((ranks - len(hot) * (len(hot) + 1) / 2) / (len(hot) * len(cold)))]
