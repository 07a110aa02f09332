"""Neutral numbers in place of missing scores, for trainers whose protocol has no "not scored".

Group-relative trainers (GRPO, Flow-GRPO, RLOO) learn from the distance of a reward to the mean of its
group. The mean of the scored images of the same prompt is therefore neutral: it moves the policy nowhere,
where a 0 would punish the generator for a failure of the judge. The adapters report the reason beside each
such number.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from statistics import fmean

from judge.reward.result import RewardResult

RECENT_SCORES = 1024
"""Scores remembered for prompts without any score."""


class NeutralScores:
    """Replaces missing scores by neutral numbers.

    The number is the mean score of the same prompt in the call. Without one, it is the mean of the latest
    scores. Before anything was scored, it is 0 for all images, which then is their mean.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_SCORES)

    def __call__(self, prompts: Sequence[str], results: Sequence[RewardResult]) -> list[float]:
        """Return one number for each result, in order.

        Args:
            prompts: one for each result.
            results: of one call of a reward.
        """
        scores_by_prompt = defaultdict[str, list[float]](list)
        for prompt, result in zip(prompts, results, strict=True):
            if result.score is not None:
                scores_by_prompt[prompt].append(result.score)
                self._recent.append(result.score)
        fallback = fmean(self._recent) if self._recent else 0.0
        means = {prompt: fmean(scores) for prompt, scores in scores_by_prompt.items()}
        return [
            means.get(prompt, fallback) if result.score is None else result.score
            for prompt, result in zip(prompts, results, strict=True)
        ]
