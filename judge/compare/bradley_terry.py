"""Bradley-Terry strengths of competitors, fitted to who beat whom.

The probability that a beats b is 1 / (1 + exp(strength b - strength a)). Strengths have mean 0. Wins are a
table of shape (competitors, competitors) that holds the wins of the row over the column; a tie is half a
win for each.

Source: Bradley and Terry 1952, https://doi.org/10.2307/2334029.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_STEPS = 200
"""Newton steps at most."""
TOLERANCE = 1e-12
"""The fit has converged when no strength moves by more than this."""


def count_wins(a: Any, b: Any, won: Floats, weights: Floats, count: int) -> Floats:
    """Count the wins of each competitor over each other one.

    Args:
        a: (pairs,) number of the first competitor of each pair.
        b: (pairs,) number of the second competitor of each pair.
        won: (pairs,) the first competitor's share of the win: 1, 0.5 or 0.
        weights: (pairs,) how often each pair counts.
        count: number of competitors.

    Returns:
        The table of wins, shape (count, count).
    """
    table = np.bincount(a * count + b, weights=won * weights, minlength=count * count)
    table += np.bincount(b * count + a, weights=(1 - won) * weights, minlength=count * count)
    return np.asarray(table.reshape(count, count), dtype=np.float64)


def explain_no_fit(wins: Floats, names: list[str]) -> str:
    """Explain why the likelihood has no maximum.

    Args:
        wins: (competitors, competitors) table of wins.
        names: of the competitors, for the explanation.

    Returns:
        The reason, or an empty string where the maximum exists.
    """
    from scipy.sparse.csgraph import connected_components

    if len(names) < 2:
        return f"a ranking needs at least 2 competitors, there are {len(names)}"
    parts, _ = connected_components(wins > 0, directed=True, connection="strong")
    if parts == 1:
        return ""
    for index, name in enumerate(names):
        if not wins[:, index].any():
            return f"{name} never lost, so its strength has no upper bound and the ranking has no scale"
        if not wins[index].any():
            return f"{name} never won, so its strength has no lower bound and the ranking has no scale"
    return f"the competitors fall into {parts} groups that never met, or with all wins on one side"


def fit_strengths(wins: Floats, *, virtual_wins: float = 0.0, precision: float = 0.0) -> Floats:
    """Fit strengths to many tables of wins at once, by Newton's method on the (penalised) likelihood.

    Args:
        wins: (tables, competitors, competitors).
        virtual_wins: wins added for each competitor over each other one. They keep the strengths finite in a
            table in which someone never lost.
        precision: precision (1 / variance) of a normal prior with mean 0 on each strength, which also keeps
            the strengths finite.

    Returns:
        (tables, competitors); the strengths of each table have mean 0.
    """
    wins = wins + virtual_wins * (1 - np.eye(wins.shape[1]))
    games = wins + wins.transpose(0, 2, 1)
    total = wins.sum(axis=2)
    theta = np.zeros(total.shape)
    # The likelihood does not change when all strengths move together; the first term fixes their mean.
    regularizer = np.ones((wins.shape[1],) * 2) / wins.shape[1] + precision * np.eye(wins.shape[1])
    for _ in range(MAX_STEPS):
        p = 1 / (1 + np.exp(theta[:, None, :] - theta[:, :, None]))
        gradient = total - (games * p).sum(axis=2) - precision * theta
        curvature = games * p * (1 - p)
        hessian = np.eye(curvature.shape[1]) * curvature.sum(axis=2)[:, :, None] - curvature + regularizer
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        theta = theta + step / np.maximum(1.0, largest)  # steps longer than 1 can overshoot
        if largest.max() < TOLERANCE:
            break
    return np.asarray(theta - theta.mean(axis=1, keepdims=True))
