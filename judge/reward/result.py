"""What a verdict's numbers are as parts of a reward, each 0 (worst) to 1 (best)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from judge.rubrics.rubric import Rubric
from judge.types import Defect, Depth, Verdict

CLEAN = "none"
"""The label of an attribute that says that there is nothing to complain of."""
SEVERITY = {"negligible": 0.25, "moderate": 0.5, "critical": 1.0}
"""What a defect costs where it is certain."""


@dataclass(frozen=True)
class RewardResult:
    """What one picture is worth."""

    score: float | None
    """0 (worst) to 1 (best); None where the picture could not be scored."""
    reason: str = ""
    """Why there is no score; empty when there is one."""
    parts: dict[str, float] = field(default_factory=dict)
    """What the score is made of, and what else is worth a curve, each 0 (worst) to 1 (best)."""
    verdict: Verdict | None = None
    """The whole verdict, without the picture; None where several judges were asked."""

    @property
    def percentile(self) -> float | None:
        """Where the score lies among those of the calibration set, 0 to 100; None without a calibration."""
        found = getattr(self.verdict, "percentile", None)
        return None if found is None else float(found)


def known_parts(rubric: Rubric, depth: Depth) -> list[str]:
    """The parts that verdicts of a rubric have at a depth."""
    clean = [question.name for question in rubric.attributes if CLEAN in question.labels]
    located = ["defects"] if rubric.defects and depth == "verdict" else []
    return ["score", *(dimension.name for dimension in rubric.dimensions), *clean, *located]


def parts_of(verdict: Verdict, rubric: Rubric, elements: Literal["mean", "all"]) -> dict[str, float]:
    """The parts of a scored verdict.

    `defects` is the product over the defects of 1 - confidence x severity, so that one more never makes it
    better, and none makes it 1.
    """
    assert verdict.score is not None
    dimensions = {name: dimension.score for name, dimension in verdict.dimensions.items()}
    score = verdict.score
    if verdict.elements and "alignment" in dimensions:
        chances = [element.probability for element in verdict.elements]
        if elements == "all":
            dimensions["alignment"] = 1 + 4 * math.prod(chances)
            by_rule = rubric.combine(dimensions)
            score = score if by_rule is None else by_rule
        else:
            dimensions["alignment"] = 1 + 4 * sum(chances) / len(chances)
    parts = {"score": unit(score), **{name: unit(value) for name, value in dimensions.items()}}
    for name, attribute in verdict.attributes.items():
        if CLEAN in attribute.probabilities:
            parts[name] = attribute.probabilities[CLEAN]
    if rubric.defects and verdict.provenance.depth == "verdict":
        parts["defects"] = math.prod(1 - cost(defect) for defect in verdict.defects)
    return parts


def cost(defect: Defect) -> float:
    """What a defect costs, 0 to 1: its severity, weighted by how sure the judge is that it is there."""
    return defect.confidence * SEVERITY[defect.severity]


def unit(score: float) -> float:
    """A score of 1..5 as 0..1."""
    return min(1.0, max(0.0, (score - 1) / 4))
