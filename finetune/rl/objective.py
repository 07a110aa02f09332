"""The objective that the policy follows.

- The clipped surrogate of PPO (Schulman et al. 2017, arXiv 1707.06347). Its upper limit may be farther from 1
  than the lower one (clip-higher, DAPO, Yu et al. 2025, arXiv 2503.14476).
- Means over answers first (GRPO, arXiv 2402.03300), over all decisions (token-level loss of DAPO), or sums
  divided by a constant (Dr. GRPO, Liu et al. 2025, arXiv 2503.20783).
- For a blank that one decision decides, whose reward depends on it alone, the expectation of the reward over
  all labels instead of the sampled label: its gradient has no variance from sampling (mean actor-critic,
  Allen et al. 2017, arXiv 1709.00503; expected policy gradients, Ciosek and Whiteson 2018).
- The divergence from the reference by the estimator k3 = r - 1 - log r of Schulman 2020, with
  r = p_reference / p. It is never negative, and its expectation is the divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune.rl.config import PolicyConfig
from finetune.rl.policy import PolicyOutput
from finetune.rl.scoring import ScoredGroup

CONSTANT_LENGTH = 32
"""Decisions that the sum of an answer is divided by with `loss = "constant"`."""


@dataclass
class DecisionTensors:
    """The decisions of some groups, in the order of `PolicyOutput`. n is their number."""

    old: Tensor
    """(n,) log-probabilities when they were sampled."""
    advantages: Tensor
    """(n,)"""
    gains: Tensor
    """(n, widest) weighted reward of each choice; 0 elsewhere."""
    is_exact: Tensor
    """(n,) whether the expectation over choices is followed."""
    answer: Tensor
    """(n,) index of the answer."""

    @classmethod
    def from_groups(cls, groups: Sequence[ScoredGroup], width: int, device: torch.device) -> DecisionTensors:
        """Collect the decisions of some groups.

        Args:
            groups: the groups, with advantages.
            width: greatest number of choices.
            device: of the tensors.
        """
        old, advantages, answers, number = [], [], list[int](), 0
        flat = [gains for group in groups for own in group.gains for gains in own]
        gains = torch.zeros(len(flat), width)
        for n, own in enumerate(flat):
            gains[n, : len(own)] = torch.tensor(own)
        for group in groups:
            for rollout, values in zip(group.group.rollouts, group.advantages, strict=True):
                old += [decision.log for decision in rollout.decisions]
                advantages += values
                answers += [number] * len(values)
                number += 1
        return cls(
            torch.tensor(old, device=device),
            torch.tensor(advantages, device=device),
            gains.to(device),
            torch.tensor([bool(own) for own in flat], device=device),
            torch.tensor(answers, device=device),
        )


@dataclass
class Counts:
    """Numbers of a whole step that its loss is divided by, the same for all of its parts."""

    decisions: int
    answers: int


@dataclass
class LossParts:
    """The loss of some groups, and what is logged of it."""

    loss: Tensor
    kl: float
    """Sum of k3 over decisions."""
    clipped: int
    """Decisions whose ratio was clipped."""
    entropy: float
    """Sum over decisions."""
    gap: float
    """Largest distance of a log-probability from the one that was sampled by."""


def policy_loss(
    output: PolicyOutput,
    decisions: DecisionTensors,
    reference: Tensor | None,
    config: PolicyConfig,
    counts: Counts,
    *,
    is_first: bool,
) -> LossParts:
    """Compute the loss of some groups of a step. The losses of all groups of a step add up.

    Args:
        output: the policy now.
        decisions: what was sampled, with advantages.
        reference: (n,) log-probabilities of the reference; None without a divergence.
        config: how the policy follows its rewards.
        counts: of the whole step.
        is_first: the weights are those that sampled. The ratios are then 1, whatever the rounding.
    """
    old = output.logs.detach() if is_first else decisions.old
    ratio = (output.logs - old).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip_high)
    surrogate = torch.minimum(ratio * decisions.advantages, clipped * decisions.advantages)
    if decisions.is_exact.any():
        shares = output.choice_logs.exp()
        center = (shares.detach() * decisions.gains).sum(1, keepdim=True)
        expected = (shares * (decisions.gains - center)).sum(1)
        surrogate = torch.where(decisions.is_exact, expected, surrogate)
    value = -surrogate
    divergence = torch.zeros_like(value)
    if reference is not None:
        gap = reference - output.logs
        divergence = gap.exp() - 1 - gap
        value = value + config.kl * divergence
    return LossParts(
        (value * _weights(decisions, config, counts)).sum(),
        float(divergence.detach().sum()),
        int(((ratio.detach() != clipped.detach()) & ~decisions.is_exact).sum()),
        float(output.entropy.sum()),
        float((output.logs.detach() - decisions.old).abs().max()) if len(decisions.old) else 0.0,
    )


def _weights(decisions: DecisionTensors, config: PolicyConfig, counts: Counts) -> Tensor:
    """Return the weight (n,) of each decision in the loss."""
    ones = torch.ones_like(decisions.advantages)
    match config.loss:
        case "token":
            return ones / max(1, counts.decisions)
        case "constant":
            return ones / (CONSTANT_LENGTH * max(1, counts.answers))
        case "answer":
            length = torch.bincount(decisions.answer, minlength=1)[decisions.answer]
            return ones / (length * max(1, counts.answers))
