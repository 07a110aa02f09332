"""Measures of agreement on pairs: which of two is better, by people and by the judge.

Greater is better on both sides, unless a function says otherwise. Pairs are of one group (a prompt, a ranked
list) where groups are given, of the whole set otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import Interval, Measure, draws, interval_of, percentiles, share
from judge.compare.bradley_terry import count_wins, fit, open_chain
from judge.errors import InputError

Floats = NDArray[np.float64]

MOST_PAIRS = 10_000_000
"""Pairs looked at by the tie-optimised accuracy; of more, this many are drawn."""
_WORK = 40_000_000
"""Pairs from which the parts of all rows in a pair statistic are estimated for an interval."""
_BLOCK = 4_000_000
"""Pairs held at once."""


# ---------------------------------------------------------------------------------- which is the better


def pairwise_accuracy(
    predicted: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    interval: bool = False,
) -> Measure:
    """Share of pairs ordered as people order them, pooled (ImageReward's rule).

    Pairs that people tie are left out; a pair that the judge ties is wrong. The interval draws groups, or
    rows where there are none. `count` is the number of pairs.
    """
    x, y = _sides(predicted, truth)
    if groups is None:
        return _pooled_pairs(x, y, interval)
    tally = np.array([_right_pairs(x[at], y[at]) for at in _rows_of(groups, len(x))], dtype=np.float64)
    right, pairs = tally.reshape(-1, 2).sum(axis=0)
    if not pairs:
        return Measure(None, "people order no pair of the same group", 0)
    return Measure(float(right / pairs), "", int(pairs), share(tally) if interval else None)


def preference_accuracy(
    first: Sequence[float | None],
    second: Sequence[float | None],
    label: Sequence[float],
    *,
    interval: bool = False,
) -> Measure:
    """Mean point over pairs: 1 where the preferred one scores higher, 1/2 where one side ties, else 0.

    Pick-a-Pic's rule. A point is 1/2 where the judge ties a decided pair or decides a tied one, 1 where both
    tie.

    Args:
        first: the judge's score of the first of each pair, None where it gave none (the pair counts 0).
        second: of the second.
        label: 1 where people prefer the first, 0 the second, 0.5 neither.
        interval: with a bootstrap interval over pairs.
    """
    if not len(first) == len(second) == len(label):
        raise InputError("label", len(label), f"{len(first)} pairs", "pair all sides first")
    if not len(label):
        return Measure(None, "there is nothing to compare", 0)
    points = []
    for a, b, wanted in zip(first, second, label, strict=True):
        given = None if a is None or b is None else 0.5 + 0.5 * float(np.sign(a - b))
        points.append(0.0 if given is None else 1.0 - abs(given - wanted))
    table = np.array([[point, 1.0] for point in points])
    return Measure(float(table[:, 0].mean()), "", len(points), share(table) if interval else None)


def tie_accuracy(predicted: ArrayLike, truth: ArrayLike, *, tie: float = 0.0) -> Measure:
    """Share of all pairs ordered as people order them, ties included: a pair tied by both is right.

    Args:
        predicted: the judge's scores.
        truth: people's.
        tie: scores at most this far apart are a tie of the judge's.
    """
    x, y = _sides(predicted, truth)
    right = total = 0
    for dx, dy in _differences(x, y):
        right += int(_agree(dx, dy, tie).sum())
        total += len(dx)
    if not total:
        return Measure(None, f"a pair needs two, there are {len(x)}", 0)
    return Measure(right / total, "", total)


@dataclass(frozen=True)
class TieOptimised:
    """The best `tie_accuracy` over all thresholds, with that threshold."""

    accuracy: Measure
    tie: float | None
    """Scores at most this far apart are called a tie; None where undefined."""


def tie_optimised_accuracy(
    predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False, seed: int = 0
) -> TieOptimised:
    """Pairwise accuracy with the threshold of a tie chosen best (Deutsch et al. 2023), GenAI-Bench's measure.

    The least of equally good thresholds is taken. Over `MOST_PAIRS` pairs are not all looked at: that many
    are drawn, and the note says so. The threshold is held fixed in the interval.
    """
    x, y = _sides(predicted, truth)
    pairs = len(x) * (len(x) - 1) // 2
    if not pairs:
        return TieOptimised(Measure(None, f"a pair needs two, there are {len(x)}", 0), None)
    note = ""
    if pairs > MOST_PAIRS:
        dx, dy = _some_differences(x, y, MOST_PAIRS, seed)
        note = f"from {MOST_PAIRS} of {pairs} pairs, drawn at random"
    else:
        parts = list(_differences(x, y))
        dx, dy = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    right, tie = _best_tie(dx, dy)
    value = right / len(dx)
    span = _pair_interval(x, y, value, tie) if interval else None
    return TieOptimised(Measure(value, note, len(dx), span), tie)


def inversion_accuracy(
    predicted: ArrayLike,
    places: ArrayLike,
    groups: Sequence[Hashable],
    *,
    interval: bool = False,
) -> Measure:
    """Mean over ranked lists of 1 - inversions / pairs (HPDv2's rule).

    A pair is inverted where people and the judge order it oppositely; a human tie is never inverted. The
    official script ranks by argsort, which breaks a tie of the judge's by position; here it is half an
    inversion, which is what that comes to on average, and the note counts them.

    Args:
        predicted: the judge's scores, greater is better.
        places: people's places in the list, 1 is best.
        groups: which list each belongs to; the interval draws lists.
        interval: with a bootstrap interval.
    """
    x, y = _sides(predicted, places)
    scores, ties = [], 0
    for at in _rows_of(groups, len(x)):
        if len(at) < 2:
            continue
        i, j = np.triu_indices(len(at), 1)
        a, b = np.sign(x[at][i] - x[at][j]), -np.sign(y[at][i] - y[at][j])
        tied = int(((a == 0) & (b != 0)).sum())
        scores.append(1.0 - (int((a * b < 0).sum()) + tied / 2) / len(i))
        ties += tied
    if not scores:
        return Measure(None, "no list has two things to compare", 0)
    note = f"{ties} pairs that the judge ties count as half an inversion" if ties else ""
    table = np.array([[score, 1.0] for score in scores])
    return Measure(float(table[:, 0].mean()), note, len(scores), share(table) if interval else None)


def _sides(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError("predicted", x.shape, f"one number per truth, {y.shape}", "pair both sides first")
    for name, side in (("predicted", x), ("truth", y)):
        if not np.isfinite(side).all():
            at = int(np.flatnonzero(~np.isfinite(side))[0])
            raise InputError(f"{name}[{at}]", side[at], "finite numbers", "leave unscored rows out")
    return x, y


def _rows_of(groups: Sequence[Hashable], count: int) -> list[NDArray[np.intp]]:
    if len(groups) != count:
        raise InputError("groups", len(groups), f"one per prediction, {count}", "pair all sides first")
    rows: dict[Hashable, list[int]] = {}
    for at, group in enumerate(groups):
        rows.setdefault(group, []).append(at)
    return [np.array(at) for at in rows.values()]


def _right_pairs(x: Floats, y: Floats) -> tuple[int, int]:
    right = total = 0
    for dx, dy in _differences(x, y):
        right += int((dx * np.sign(dy) > 0).sum())
        total += int(np.count_nonzero(dy))
    return right, total


def _pooled_pairs(x: Floats, y: Floats, interval: bool) -> Measure:
    right, pairs = _right_pairs(x, y)
    if not pairs:
        return Measure(None, "people order no pair", 0)
    if not interval:
        return Measure(right / pairs, "", pairs)
    ordered = _row_means(x, y, lambda dx, dy: dy != 0)
    agreeing = _row_means(x, y, lambda dx, dy: (dx * np.sign(dy)) > 0)
    return Measure(right / pairs, "", pairs, _linear([agreeing, ordered], lambda a, o: a / o))


def _differences(x: Floats, y: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Differences of all pairs i < j on both sides, in blocks."""
    count, start = len(x), 0
    while start < count - 1:
        rows = max(1, min(count - 1 - start, _BLOCK // count))
        i, j = np.triu_indices(rows, 1, count - start)
        yield x[start + i] - x[start + j], y[start + i] - y[start + j]
        start += rows


def _some_differences(x: Floats, y: Floats, pairs: int, seed: int) -> tuple[Floats, Floats]:
    chance = np.random.default_rng(seed)
    i = chance.integers(0, len(x), pairs)
    j = (i + chance.integers(1, len(x), pairs)) % len(x)  # never i itself
    return x[i] - x[j], y[i] - y[j]


def _agree(dx: Floats, dy: Floats, tie: float) -> NDArray[np.bool_]:
    tied = np.abs(dx) <= tie
    return np.asarray(np.where(tied, dy == 0, (dx * np.sign(dy)) > 0))


def _best_tie(dx: Floats, dy: Floats) -> tuple[int, float]:
    """The most pairs right, and the least threshold that gives them: 0, or one of the differences."""
    distance = np.abs(dx)
    order = np.argsort(distance, kind="stable")
    distance, same, tied = distance[order], ((dx * np.sign(dy)) > 0)[order], (dy == 0)[order]
    # Right at a threshold: human ties up to it, agreeing pairs beyond it.
    right = np.cumsum(tied) + (same.sum() - np.cumsum(same))
    last = np.append(distance[1:] != distance[:-1], True)  # thresholds take all equal differences or none
    zero = int(np.count_nonzero(distance <= 0))
    at_zero = int(tied[:zero].sum() + same[zero:].sum())
    best = int(right[last].max())
    if best <= at_zero:
        return at_zero, 0.0
    return best, float(distance[np.flatnonzero(last & (right == best))[0]])


# ------------------------------------------------------------------------------- intervals of pair counts


def tau_interval(x: Floats, y: Floats, value: float) -> Interval:
    """Of Kendall's tau-b, by the bootstrap of its linear part."""
    same = _row_means(x, y, lambda dx, dy: np.sign(dx) * np.sign(dy))
    moving_x = _row_means(x, y, lambda dx, dy: dx != 0)
    moving_y = _row_means(x, y, lambda dx, dy: dy != 0)
    return _linear([same, moving_x, moving_y], lambda s, a, b: s / np.sqrt(a * b), value)


def _pair_interval(x: Floats, y: Floats, value: float, tie: float) -> Interval:
    return _linear([_row_means(x, y, lambda dx, dy: _agree(dx, dy, tie))], lambda a: a, value)


def _row_means(x: Floats, y: Floats, kernel: Any) -> Floats:
    """Mean of a pair statistic over each row's partners (of many rows a sample), shape (rows,)."""
    count, most = len(x), max(200, _WORK // max(1, len(x)))
    partners = np.arange(count)
    if count > most:
        partners = np.random.default_rng(0).choice(count, most, replace=False)
    means, rows = np.empty(count), max(1, _BLOCK // len(partners))
    for start in range(0, count, rows):
        at = np.arange(start, min(count, start + rows))
        values = kernel(x[at, None] - x[partners], y[at, None] - y[partners])
        # A row is no partner of itself.
        others = partners != at[:, None]
        means[at] = np.where(others, values, 0).sum(axis=1) / np.maximum(others.sum(axis=1), 1)
    return means


def _linear(parts: Sequence[Floats], formula: Any, value: float | None = None) -> Interval:
    """Bootstrap of a formula of pair statistics: each is linear in the rows up to terms of order 1/rows."""
    table = np.stack(parts, axis=1)
    centre = table.mean(axis=0)
    own = formula(*centre)
    shift = 0.0 if value is None else value - float(own)

    def moved(sums: Floats) -> Floats:
        means = centre + 2 * (sums / len(table) - centre)
        return np.asarray(formula(*means.T) + shift)

    return interval_of(table, moved)


# ------------------------------------------------------------------------------ a ranking out of pairs


@dataclass(frozen=True)
class Strength:
    """One competitor of a Bradley-Terry ranking."""

    name: str
    strength: Measure
    """Natural logarithm of the odds against an average competitor; undefined where pairs leave it open."""
    wins: float
    """Pairs won, ties counted half."""
    pairs: int


def bradley_terry(
    first: Sequence[str],
    second: Sequence[str],
    outcome: Sequence[float],
    *,
    interval: bool = False,
    rounds: int = 200,
    seed: int = 0,
) -> list[Strength]:
    """Strengths of competitors from who beat whom, the strongest first.

    The probability that a beats b is 1 / (1 + exp(strength b - strength a)); strengths have mean 0. The
    maximum exists only where everybody can be reached from everybody by a chain of wins (a tie is half a win
    of either); otherwise all strengths are undefined and the note names one reason.

    Args:
        first: name of the first of each pair.
        second: of the second.
        outcome: 1 where the first won, 0 the second, 0.5 a tie.
        interval: with bootstrap intervals over pairs; in the draws each competitor also ties one hundredth
            of a pair with each other one, so that a draw without a loss stays finite.
        rounds: number of draws.
        seed: the same seed gives the same intervals.
    """
    if not len(first) == len(second) == len(outcome):
        raise InputError("outcome", len(outcome), f"{len(first)} pairs", "pair all sides first")
    for at, value in enumerate(outcome):
        if value not in (0, 0.5, 1):
            raise InputError(f"outcome[{at}]", value, "1, 0.5 or 0", "say who won")
    names = sorted(set(first) | set(second))
    place = {name: at for at, name in enumerate(names)}
    a, b = (
        np.array([place[n] for n in first], dtype=np.intp),
        np.array([place[n] for n in second], dtype=np.intp),
    )
    won = np.asarray(outcome, dtype=np.float64)
    if (a == b).any():
        raise InputError("second", names[int(a[a == b][0])], "another than the first", "remove the pair")
    wins = count_wins(a, b, won, np.ones(len(a)), len(names))
    why = open_chain(wins, names)
    strengths = fit(wins[None])[0] if not why else np.zeros(len(names))
    spans = _strength_spans(a, b, won, len(names), rounds, seed) if interval and not why else None
    found = []
    for at, name in enumerate(names):
        pairs = int(((a == at) | (b == at)).sum())
        span = spans[at] if spans else None
        measure = Measure(None, why, pairs) if why else Measure(float(strengths[at]), "", pairs, span)
        found.append(Strength(name, measure, float(wins[at].sum()), pairs))
    return sorted(found, key=lambda s: (-(s.strength.value or 0.0), -s.wins / max(1, s.pairs), s.name))


def _strength_spans(a: Any, b: Any, won: Floats, count: int, rounds: int, seed: int) -> list[Interval]:
    values = []
    for block in draws(len(a), rounds, seed):
        tables = np.stack([count_wins(a, b, won, weights, count) for weights in block.astype(np.float64)])
        values.append(fit(tables, prior=0.005))
    drawn = np.concatenate(values)
    return [percentiles(drawn[:, at]) for at in range(count)]
