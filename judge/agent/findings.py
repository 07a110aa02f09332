"""Defects over several looks: which of them are the same, and how sure the looks are together."""

from __future__ import annotations

from collections.abc import Sequence

from judge.media.regions import box_area, intersection, iou
from judge.types import Box, Defect

SURE_CONFIDENCE = 0.7
"""Confidence of a defect that needs no other look. It is also the mean confidence that a defect in a tile
needs if a look has missed it: with the follow-up looks, one may miss it if the others are sure."""
SAME_IOU = 0.3
"""Two defects are the same if their boxes have at least this intersection over union."""
SAME_CONTAINMENT = 0.7
"""Two defects are the same if at least this share of the smaller box lies in the other."""
CUT_OFF_MARGIN = 0.02
"""A defect this near to a tile's edge, as a share of the tile's side, is cut off; a neighbouring tile shows
it whole."""


class TrackedDefect:
    """One defect in several looks."""

    def __init__(self, defect: Defect) -> None:
        self.latest, self.confidences, self.misses = defect, [defect.confidence], 0
        self.distributions: dict[str, list[float]] = {}
        """Distributions of the rubric's dimensions in the latest look that found the defect."""

    def add_sighting(self, defect: Defect, distributions: dict[str, list[float]]) -> None:
        """Record a look that found the defect again.

        Args:
            defect: the defect as this look found it.
            distributions: dimension name -> probabilities of the labels 1 to 5 in this look.
        """
        self.latest, self.distributions = defect, distributions
        self.confidences.append(defect.confidence)

    def add_miss(self) -> None:
        """Record a look that did not find the defect."""
        self.misses += 1

    def mean_confidence(self, future_looks: int = 0) -> float:
        """Return the mean confidence over all looks, a miss counting 0.

        Args:
            future_looks: number of further looks that are assumed to find the defect with confidence 1.
        """
        total = sum(self.confidences) + future_looks
        return total / (len(self.confidences) + self.misses + future_looks)

    def can_remain(self, future_looks: int) -> bool:
        """Return whether no look has missed the defect, or it can still reach `SURE_CONFIDENCE`."""
        return not self.misses or self.mean_confidence(future_looks) >= SURE_CONFIDENCE

    def to_defect(self) -> Defect:
        """Return the defect of the latest look with the mean confidence of all looks."""
        return self.latest.model_copy(update={"confidence": self.mean_confidence()})


def merge_defects(defects: Sequence[Defect]) -> list[Defect]:
    """Return each defect once, highest confidence first; of defects that are the same, the surest remains."""
    merged: list[Defect] = []
    for defect in sorted(defects, key=lambda d: -d.confidence):
        if not any(d.family == defect.family and is_same_region(d.box, defect.box) for d in merged):
            merged.append(defect)
    return merged


def is_same_region(a: Box, b: Box) -> bool:
    """Return whether two boxes are taken for the same region."""
    smaller_area = min(box_area(a), box_area(b))
    is_contained = smaller_area > 0 and intersection(a, b) >= SAME_CONTAINMENT * smaller_area
    return iou(a, b) >= SAME_IOU or is_contained


def find_match(box: Box, defects: Sequence[Defect]) -> Defect | None:
    """Return the defect that overlaps a box best; None if none has an IoU of at least `SAME_IOU`."""
    best = max(defects, key=lambda d: iou(d.box, box), default=None)
    return best if best and iou(best.box, box) >= SAME_IOU else None


def is_cut_off(box: Box, tile: Box, size: tuple[int, int]) -> bool:
    """Return whether a box touches an edge of its tile that is not an edge of the image.

    Args:
        box: the box in pixels of the image.
        tile: the tile in pixels of the image.
        size: width and height of the image in pixels.
    """
    margin = CUT_OFF_MARGIN * (tile[2] - tile[0])
    touches_start = any(tile[n] > 0 and box[n] - tile[n] <= margin for n in (0, 1))
    return touches_start or any(tile[n] < size[n - 2] and tile[n] - box[n] <= margin for n in (2, 3))
