"""Bradley-Terry: strengths of competitors out of who beat whom.

The probability that a beats b is 1 / (1 + exp(strength b - strength a)); strengths have mean 0. Wins are a
table (competitors, competitors) of wins of the row over the column, a tie being half a win of either.
Source: Bradley and Terry 1952, https://doi.org/10.2307/2334029.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count_wins(a: Any, b: Any, won: Floats, weights: Floats, count: int) -> Floats:
    """The table of wins, shape (count, count).

    Args:
        a, b: (pairs,) numbers of the first and the second competitor.
        won: (pairs,) share of the first's win, 1, 0.5 or 0.
        weights: (pairs,) how often each pair counts.
        count: number of competitors.
    """
    table = np.bincount(a * count + b, weights=won * weights, minlength=count * count)
    table += np.bincount(b * count + a, weights=(1 - won) * weights, minlength=count * count)
    return np.asarray(table.reshape(count, count), dtype=np.float64)


def open_chain(wins: Floats, names: list[str]) -> str:
    """Why the maximum of the likelihood does not exist; empty where it does."""
    from scipy.sparse.csgraph import connected_components

    if len(names) < 2:
        return f"a ranking needs at least 2 competitors, there are {len(names)}"
    parts, _ = connected_components(wins > 0, directed=True, connection="strong")
    if parts == 1:
        return ""
    for at, name in enumerate(names):
        if not wins[:, at].any():
            return f"{name} never lost, so its strength has no upper bound and the ranking no scale"
        if not wins[at].any():
            return f"{name} never won, so its strength has no lower bound and the ranking no scale"
    return f"the competitors fall into {parts} parts between which all wins go one way, or that never met"


def fit(wins: Floats, *, prior: float = 0.0, shrink: float = 0.0) -> Floats:
    """Strengths of greatest likelihood of many tables at once, by Newton's method.

    Args:
        wins: (tables, competitors, competitors).
        prior: wins that each is given over each other one, which keeps a table without a loss finite.
        shrink: precision of a normal prior with mean 0 on each strength, which does so too.

    Returns:
        (tables, competitors), each table's with mean 0.
    """
    wins = wins + prior * (1 - np.eye(wins.shape[1]))
    games = wins + wins.transpose(0, 2, 1)
    total = wins.sum(axis=2)
    theta = np.zeros(total.shape)
    # The likelihood does not change when all strengths move together; `ones` pins their mean.
    ones = np.ones((wins.shape[1],) * 2) / wins.shape[1] + shrink * np.eye(wins.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(theta[:, None, :] - theta[:, :, None]))
        slope = total - (games * p).sum(axis=2) - shrink * theta
        curve = games * p * (1 - p)
        hessian = np.eye(curve.shape[1]) * curve.sum(axis=2)[:, :, None] - curve + ones
        step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        theta = theta + step / np.maximum(1.0, largest)  # at most 1 at once: far steps overshoot
        if largest.max() < 1e-12:
            break
    return np.asarray(theta - theta.mean(axis=1, keepdims=True))
