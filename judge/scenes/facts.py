"""What is true of a scene, and the rule of its score.

Let a be the share of asked elements that are there, and
q = max(0, 1 - sum over defects (0.22 + 1.5 * box area / picture area) - 0.17 * degradation level).
Then alignment = 1 + 4 a, structure = 1 + 4 q and score = 1 + 4 a (0.45 + 0.55 q), each 1 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from judge.scenes.vocabulary import named
from judge.types import Severity

SIZE = 224
CLEAR = 22
"""Least distance of centres (pixels at 224) from which one object counts as left of or above another."""


@dataclass
class Thing:
    """One object of a scene; positions and sizes in pixels."""

    color: str
    kind: str
    x: float
    y: float
    radius: float
    box: tuple[float, float, float, float] = (0, 0, 0, 0)

    @property
    def key(self) -> tuple[str, str]:
        return self.color, self.kind

    @property
    def name(self) -> str:
        return named(1, self.color, self.kind)


@dataclass
class Flaw:
    """One structure defect."""

    kind: str
    box: tuple[int, int, int, int]
    explanation: str
    things: tuple[int, ...] = ()
    """Indices of the objects that its explanation names."""


@dataclass
class Facts:
    """Everything true of a picture but the pixels: enough to ask any question about it again."""

    size: int
    background: str
    style: str
    things: list[Thing]
    flaws: list[Flaw] = field(default_factory=list)
    degradation: str = "none"
    level: int = 0

    def count(self, color: str, kind: str) -> int:
        """How many objects of this colour (any, when empty) and kind there are."""
        return sum(t.kind == kind and color in ("", t.color) for t in self.things)

    @property
    def quality(self) -> float:
        return max(0.0, 1 - sum(loss_of(f.box, self.size) for f in self.flaws) - 0.17 * self.level)


def loss_of(box: tuple[float, float, float, float], size: int) -> float:
    """What one defect takes off the quality."""
    return 0.22 + 1.5 * (box[2] - box[0]) * (box[3] - box[1]) / (size * size)


def severity_of(box: tuple[float, float, float, float], size: int) -> Severity:
    """By the share of the picture that the box covers: under 1.5 %, under 4 %, more."""
    share = (box[2] - box[0]) * (box[3] - box[1]) / (size * size)
    return "negligible" if share < 0.015 else "moderate" if share < 0.04 else "critical"


def score_of(alignment: float, quality: float) -> float:
    """The score 1..5 from the share of elements present and the quality, both 0..1."""
    return 1 + 4 * alignment * (0.45 + 0.55 * quality)
