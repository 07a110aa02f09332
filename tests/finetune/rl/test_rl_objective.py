"""The objective by hand-worked values, and on bandits, where it must raise the reward."""

from __future__ import annotations

import math

import pytest
import torch

from finetune.rl.config import PolicyConfig
from finetune.rl.objective import CONSTANT_LENGTH, Counts, DecisionTensors, policy_loss
from finetune.rl.policy import PolicyOutput

ARMS = torch.tensor([0.1, 0.5, 0.9])
"""Reward of each arm of the bandit."""


def output_of(logs: list[float]) -> PolicyOutput:
    """Decisions with these log-probabilities."""
    values = torch.tensor(logs, requires_grad=True)
    return PolicyOutput(values, torch.full((len(logs), 1), -math.inf), torch.zeros(len(logs)))


def decisions_of(old: list[float], advantages: list[float], answers: list[int]) -> DecisionTensors:
    """Sampled decisions."""
    count = len(old)
    gains, is_exact = torch.zeros(count, 1), torch.zeros(count, dtype=torch.bool)
    return DecisionTensors(
        torch.tensor(old), torch.tensor(advantages), gains, is_exact, torch.tensor(answers)
    )


def test_the_ratio_is_clipped_as_in_ppo_with_a_higher_upper_limit() -> None:
    """Ratios 2, 1.25, 0.5 and 0.5 with limits 0.8 and 1.28."""
    output = output_of([math.log(2), math.log(1.25), math.log(0.5), math.log(0.5)])
    decisions = decisions_of([0.0] * 4, [1.0, 1.0, 1.0, -1.0], [0, 0, 1, 1])
    parts = policy_loss(output, decisions, None, PolicyConfig(), Counts(4, 2), is_first=False)
    assert parts.loss.item() == pytest.approx(-(1.28 + 1.25 + 0.5 - 0.8) / 4)
    assert parts.clipped == 3
    parts.loss.backward()  # type: ignore[no-untyped-call]
    gradient = output.logs.grad
    assert gradient is not None
    # No gradient where the clipped ratio counts: above 1.28 with a gain, and below 0.8 with a loss.
    assert [round(float(g), 4) for g in gradient] == [0.0, -0.3125, -0.125, 0.0]


def test_the_divergence_is_k3() -> None:
    output, decisions = output_of([math.log(0.5)]), decisions_of([math.log(0.5)], [0.0], [0])
    reference = torch.tensor([math.log(0.25)])
    parts = policy_loss(output, decisions, reference, PolicyConfig(kl=2.0), Counts(1, 1), is_first=True)
    assert parts.loss.item() == pytest.approx(2 * (0.5 - 1 - math.log(0.5)))
    assert parts.kl == pytest.approx(0.5 - 1 + math.log(2))


@pytest.mark.parametrize(
    ("loss", "value"),
    [("token", -(1 + 1 + 1 + 2) / 4), ("answer", -(1 + 2) / 2), ("constant", -5 / (2 * CONSTANT_LENGTH))],
)
def test_decisions_are_averaged_over_answers_tokens_or_a_constant(loss: str, value: float) -> None:
    """An answer of three decisions with advantage 1, and one of a single decision with advantage 2."""
    decisions = decisions_of([0.0] * 4, [1.0, 1.0, 1.0, 2.0], [0, 0, 0, 1])
    parts = policy_loss(
        output_of([0.0] * 4), decisions, None, PolicyConfig(loss=loss), Counts(4, 2), is_first=True
    )
    assert parts.loss.item() == pytest.approx(value)


def test_the_expectation_over_labels_has_the_exact_gradient() -> None:
    """d/dlogits of sum p r is p (r - mean r)."""
    logits = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
    logs = logits.log_softmax(1)
    output = PolicyOutput(logs[:, 0], logs, torch.zeros(1))
    decisions = decisions_of([0.0], [5.0], [0])
    decisions.gains, decisions.is_exact = ARMS[None], torch.tensor([True])
    parts = policy_loss(output, decisions, None, PolicyConfig(), Counts(1, 1), is_first=True)
    parts.loss.backward()  # type: ignore[no-untyped-call]
    shares = logits.detach().softmax(1)[0]
    assert logits.grad is not None
    assert torch.allclose(-logits.grad[0], shares * (ARMS - (shares * ARMS).sum()), atol=1e-6)


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("loss", ["answer", "token", "constant"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_bandit_learns_its_best_arm(exact: bool, loss: str, updates: int) -> None:
    config = PolicyConfig(loss=loss, exact=exact, updates=updates)
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)
    expected = []
    for _ in range(60):
        expected.append(float((logits.detach().softmax(0) * ARMS).sum()))
        old = logits.detach().log_softmax(0)
        drawn = torch.multinomial(old.exp(), 8, replacement=True, generator=generator)
        rewards = ARMS[drawn]
        decisions = DecisionTensors(
            old[drawn], rewards - rewards.mean(), ARMS.repeat(8, 1), torch.full((8,), exact), torch.arange(8)
        )
        for update in range(updates):
            logs = logits.log_softmax(0)
            output = PolicyOutput(logs[drawn], logs.repeat(8, 1), torch.zeros(8))
            parts = policy_loss(output, decisions, None, config, Counts(8, 8), is_first=update == 0)
            parts.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    assert expected[0] == pytest.approx(0.5) and expected[-1] > 0.85
