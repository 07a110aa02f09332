"""The tournament finds the order with few matches and says when it is settled."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from judge.compare.tournament import Tournament


def play(strengths: list[float], keys: list[str], seed: int, limit: int) -> Tournament:
    """Play random matches between competitors of known strengths until settled, or up to a limit."""
    random, tournament = Random(seed), Tournament([keys] * len(strengths), seed=seed)
    while tournament.played < limit and not tournament.settled:
        for match in tournament.next_matches(4):
            log_odds = strengths[match.a] - strengths[match.b]
            tournament.record(match, float(random.random() < 1 / (1 + np.exp(-log_odds))))
    return tournament


def numbered_keys(count: int) -> list[str]:
    return [str(n) for n in range(count)]


def test_a_noisy_order_is_found_with_a_fifth_of_all_matches() -> None:
    strengths = [0.0, 4.0, 1.0, 5.0, 3.0, 2.0]
    for seed in range(5):
        tournament = play(strengths, numbered_keys(40), seed, 120)
        assert [standing.number for standing in tournament.standings()] == [3, 1, 4, 5, 2, 0]
        assert tournament.played <= tournament.pairs / 5 == 120


def test_clear_neighbours_are_settled_and_equal_ones_stay_open() -> None:
    clear = play([0.0, 3.0], numbered_keys(40), 0, 40)
    assert clear.settled and clear.played < 40
    assert (clear.standings()[0].ahead or 0) >= 0.95
    assert clear.standings()[0].low > clear.standings()[1].high - 2
    equal = Tournament([numbered_keys(40)] * 2)
    for number, match in enumerate(equal.next_matches(20)):
        equal.record(match, float(number % 2))
    assert not equal.settled and equal.standings()[0].ahead == pytest.approx(0.5, abs=0.01)


def test_no_pair_meets_twice_over_the_same_key() -> None:
    tournament = Tournament([["x", "y"], ["y", "z"], ["x", "y", "z"]])
    matches = tournament.next_matches(99)
    assert len(matches) == len(set(matches)) == tournament.pairs == 5
    assert tournament.next_matches() == [] and tournament.settled
