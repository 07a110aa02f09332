"""Scores the sampled answers of a step, and turns rewards into advantages of single decisions.

A decision is credited by the rewards that are about its blank, each compared with its own channel: the
advantage is the value minus the mean of the channel in the group, as in GRPO (Shao et al. 2024, arXiv
2402.03300), which takes one sum of rewards for the whole answer (`credit = "whole"`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from statistics import fmean, pstdev

from finetune.rl.config import PolicyConfig, RewardConfig
from finetune.rl.rewards import (
    Credit,
    Value,
    consistency,
    defect_credits,
    label_values,
    rank_value,
    rubric_kinds,
    score_moments,
)
from finetune.rl.rollouts import Group
from finetune.rl.sampling import THOUGHT, Decision

MIN_SPREAD = 1e-4
"""Added to what advantages are divided by."""


@dataclass
class ScoredGroup:
    """A group with the rewards of its answers."""

    group: Group
    credits: list[list[Credit]]
    """Credits of each answer."""
    values: dict[str, list[tuple[str, Value]]]
    """Blank -> rewards that depend on its label alone."""
    advantages: list[list[float]] = field(default_factory=list)
    """Advantage of each decision of each answer; see `set_advantages`."""
    gains: list[list[tuple[float, ...]]] = field(default_factory=list)
    """For each decision that is trained by its expectation, the weighted reward of each choice; or ()."""

    @property
    def has_signal(self) -> bool:
        """Whether some decision would be pushed anywhere. Other groups are left out, as DAPO does."""
        exact = any(len(set(gains)) > 1 for own in self.gains for gains in own)
        return exact or any(value for own in self.advantages for value in own)

    def totals(self, weights: dict[str, float]) -> list[float]:
        """Return the weighted sum of rewards of each answer, each reward as the mean of its credits."""
        return [sum(weights[name] * value for name, value in _by_reward(own).items()) for own in self.credits]

    def success(self, weights: dict[str, float]) -> float:
        """Return the mean of the totals as a share of what could be earned here, 0 to 1."""
        names = {credit.reward for own in self.credits for credit in own}
        ceiling = sum(weights[name] for name in names)
        return fmean(self.totals(weights)) / ceiling if ceiling else 0.0


def _by_reward(earned: Sequence[Credit]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for credit in earned:
        if credit.channel != "box":  # its value is a difference, and is part of `boxes`
            found.setdefault(credit.reward, []).append(credit.value)
    return {name: fmean(values) for name, values in found.items()}


def score_groups(groups: Sequence[Group], rewards: RewardConfig, policy: PolicyConfig) -> list[ScoredGroup]:
    """Compute all rewards that are switched on.

    Args:
        groups: all groups of a step. Images are ranked among each other.
        rewards: weights.
        policy: how rewards credit decisions.
    """
    weights, scored = rewards.weights, []
    moments = [score_moments(group) for group in groups] if weights["ranks"] else []
    for number, group in enumerate(groups):
        target = group.example.target
        values: dict[str, list[tuple[str, Value]]] = {}
        for name, blank, value in label_values(group, rewards.agreement):
            if weights[name]:
                values.setdefault(blank, []).append((name, value))
        if moments and (rank := rank_value(groups, moments, number)) is not None:
            values.setdefault(target.score_blank, []).append(("ranks", rank))
        own = []
        for answer in group.answers:
            labels = _labels(answer, group)
            earned = [
                Credit(name, f"{name} {blank}", (blank,), value(labels[blank]))
                for blank, parts in values.items()
                for name, value in parts
            ]
            earned += defect_credits(answer, target, each=policy.credit == "each")
            if weights["consistency"]:
                said = consistency(answer, rubric_kinds(group.example.rubric))
                if said is not None:
                    earned.append(Credit("consistency", "consistency", ("explanation",), said))
            own.append([credit for credit in earned if weights[credit.reward]])
        scored.append(ScoredGroup(group, own, values))
    return scored


def _labels(answer: dict[str, object], group: Group) -> dict[str, str]:
    """Return the label of each blank that `label_values` may name."""
    target, found = group.example.target, dict[str, str]()
    elements = answer.get("elements", {})
    assert isinstance(elements, dict)
    for index, name in enumerate(target.elements):
        if name in elements:
            found[f"elements.{index}"] = "true" if elements[name] else "false"
    found |= {f"attributes.{q.name}": str(answer[q.name]) for q in group.example.rubric.attributes}
    found |= {blank: str(answer[blank.removeprefix("dimensions.")]) for blank in target.opinions}
    return found


def set_advantages(scored: Sequence[ScoredGroup], rewards: RewardConfig, policy: PolicyConfig) -> None:
    """Compute the advantage of every decision of a step.

    With `scale = "group"` an advantage is divided by the spread of its channel in the group (GRPO); with
    `"batch"` by that of the reward over the step; with `"none"` by nothing, because easy and hard images
    else weigh too much (Dr. GRPO, Liu et al. 2025, arXiv 2503.20783).

    Args:
        scored: all groups of the step.
        rewards: weights.
        policy: how rewards credit decisions.
    """
    weights = rewards.weights
    spreads = _step_spreads(scored) if policy.scale == "batch" else {}
    for one in scored:
        centers, scales = _channel_statistics(one, policy.scale, spreads)
        is_exact = policy.exact and policy.credit != "whole"
        one.advantages, one.gains = [], []
        for rollout, earned in zip(one.group.rollouts, one.credits, strict=True):
            parts = [
                (credit, weights[credit.reward] * (credit.value - centers[credit.channel]))
                for credit in earned
            ]
            shares = [(credit, value / scales[credit.channel]) for credit, value in parts]
            gains = [_gains(decision, one, weights) if is_exact else () for decision in rollout.decisions]
            one.gains.append(gains)
            one.advantages.append([
                sum(value for credit, value in shares if _is_credited(credit, decision, policy))
                for decision in rollout.decisions
            ])  # fmt: skip


def _is_credited(credit: Credit, decision: Decision, policy: PolicyConfig) -> bool:
    if policy.credit == "whole" or decision.blank == THOUGHT:
        return True
    return covers(credit.blanks, decision.blank)


@lru_cache(maxsize=65536)
def covers(patterns: tuple[str, ...], blank: str) -> bool:
    """Return whether a blank matches one of some patterns."""
    return any(fnmatchcase(blank, pattern) for pattern in patterns)


def _gains(decision: Decision, scored: ScoredGroup, weights: dict[str, float]) -> tuple[float, ...]:
    """Return the weighted reward of each choice, if it depends on this decision alone."""
    parts = scored.values.get(decision.blank)
    if not parts or not decision.labels:
        return ()
    return tuple(sum(weights[name] * value(label) for name, value in parts) for label in decision.labels)


def _channel_statistics(
    scored: ScoredGroup, scale: str, spreads: dict[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mean of each channel of a group, and what its deviations are divided by."""
    values: dict[str, list[float]] = {}
    names: dict[str, str] = {}
    for credit in (credit for own in scored.credits for credit in own):
        values.setdefault(credit.channel, []).append(credit.value)
        names[credit.channel] = credit.reward
    centers = {channel: fmean(own) for channel, own in values.items()}
    if scale == "group":
        return centers, {channel: pstdev(own) + MIN_SPREAD for channel, own in values.items()}
    return centers, {channel: spreads.get(name, 1.0) for channel, name in names.items()}


def _step_spreads(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Return the spread of each reward around the means of its channels."""
    deviations: dict[str, list[float]] = {}
    for one in scored:
        centers, _ = _channel_statistics(one, "none", {})
        for credit in (credit for own in one.credits for credit in own):
            deviations.setdefault(credit.reward, []).append(credit.value - centers[credit.channel])
    return {name: (fmean(d * d for d in own)) ** 0.5 + MIN_SPREAD for name, own in deviations.items()}


def reward_means(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Return the mean of each reward over all answers that earned or missed it."""
    found: dict[str, list[float]] = {}
    for own in (own for one in scored for own in one.credits):
        for name, value in _by_reward(own).items():
            found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in sorted(found.items())}
