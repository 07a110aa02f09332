"""An active tournament: it chooses which pair to compare next and decides when the order is settled.

Competitors have Bradley-Terry strengths with a normal prior. The posterior after some matches is approximated
by a normal distribution around its maximum (Laplace's approximation). The next match is the pair with the
largest product of two terms: the information that a match gives on the difference of the two strengths, and
the entropy of which of the two is stronger. Nothing here knows what is compared, or by whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from judge.compare.bradley_terry import fit_strengths

Floats = NDArray[np.float64]

PRIOR_DEVIATION = 2.0
"""Standard deviation of a strength's prior: of two random competitors, the stronger wins 4 of 5 matches."""
NORMAL_95 = 1.959964
"""Half the width of a 95 % interval, in standard deviations."""


@dataclass(frozen=True)
class Match:
    """Two competitors and the key over which they are compared."""

    a: int
    """Number of the first competitor."""
    b: int
    """Number of the second competitor."""
    key: str
    """A key that both competitors have, such as the name of a prompt."""


@dataclass(frozen=True)
class Standing:
    """The estimated strength of one competitor."""

    number: int
    """Number of the competitor."""
    strength: float
    """Natural logarithm of the odds against an average competitor."""
    low: float
    """Lower end of the strength's 95 % interval."""
    high: float
    """Upper end of the strength's 95 % interval."""
    ahead: float | None
    """Probability that it is stronger than the next one in the order; None for the last."""


@dataclass
class Tournament:
    """A tournament between competitors that meet over shared keys.

    Args:
        keys: for each competitor, the keys that it has. Two competitors can meet once over each key that both
            have.
        confidence: the order of two neighbours is settled when it has at least this probability.
        seed: the same seed takes the keys in the same order.
    """

    keys: Sequence[Sequence[str]]
    confidence: float = 0.95
    seed: int = 0
    played: int = 0
    """Number of matches that have a result."""
    wins: Floats = field(init=False)
    """Wins of the row over the column, ties counted half; shape (competitors, competitors)."""
    _open_keys: dict[tuple[int, int], list[str]] = field(init=False)
    """For each pair (a < b), the keys over which the two have not met yet."""

    def __post_init__(self) -> None:
        count, own_keys = len(self.keys), [set(keys) for keys in self.keys]
        self.wins = np.zeros((count, count))
        order = list(dict.fromkeys(key for keys in self.keys for key in keys))
        # All pairs take the keys in one order, so that later matches reuse images that were judged before.
        Random(self.seed).shuffle(order)
        self._open_keys = {
            (a, b): [key for key in order if key in own_keys[a] and key in own_keys[b]]
            for a in range(count)
            for b in range(a + 1, count)
        }
        self.pairs = sum(map(len, self._open_keys.values()))
        """Number of all possible matches."""

    def next_matches(self, count: int = 1) -> list[Match]:
        """Choose the matches to play now, the most informative first.

        Each is chosen as if the ones before it had been played. The matches are taken out of the tournament:
        pass the result of each to `record`.

        Args:
            count: how many matches; fewer are returned when fewer are left.
        """
        strengths, covariance = self._posterior()
        win_probability = _sigmoid(strengths[:, None] - strengths[None, :])
        information = win_probability * (1 - win_probability)
        chosen: list[Match] = []
        while len(chosen) < count:
            is_open = np.zeros_like(information, dtype=bool)
            for (a, b), keys in self._open_keys.items():
                is_open[a, b] = bool(keys)
            if not is_open.any():
                break
            doubt = _entropy(_probability_ahead(strengths, covariance))
            gain = np.where(is_open, doubt * information * _difference_variances(covariance) + 1e-12, -1.0)
            a, b = map(int, np.unravel_index(int(gain.argmax()), gain.shape))
            chosen.append(Match(a, b, self._open_keys[a, b].pop(0)))
            # Sherman-Morrison update of the covariance: one more match between a and b.
            column = covariance[:, a] - covariance[:, b]
            scale = 1 + information[a, b] * (column[a] - column[b])
            covariance = covariance - information[a, b] * np.outer(column, column) / scale
        return chosen

    def record(self, match: Match, outcome: float | None) -> None:
        """Record the result of a match.

        Args:
            match: as returned by `next_matches`.
            outcome: 1 if a won, 0 if b won, 0.5 for a tie, None for a match without a result.
        """
        if outcome is not None:
            self.wins[match.a, match.b] += outcome
            self.wins[match.b, match.a] += 1 - outcome
            self.played += 1

    @property
    def settled(self) -> bool:
        """Whether the order of all neighbours is certain enough, or no match is left that could settle it."""
        standings = self.standings()
        return all(
            (first.ahead or 0.0) >= self.confidence
            or not self._open_keys[_ordered_pair(first.number, second.number)]
            for first, second in zip(standings, standings[1:], strict=False)
        )

    def standings(self) -> list[Standing]:
        """Return the competitors, the strongest first."""
        strengths, covariance = self._posterior()
        centre = np.eye(len(strengths)) - 1 / len(strengths)
        half_width = NORMAL_95 * np.sqrt(np.diag(centre @ covariance @ centre))
        ahead = _probability_ahead(strengths, covariance)
        order = np.argsort(-strengths, kind="stable").tolist()
        return [
            Standing(
                number=number,
                strength=float(strengths[number]),
                low=float(strengths[number] - half_width[number]),
                high=float(strengths[number] + half_width[number]),
                ahead=float(ahead[number, following]) if following is not None else None,
            )
            for number, following in zip(order, [*order[1:], None], strict=True)
        ]

    def _posterior(self) -> tuple[Floats, Floats]:
        """Return the strengths at the posterior's maximum, shape (n,), and their covariance, shape (n, n)."""
        prior_precision = 1 / PRIOR_DEVIATION**2
        strengths = fit_strengths(self.wins[None], precision=prior_precision)[0]
        games = self.wins + self.wins.T
        win_probability = _sigmoid(strengths[:, None] - strengths[None, :])
        curvature = games * win_probability * (1 - win_probability)
        precision = np.diag(curvature.sum(axis=1)) - curvature + prior_precision * np.eye(len(strengths))
        return strengths, np.asarray(np.linalg.inv(precision))


def _ordered_pair(a: int, b: int) -> tuple[int, int]:
    """Return two numbers with the smaller first."""
    return (a, b) if a < b else (b, a)


def _sigmoid(x: Floats) -> Floats:
    """Logistic function, elementwise."""
    return np.asarray(1 / (1 + np.exp(-x)))


def _probability_ahead(strengths: Floats, covariance: Floats) -> Floats:
    """Probability that the row's competitor is stronger than the column's, shape (n, n)."""
    from scipy.special import ndtr

    distance = strengths[:, None] - strengths[None, :]
    return np.asarray(ndtr(distance / np.sqrt(np.maximum(_difference_variances(covariance), 1e-12))))


def _difference_variances(covariance: Floats) -> Floats:
    """Variance of the difference of each two strengths, shape (n, n)."""
    variances = np.diag(covariance)
    return np.asarray(variances[:, None] + variances[None, :] - 2 * covariance)


def _entropy(p: Floats) -> Floats:
    """Entropy in bits of a coin that shows heads with probability p, elementwise."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))
