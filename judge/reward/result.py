"""The result of a reward, and how a verdict becomes parts of a reward from 0 (worst) to 1 (best)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, Protocol

from judge.rubrics.rubric import Rubric
from judge.types import Defect, Depth, Verdict

NO_ISSUE = "none"
"""Label of an attribute that says that nothing is wrong."""
SEVERITY_COSTS = {"negligible": 0.25, "moderate": 0.5, "critical": 1.0}
"""Cost of a defect that is certain."""


@dataclass(frozen=True)
class RewardResult:
    """The reward of one image."""

    score: float | None
    """0 (worst) to 1 (best); None if the image could not be scored."""
    reason: str = ""
    """Why there is no score; empty if there is one."""
    parts: dict[str, float] = field(default_factory=dict)
    """What the score is made of, and other numbers worth a curve, each 0 (worst) to 1 (best)."""
    verdict: Verdict | None = None
    """The whole verdict, without the image; None if several judges were asked."""

    @property
    def abstained(self) -> bool:
        """Whether there is no score because the image or its prompt is outside the judge's domain."""
        return self.verdict is not None and self.verdict.abstained

    @property
    def percentile(self) -> float | None:
        """Percentile of the score in the calibration set, 0 to 100; None without a calibration."""
        percentile = getattr(self.verdict, "percentile", None)
        return None if percentile is None else float(percentile)


class RewardLike(Protocol):
    """What the trainers' adapters need of a reward. `Reward` and `Ensemble` have it.

    Prompts and images may be `judge.reward.rows.Missing`: a row that could not be made, which has no score.
    """

    def __call__(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
    ) -> list[RewardResult]:
        """Score images; see `judge.reward.core.Reward`."""
        ...

    async def acall(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
    ) -> list[RewardResult]:
        """`__call__`, awaited."""
        ...


def part_names(rubric: Rubric, depth: Depth) -> list[str]:
    """Return the names of the parts that verdicts of a rubric have at a depth."""
    attributes = [question.name for question in rubric.attributes if NO_ISSUE in question.labels]
    defects = ["defects"] if rubric.defects and depth == "verdict" else []
    return ["score", *(dimension.name for dimension in rubric.dimensions), *attributes, *defects]


class PartColumns:
    """The parts of results as columns: verl and OpenRLHF need the same entries for every sample.

    Args:
        reward: its results.
    """

    def __init__(self, reward: RewardLike) -> None:
        rubric, depth = getattr(reward, "rubric", None), getattr(reward, "depth", None)
        self._names = dict.fromkeys(part_names(rubric, depth) if rubric and depth else ())

    def fill(self, results: Sequence[RewardResult], numbers: Sequence[float]) -> list[dict[str, float]]:
        """Return the parts of each result.

        Args:
            results: of one call.
            numbers: of each result, what stands for its score; it also stands for parts that it lacks.
        """
        self._names |= dict.fromkeys(name for result in results for name in result.parts)
        return [
            {name: result.parts.get(name, number) for name in self._names}
            for result, number in zip(results, numbers, strict=True)
        ]


def reward_parts(verdict: Verdict, rubric: Rubric, elements: Literal["mean", "all"]) -> dict[str, float]:
    """Return the parts of a scored verdict, each 0 to 1.

    `defects` is the product over the defects of 1 - confidence x severity: 1 without defects, and never
    higher with one defect more.

    Args:
        verdict: with a score.
        rubric: of the verdict.
        elements: how `alignment` follows from the elements; see `judge.reward.core.Reward`.
    """
    assert verdict.score is not None
    dimensions = {name: dimension.score for name, dimension in verdict.dimensions.items()}
    score = verdict.score
    if verdict.elements and "alignment" in dimensions:
        probabilities = [element.probability for element in verdict.elements]
        if elements == "all":
            dimensions["alignment"] = 1 + 4 * math.prod(probabilities)
            by_rule = rubric.combine(dimensions)
            score = score if by_rule is None else by_rule
        else:
            dimensions["alignment"] = 1 + 4 * sum(probabilities) / len(probabilities)
    parts = {"score": to_unit_range(score)}
    parts |= {name: to_unit_range(value) for name, value in dimensions.items()}
    for name, attribute in verdict.attributes.items():
        if NO_ISSUE in attribute.probabilities:
            parts[name] = attribute.probabilities[NO_ISSUE]
    if rubric.defects and verdict.provenance.depth == "verdict":
        parts["defects"] = math.prod(1 - defect_cost(defect) for defect in verdict.defects)
    return parts


def defect_cost(defect: Defect) -> float:
    """Return the cost of a defect, 0 to 1: its severity times the judge's confidence that it is there."""
    return defect.confidence * SEVERITY_COSTS[defect.severity]


def to_unit_range(score: float) -> float:
    """Map a score of 1..5 to 0..1."""
    return min(1.0, max(0.0, (score - 1) / 4))


def mean_metrics(results: Sequence[RewardResult]) -> dict[str, float]:
    """Return metrics of a batch for a trainer's log.

    Args:
        results: of the batch.

    Returns:
        The mean of each part over the images that have it, the mean `percentile` if there is a calibration,
        and `unscored`, the number of images without a score; where the judge abstained, also `abstained`, the
        number of those. A part that no image has is left out; nothing is NaN.
    """
    means: dict[str, float] = {}
    for name in dict.fromkeys(part for result in results for part in result.parts):
        means[name] = fmean(result.parts[name] for result in results if name in result.parts)
    percentiles = [result.percentile for result in results if result.percentile is not None]
    if percentiles:
        means["percentile"] = fmean(percentiles)
    if abstained := sum(result.abstained for result in results):
        means["abstained"] = float(abstained)
    return {**means, "unscored": float(sum(result.score is None for result in results))}
