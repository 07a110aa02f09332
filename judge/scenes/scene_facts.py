"""The ground truth of a drawn scene, and the formula of its score.

Let a be the share of the listed elements that the image shows, and
q = max(0, 1 - sum over defects (0.22 + 1.5 * box area / image area) - 0.17 * degradation level).
Then alignment = 1 + 4 a, structure = 1 + 4 q and score = 1 + 4 a (0.45 + 0.55 q). Each is 1 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from judge.scenes.vocabulary import name_objects
from judge.types import Severity

SCENE_SIZE = 224
"""Side of a usual scene in pixels."""
MIN_CENTER_DISTANCE = 22
"""Smallest distance between two centres, in pixels at 224 x 224, for a relation such as "left of"."""


@dataclass
class SceneObject:
    """One object of a scene."""

    color: str
    """A key of `vocabulary.COLORS`."""
    kind: str
    """One of `vocabulary.OBJECT_KINDS`."""
    x: float
    """Centre in pixels, to the right."""
    y: float
    """Centre in pixels, downwards."""
    radius: float
    """Half the extent in pixels."""
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    """x1, y1, x2, y2 in pixels; set when the object is painted."""

    @property
    def color_and_kind(self) -> tuple[str, str]:
        """The colour and the kind; objects with the same pair count as the same for a prompt."""
        return self.color, self.kind

    @property
    def name(self) -> str:
        """The element text, for example "red cat"."""
        return name_objects(1, self.color, self.kind)


@dataclass
class SceneDefect:
    """One structure defect."""

    kind: str
    """One of `vocabulary.DEFECT_KINDS`."""
    box: tuple[int, int, int, int]
    """x1, y1, x2, y2 in pixels, x2 and y2 exclusive."""
    explanation: str
    object_indices: tuple[int, ...] = ()
    """Indices of the objects that the explanation names."""


@dataclass
class SceneFacts:
    """Everything that is true of a scene, except its pixels: enough to answer any question about it."""

    size: int
    """Side of the square image in pixels."""
    background: str
    """One of `vocabulary.BACKGROUNDS`."""
    style: str
    """One of `vocabulary.STYLES`."""
    objects: list[SceneObject]
    defects: list[SceneDefect] = field(default_factory=list)
    degradation: str = "none"
    """One of `vocabulary.DEGRADATIONS`."""
    level: int = 0
    """Level of the degradation, 0 to 3."""

    def count(self, color: str, kind: str) -> int:
        """Return how many objects have this colour and kind; an empty colour matches every colour."""
        return sum(thing.kind == kind and color in ("", thing.color) for thing in self.objects)

    @property
    def quality(self) -> float:
        """The quality q of the module docstring, 0 to 1."""
        return max(0.0, 1 - sum(defect_loss(f.box, self.size) for f in self.defects) - 0.17 * self.level)


def defect_loss(box: tuple[float, float, float, float], size: int) -> float:
    """Return how much one defect reduces the quality of a scene.

    Args:
        box: x1, y1, x2, y2 in pixels.
        size: side of the scene in pixels.
    """
    return 0.22 + 1.5 * (box[2] - box[0]) * (box[3] - box[1]) / (size * size)


def defect_severity(box: tuple[float, float, float, float], size: int) -> Severity:
    """Return the severity of a defect from the share of the image that its box covers.

    Args:
        box: x1, y1, x2, y2 in pixels.
        size: side of the scene in pixels.

    Returns:
        "negligible" below 1.5 %, "moderate" below 4 %, otherwise "critical".
    """
    share = (box[2] - box[0]) * (box[3] - box[1]) / (size * size)
    return "negligible" if share < 0.015 else "moderate" if share < 0.04 else "critical"


def scene_score(alignment: float, quality: float) -> float:
    """Return the score, 1 to 5.

    Args:
        alignment: share of the elements that are present, 0 to 1.
        quality: quality of the scene, 0 to 1.
    """
    return 1 + 4 * alignment * (0.45 + 0.55 * quality)
