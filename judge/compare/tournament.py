"""An active tournament: which pair to ask about next, and when the order is settled.

Competitors have Bradley-Terry strengths with a normal prior; what is known after some matches is taken
as normal too (Laplace's approximation at the greatest posterior). The next match is the one of which most is
expected for the order: the information it gives on the difference of two strengths, times how open it still
is which of the two is the stronger. Nothing here knows what is compared, or by whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.compare.bradley_terry import fit

Floats = NDArray[np.float64]

SPREAD = 2.0
"""Standard deviation of the prior of a strength: the stronger of two drawn at random wins 4 of 5 matches."""
NORMAL_95 = 1.959964
"""Half the width of a 95 % interval, in standard deviations."""


@dataclass(frozen=True)
class Match:
    """Two competitors, by number, and which of the things that both have is to be compared."""

    a: int
    b: int
    key: str


@dataclass(frozen=True)
class Standing:
    """What is known of one competitor."""

    number: int
    strength: float
    """Natural logarithm of the odds against an average competitor."""
    low: float
    high: float
    """95 % interval of the strength."""
    ahead: float | None
    """Probability that it is stronger than the next one in the order; None for the last."""


@dataclass
class Tournament:
    """A tournament between competitors that are compared thing by thing.

    Args:
        things: for each competitor the keys of what it has; two meet over a key that both have, once a key.
        confidence: the order of two neighbours is settled when it is this probable.
        seed: the same seed takes keys in the same order.
    """

    things: Sequence[Sequence[str]]
    confidence: float = 0.95
    seed: int = 0
    played: int = 0
    """Matches that have a result."""
    wins: Floats = field(init=False)
    """Wins of the row over the column, ties counted half; shape (competitors, competitors)."""
    _open: dict[tuple[int, int], list[str]] = field(init=False)

    def __post_init__(self) -> None:
        count, own = len(self.things), [set(keys) for keys in self.things]
        self.wins = np.zeros((count, count))
        order = list(dict.fromkeys(key for keys in self.things for key in keys))
        # One order for all pairs: whoever meets again brings a picture that was looked at before, if any.
        Random(self.seed).shuffle(order)
        self._open = {
            (a, b): [key for key in order if key in own[a] and key in own[b]]
            for a in range(count)
            for b in range(a + 1, count)
        }
        self.pairs = sum(map(len, self._open.values()))
        """Matches that there are."""

    def next(self, count: int = 1) -> list[Match]:
        """The matches to play now, the most telling first: `count` of them, or what is left.

        Each is chosen as if those before it had been played. They are taken out: tell each one's result.
        """
        strengths, spread = self._known()
        chance = _sigmoid(strengths[:, None] - strengths[None, :])
        weight = chance * (1 - chance)
        chosen: list[Match] = []
        while len(chosen) < count:
            left = np.zeros_like(weight, dtype=bool)
            for (a, b), keys in self._open.items():
                left[a, b] = bool(keys)
            if not left.any():
                break
            doubt = _entropy(_ahead(strengths, spread))
            gain = np.where(left, doubt * weight * _variances(spread) + 1e-12, -1.0)
            a, b = map(int, np.unravel_index(int(gain.argmax()), gain.shape))
            chosen.append(Match(a, b, self._open[a, b].pop(0)))
            arm = spread[:, a] - spread[:, b]  # Sherman-Morrison: one more match between a and b
            spread = spread - weight[a, b] * np.outer(arm, arm) / (1 + weight[a, b] * (arm[a] - arm[b]))
        return chosen

    def tell(self, match: Match, outcome: float | None) -> None:
        """The result of a match: 1 where a won, 0 where b did, 0.5 for a tie, None where there is none."""
        if outcome is not None:
            self.wins[match.a, match.b] += outcome
            self.wins[match.b, match.a] += 1 - outcome
            self.played += 1

    @property
    def settled(self) -> bool:
        """Whether the order of all neighbours is certain enough, or nothing is left to ask about it."""
        standings = self.standings()
        return all(
            (first.ahead or 0.0) >= self.confidence or not self._open[_pair(first.number, second.number)]
            for first, second in zip(standings, standings[1:], strict=False)
        )

    def standings(self) -> list[Standing]:
        """The competitors, the strongest first."""
        strengths, spread = self._known()
        centre = np.eye(len(strengths)) - 1 / len(strengths)
        half = NORMAL_95 * np.sqrt(np.diag(centre @ spread @ centre))
        ahead = _ahead(strengths, spread)
        order = np.argsort(-strengths, kind="stable").tolist()
        return [
            Standing(
                number=at,
                strength=float(strengths[at]),
                low=float(strengths[at] - half[at]),
                high=float(strengths[at] + half[at]),
                ahead=float(ahead[at, after]) if after is not None else None,
            )
            for at, after in zip(order, [*order[1:], None], strict=True)
        ]

    def _known(self) -> tuple[Floats, Floats]:
        """Strengths of greatest posterior, and their covariance."""
        shrink = 1 / SPREAD**2
        strengths = fit(self.wins[None], shrink=shrink)[0]
        games = self.wins + self.wins.T
        chance = _sigmoid(strengths[:, None] - strengths[None, :])
        curve = games * chance * (1 - chance)
        precision = np.diag(curve.sum(axis=1)) - curve + shrink * np.eye(len(strengths))
        return strengths, np.asarray(np.linalg.inv(precision))


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def _ahead(strengths: Floats, spread: Floats) -> Floats:
    """Probability that the row's competitor is stronger than the column's."""
    from scipy.special import ndtr

    distance = strengths[:, None] - strengths[None, :]
    return np.asarray(ndtr(distance / np.sqrt(np.maximum(_variances(spread), 1e-12))))


def _variances(spread: Floats) -> Floats:
    """Variance of the difference of each two strengths."""
    own = np.diag(spread)
    return np.asarray(own[:, None] + own[None, :] - 2 * spread)


def _entropy(p: Floats) -> Floats:
    """Of a coin that shows heads with probability p, in bits."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))
