"""A number for trainers whose protocol has none for "not scored".

Group-relative trainers (GRPO, Flow-GRPO, RLOO) learn from a reward's distance to its group's mean. The mean
of what was scored of the same prompt therefore stands for "not scored": it moves the policy nowhere, where a
0 would punish the generator for the judge's failure. Every such number is told beside it by its reason.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from statistics import fmean

from judge.reward.result import RewardResult

RECENT = 1024
"""Scores remembered."""


class Neutral:
    """Fills in what was not scored.

    First choice is the mean of the same prompt in the call; then that of the latest scores; before anything
    was ever scored, 0 for all alike, which is their mean.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)

    def __call__(self, prompts: Sequence[str], results: Sequence[RewardResult]) -> list[float]:
        """One number for each result, in order."""
        scored = defaultdict[str, list[float]](list)
        for prompt, result in zip(prompts, results, strict=True):
            if result.score is not None:
                scored[prompt].append(result.score)
                self._recent.append(result.score)
        usual = fmean(self._recent) if self._recent else 0.0
        means = {prompt: fmean(scores) for prompt, scores in scored.items()}
        return [
            means.get(prompt, usual) if result.score is None else result.score
            for prompt, result in zip(prompts, results, strict=True)
        ]
