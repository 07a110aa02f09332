"""Apply the rubric's rule to distributions: the score of a reply, and its change after closer looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from judge.pipeline.distributions import Row, expectation, spread_over_labels
from judge.rubrics.rubric import Rubric
from judge.types import Dimension, Element, Verdict

Support = list[tuple[float, float]]
"""A number known as a distribution: (value, probability) pairs."""

MAX_RULE_CELLS = 10_000
"""Above this number of combinations of values, a dimension enters the rule by its mean."""


def dimension_supports(
    elements: list[Element], distributions: Mapping[str, Sequence[float]]
) -> dict[str, Support]:
    """Return what is known about each dimension.

    Args:
        elements: checked elements. If there are any, the dimension `alignment` becomes the share of elements
            that are present, each taken as independent; the model's own distribution is replaced.
        distributions: dimension name -> probabilities of the labels 1 to 5.
    """
    supports: dict[str, Support] = {
        name: [(float(label), float(share)) for label, share in enumerate(shares, 1)]
        for name, shares in distributions.items()
    }
    if elements and "alignment" in supports:
        counts = [1.0]  # probability that 0, 1, 2, ... elements are present
        for element in elements:
            p = element.probability
            absent, present = [*counts, 0.0], [0.0, *counts]
            counts = [(1 - p) * no + p * yes for no, yes in zip(absent, present, strict=True)]
        supports["alignment"] = [(1 + 4 * n / len(elements), share) for n, share in enumerate(counts)]
    return supports


def score_by_rule(rubric: Rubric, supports: Mapping[str, Support]) -> list[float] | None:
    """Return the distribution of the score that the rubric's rule makes of its dimensions.

    The rule is linear in each dimension. If the dimensions are independent, the mean of the distribution is
    therefore the rule applied to the means of the dimensions.

    Args:
        rubric: the rubric with the rule.
        supports: what is known about each dimension of the rule.

    Returns:
        Probabilities of the labels 1 to 5; None for the rule `slot`, or if a dimension is not known.
    """
    names = rubric.score.dimensions
    if not names or any(name not in supports for name in names):
        return None
    shares, scores = np.ones([1] * len(names)), dict[str, Row]()
    for axis, name in enumerate(names):
        values, probabilities = np.array(supports[name]).T
        if shares.size * len(values) > MAX_RULE_CELLS:
            values, probabilities = np.array([values @ probabilities]), np.ones(1)
        # Each dimension lies along its own axis.
        shape = [-1 if n == axis else 1 for n in range(len(names))]
        scores[name], shares = values.reshape(shape), shares * probabilities.reshape(shape)
    return spread_over_labels(np.broadcast_to(rubric.combine(scores), shares.shape), shares)


def support_to_distribution(support: Support) -> list[float]:
    """Convert (value, probability) pairs to probabilities of the labels 1 to 5 with the same mean."""
    values, shares = np.array(support).T
    return spread_over_labels(values, shares)


def mix_in_facts(
    distribution: list[float], shares: Mapping[str, float], facts: Mapping[str, float]
) -> list[float]:
    """Mix the model's distribution of the score with those of measured facts.

    Args:
        distribution: the model's probabilities of the labels 1 to 5.
        shares: fact name -> its share in the score; the rest is the model's.
        facts: fact name -> value, 0 worst to 1 best.
    """
    mixed = [(1 - sum(shares.values())) * p for p in distribution] if shares else distribution
    for name, share in shares.items():
        fact = support_to_distribution([(1 + 4 * facts[name], 1.0)])
        mixed = [p + share * q for p, q in zip(mixed, fact, strict=True)]
    return mixed


def build_dimensions(distributions: Mapping[str, list[float]]) -> dict[str, Dimension]:
    """Convert distributions to the dimensions of a verdict."""
    return {
        name: Dimension(score=expectation(distribution), distribution=distribution)
        for name, distribution in distributions.items()
    }


def rescore(
    verdict: Verdict,
    elements: list[Element],
    broken_parts: Sequence[Mapping[str, Sequence[float]]],
    rubric: Rubric,
    part_distributions: Mapping[str, list[float]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the numbers of a verdict that closer looks change.

    Args:
        verdict: the verdict after the first look.
        elements: the elements after all looks.
        broken_parts: distributions of the dimensions in parts of the image where a new defect was found. The
            whole image is not better than its worst part. This does not apply to alignment, which a part does
            not show, and to dimensions that are about one part only.
        rubric: the rubric.
        part_distributions: distributions of dimensions that were judged by a look at the part they are about.

    Returns:
        The fields `distribution`, `score` and `dimensions`; empty if nothing has changed or the rubric has no
        rule for its score.
    """
    is_unchanged = elements == verdict.elements and not broken_parts and not part_distributions
    if not rubric.score.dimensions or is_unchanged:
        return {}
    distributions = {name: list(known.distribution) for name, known in verdict.dimensions.items()}
    distributions |= dict(part_distributions)
    excluded = {"alignment", *(dimension.name for dimension in rubric.dimensions if dimension.part)}
    for name in distributions:
        if name not in excluded:
            candidates = [distributions[name], *(list(part[name]) for part in broken_parts)]
            distributions[name] = min(candidates, key=expectation)
    supports = dimension_supports(elements, distributions)
    distribution = score_by_rule(rubric, supports)
    if distribution is None:
        return {}
    return {
        "distribution": distribution,
        "score": expectation(distribution),
        "dimensions": build_dimensions(
            {name: support_to_distribution(support) for name, support in supports.items()}
        ),
    }
