"""`eval.metrics.pairwise.ranking`: Bradley-Terry strengths with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from metric_values import defined

from eval.metrics.pairwise.ranking import bradley_terry
from judge.errors import InputError


def test_strengths_maximise_the_likelihood() -> None:
    from scipy.optimize import minimize

    random = np.random.default_rng(3)
    a = random.integers(0, 5, 400)
    b = (a + random.integers(1, 5, 400)) % 5
    won = (random.random(400) < 1 / (1 + np.exp(0.5 * (b - a)))).astype(float)

    def loss(theta):
        p = 1 / (1 + np.exp(theta[b] - theta[a]))
        return -(won * np.log(p) + (1 - won) * np.log(1 - p)).sum()

    best = minimize(loss, np.zeros(5), method="BFGS").x
    ranking = bradley_terry([f"m{i}" for i in a], [f"m{i}" for i in b], won, interval=True)
    assert [s.name for s in ranking] == [f"m{i}" for i in np.argsort(-best)]
    for competitor in ranking:
        expected = (best - best.mean())[int(competitor.name[1:])]
        assert defined(competitor.strength) == pytest.approx(expected, abs=1e-3)
        assert competitor.strength.interval.low < expected < competitor.strength.interval.high


def test_a_ranking_that_the_pairs_leave_open_has_a_note() -> None:
    for pairs, note in (
        ([("a", "b", 1)], "a never lost"),
        ([("a", "b", 1), ("b", "a", 1), ("c", "d", 1), ("d", "c", 1)], "2 groups"),
    ):
        ranking = bradley_terry(*zip(*pairs, strict=True))
        assert all(c.strength.value is None and note in c.strength.note for c in ranking)
    even = bradley_terry(["a", "b"], ["b", "a"], [0.5, 0.5])
    assert [defined(competitor.strength) for competitor in even] == [0.0, 0.0]
    with pytest.raises(InputError, match="another than the first"):
        bradley_terry(["a"], ["a"], [1])
