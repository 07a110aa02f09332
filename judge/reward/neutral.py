"""Neutral numbers in place of missing scores, for trainers whose protocol has no "not scored".

Group-relative trainers (GRPO, Flow-GRPO, RLOO) learn from the distance of a reward to the mean of its
group. The mean of the scored images of the same prompt is therefore neutral: it moves the policy nowhere,
where a 0 would punish the generator for a failure of the judge. The adapters report the reason beside each
such number. NaN is no way out: one NaN makes the gradient of the whole batch NaN (verl then skips the step).

If nothing in a call was scored, there is nothing to be neutral to. A number would be the same for all images,
and the training would go on without learning, so the call raises `UnscoredBatchError`. Only a call with a
single image, as verl makes them, gets the mean of the latest scores, `MAX_UNSCORED_RUN` times in a row at
most.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from statistics import fmean

from judge.errors import UnscoredBatchError
from judge.reward.result import RewardResult

log = logging.getLogger("judge.reward")

RECENT_SCORES = 1024
"""Scores remembered for prompts without any score."""
MAX_UNSCORED_RUN = 64
"""Images in a row that may be without a score before it is an error in any case."""


class NeutralScores:
    """Replaces missing scores by neutral numbers.

    The number is the mean score of the same prompt in the call. Without one, it is the mean of the latest
    scores.

    Args:
        fixed: number to use instead, chosen by the caller, for example 0 where most of what a young generator
            writes has no image. A call in which nothing was scored then gets it too, and is logged as an
            error.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self.fixed = fixed
        self._recent: deque[float] = deque(maxlen=RECENT_SCORES)
        self._unscored_run = 0
        """Images without a score since the last one with a score."""

    def __call__(self, prompts: Sequence[object], results: Sequence[RewardResult]) -> list[float]:
        """Return one number for each result, in order.

        Args:
            prompts: one for each result; equal ones form a group.
            results: of one call of a reward.

        Raises:
            UnscoredBatchError: nothing was scored, see the module.
        """
        scores_by_prompt = defaultdict[object, list[float]](list)
        for prompt, result in zip(prompts, results, strict=True):
            if result.score is not None:
                scores_by_prompt[prompt].append(result.score)
                self._recent.append(result.score)
        if scores_by_prompt:
            self._unscored_run = 0
        elif results:
            self._check_unscored(results)
        if self.fixed is not None:
            return [self.fixed if result.score is None else result.score for result in results]
        fallback = fmean(self._recent) if self._recent else 0.0
        means = {prompt: fmean(scores) for prompt, scores in scores_by_prompt.items()}
        return [
            means.get(prompt, fallback) if result.score is None else result.score
            for prompt, result in zip(prompts, results, strict=True)
        ]

    def _check_unscored(self, results: Sequence[RewardResult]) -> None:
        """Log that none of these results has a score, or raise `UnscoredBatchError` if no number stands."""
        self._unscored_run += len(results)
        reason, times = Counter(result.reason for result in results).most_common(1)[0]
        message = (
            f"reward: none of {len(results)} images could be scored ({self._unscored_run} in a row); "
            f"{times} times: {reason}"
        )
        if self.fixed is not None:
            log.error(message)
            return
        if len(results) > 1 or not self._recent or self._unscored_run > MAX_UNSCORED_RUN:
            raise UnscoredBatchError(
                f"{message}; the trainer takes no missing score: correct the cause, or choose a number"
                " (unscored=0.0) if this is what the generator deserves"
            )
        log.error(message)
