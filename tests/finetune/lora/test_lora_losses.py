"""The losses are lowest at the truth."""

from __future__ import annotations

import math

import pytest
import torch

from finetune.lora import losses


def test_opinion_distributions_keep_their_mean_and_widen_with_their_spread():
    for mean in (1.0, 1.2, 3.0, 4.97, 5.0):
        for spread in (None, 0.05, 0.6, 1.5):
            shares = losses.opinion_distribution(mean, spread)
            assert sum(shares) == pytest.approx(1)
            assert sum(n * s for n, s in enumerate(shares, 1)) == pytest.approx(mean, abs=1e-6)
    assert max(losses.opinion_distribution(3, 1.5)) < max(losses.opinion_distribution(3, 0.5))


def opinions(mean, spread=0.5, group=None):
    """Opinions about some rows, all of one group unless given."""
    count = len(mean)
    return {
        "mean": torch.tensor(mean), "spread": torch.full((count,), spread),
        "group": torch.zeros(count, dtype=torch.long) if group is None else torch.tensor(group),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["fidelity", "rank"])
def test_pairs_in_the_right_order_have_less_loss_and_rows_of_other_groups_none(name):
    def loss(score, targets):
        score = torch.tensor(score)
        if name == "rank":
            return float(losses.rank_loss(score, targets))
        return float(losses.fidelity_loss(score, torch.full_like(score, 0.25), targets))

    truth = opinions([1.5, 4.5])
    assert loss([1.5, 4.5], truth) < loss([3.0, 3.0], truth) < loss([4.5, 1.5], truth)
    assert loss([4.5, 1.5], opinions([1.5, 4.5], group=[0, 1])) == 0
    if name == "fidelity":
        assert loss([1.5, 4.5], truth) == pytest.approx(0, abs=2e-4)


def test_the_soft_label_loss_is_lowest_at_the_true_distribution():
    shares = torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1]])
    targets = {
        "at": torch.tensor([[0, 0]]), "ids": torch.arange(5)[None], "shares": shares,
        "weights": torch.tensor([2.0]),
    }  # fmt: skip
    best, weight = losses.soft_label_loss(shares.log()[None], targets)
    worse, _ = losses.soft_label_loss(torch.full((1, 1, 5), math.log(0.2)), targets)
    assert weight == 2 and best < worse
    assert best / weight == pytest.approx(float(-(shares * shares.log()).sum()), rel=1e-5)
