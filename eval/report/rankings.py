"""Rankings of the generators by their mean score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.averages import mean
from eval.metrics.correlation import srcc
from eval.metrics.metric_value import MetricValue
from eval.report.answers import Floats

MAX_GENERATORS = 40
"""Largest number of generators that are ranked: those with the most rows."""


@dataclass(frozen=True)
class RankedGenerator:
    """A generator with its mean score by one judge or by people."""

    name: str
    count: int
    """Number of rows with a score."""
    mean: MetricValue


def rank_generators(generators: Sequence[str], scores: Floats) -> list[RankedGenerator]:
    """Rank the generators by their mean score, the best first.

    Args:
        generators: name of the generator of each row; empty where it is not known.
        scores: score of each row; NaN where there is none.
    """
    names = np.array(generators)
    frequent = Counter(name for name in generators if name).most_common(MAX_GENERATORS)
    ranked = []
    for name, _ in frequent:
        values = scores[(names == name) & np.isfinite(scores)]
        if len(values):
            ranked.append(RankedGenerator(name, len(values), mean(values.tolist(), interval=True)))
    return sorted(ranked, key=lambda generator: (-(generator.mean.value or 0.0), generator.name))


def correlate_rankings(first: list[RankedGenerator], second: list[RankedGenerator]) -> MetricValue:
    """Return Spearman's correlation of two rankings, over the generators that are in both."""
    means = {generator.name: generator.mean.value for generator in second}
    pairs = [(g.mean.value, means[g.name]) for g in first if g.name in means]
    return srcc([a for a, _ in pairs], [b for _, b in pairs])  # type: ignore[arg-type]
