"""A Bradley-Terry ranking of competitors from the outcomes of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import percentile_interval, resample_counts
from eval.metrics.metric_value import Interval, MetricValue
from judge.compare.bradley_terry import count_wins, explain_no_fit, fit_strengths
from judge.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CompetitorStrength:
    """One competitor of a Bradley-Terry ranking."""

    name: str
    strength: MetricValue
    """Log (base e) of the odds against an average competitor; undefined where the pairs leave it open."""
    wins: float
    """Pairs won, a tie counted half."""
    pairs: int
    """Pairs in which the competitor takes part."""


def bradley_terry(
    first: Sequence[str],
    second: Sequence[str],
    outcome: Sequence[float],
    *,
    interval: bool = False,
    resamples: int = 200,
    seed: int = 0,
) -> list[CompetitorStrength]:
    """Estimate the strength of each competitor from the outcomes of pairs.

    The probability that a beats b is 1 / (1 + exp(strength b - strength a)); strengths have mean 0. The
    maximum of the likelihood exists only where everybody can be reached from everybody by a chain of wins (a
    tie is half a win of either). Otherwise all strengths are undefined, and the note names one reason.

    Args:
        first: name of the first competitor of each pair.
        second: name of the second competitor.
        outcome: 1 where the first won, 0 where the second won, 0.5 for a tie.
        interval: add bootstrap intervals over pairs. In each resample every competitor also ties one
            hundredth of a pair with each other one, so that a resample without a loss has finite strengths.
        resamples: number of resamples.
        seed: the same seed gives the same intervals.

    Returns:
        The competitors, the strongest first.

    Raises:
        InputError: the arguments differ in length, an outcome is not 1, 0.5 or 0, or a competitor meets
            itself.
    """
    if not len(first) == len(second) == len(outcome):
        raise InputError("outcome", len(outcome), f"{len(first)} pairs", "pair all sides first")
    for number, value in enumerate(outcome):
        if value not in (0, 0.5, 1):
            raise InputError(f"outcome[{number}]", value, "1, 0.5 or 0", "say who won")
    names = sorted(set(first) | set(second))
    index = {name: number for number, name in enumerate(names)}
    a = np.array([index[name] for name in first], dtype=np.intp)
    b = np.array([index[name] for name in second], dtype=np.intp)
    won = np.asarray(outcome, dtype=np.float64)
    if (a == b).any():
        raise InputError("second", names[int(a[a == b][0])], "another than the first", "remove the pair")
    wins = count_wins(a, b, won, np.ones(len(a)), len(names))
    reason = explain_no_fit(wins, names)
    strengths = fit_strengths(wins[None])[0] if not reason else np.zeros(len(names))
    intervals: list[Interval] | list[None] = [None] * len(names)
    if interval and not reason:
        intervals = _strength_intervals(a, b, won, len(names), resamples, seed)
    ranking = []
    for number, name in enumerate(names):
        pairs = int(((a == number) | (b == number)).sum())
        value = float(strengths[number])
        strength = (
            MetricValue(None, reason, pairs) if reason else MetricValue(value, "", pairs, intervals[number])
        )
        ranking.append(CompetitorStrength(name, strength, float(wins[number].sum()), pairs))
    return sorted(ranking, key=lambda s: (-(s.strength.value or 0.0), -s.wins / max(1, s.pairs), s.name))


def _strength_intervals(
    a: NDArray[np.intp], b: NDArray[np.intp], won: Floats, count: int, resamples: int, seed: int
) -> list[Interval]:
    blocks = []
    for block in resample_counts(len(a), resamples, seed):
        tables = np.stack([count_wins(a, b, won, weights, count) for weights in block.astype(np.float64)])
        blocks.append(fit_strengths(tables, virtual_wins=0.005))
    drawn = np.concatenate(blocks)
    return [percentile_interval(drawn[:, number]) for number in range(count)]
