"""Tools against reward hacking: agreement of several judges, a fixed set of images, and a second measure.

A generator that is trained long enough finds what its judge gets wrong. There are three signs of it:

- Judges with other weights stop agreeing. `Ensemble` then lowers the score.
- The score rises while another measure of the same images falls. `Divergence` reports it.
- The judge itself changes, by new weights, another server or another precision. `Canary` reports it.

`RewardResult.parts` and `percentile` add to this: a score above all of the calibration set is more likely a
hole in the judge than a better image.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, Protocol

from judge.errors import InputError
from judge.media.tensors import split_batch
from judge.reward.core import BaseReward
from judge.reward.result import RewardResult
from judge.tables.cells import read_records

log = logging.getLogger("judge.reward")


class UncachedReward(Protocol):
    """A reward that can be told to ask its model again."""

    def __call__(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """Score images; see `judge.reward.core.Reward`."""
        ...


class Ensemble(BaseReward):
    """Several rewards as one: the mean of their scores minus a penalty for their disagreement.

    score = max(0, mean - penalty x standard deviation). An image that raises the score of only one judge
    therefore gains little or loses.

    Args:
        members: rewards by name, for example one `Reward` per adapter; two or more.
        penalty: weight of the standard deviation (of the population), 0 or more.

    Raises:
        InputError: there are fewer than two members, or the penalty is unusable.
    """

    def __init__(self, members: Mapping[str, UncachedReward], *, penalty: float = 1.0) -> None:
        if len(members) < 2:
            raise InputError("members", list(members), "two rewards or more", "use a single one directly")
        if not 0 <= penalty < float("inf"):
            raise InputError("penalty", penalty, "numbers from 0", "1 is the usual value")
        self.members, self.penalty = dict(members), penalty

    def __call__(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """Score images as `Reward` does.

        The parts are `NAME.PART` for each part of a member, `NAME` for its score, and `agreement` (1: all
        members gave the same score). An image that one member cannot score has no score.

        Args:
            prompts: as in `Reward`.
            images: as in `Reward`.
            metadata: as in `Reward`.
            fresh: ask the models even for images in the cache.

        Raises:
            InputError: prompts, images and metadata differ in number.
            BackendError: a model cannot be loaded.
        """
        prompt_list, image_list = list(prompts), list(split_batch(images))
        metadata_list = None if metadata is None else list(read_records(metadata))
        columns = [
            member(prompts=prompt_list, images=image_list, metadata=metadata_list, fresh=fresh)
            for member in self.members.values()
        ]
        return [self._combine(results) for results in zip(*columns, strict=True)]

    def _combine(self, results: Sequence[RewardResult]) -> RewardResult:
        """Combine the members' results on one image."""
        parts: dict[str, float] = {}
        for name, result in zip(self.members, results, strict=True):
            parts |= {f"{name}.{part}": value for part, value in result.parts.items()}
            parts |= {name: result.score} if result.score is not None else {}
        scores = [result.score for result in results if result.score is not None]
        if len(scores) < len(results):
            pairs = zip(self.members, results, strict=True)
            name, unscored = next((name, result) for name, result in pairs if result.score is None)
            return RewardResult(None, f"{name}: {unscored.reason}", parts)
        deviation = pstdev(scores)
        parts["agreement"] = 1 - 2 * deviation  # the deviation of numbers in 0..1 is 0.5 at most
        return RewardResult(max(0.0, fmean(scores) - self.penalty * deviation), "", parts)


@dataclass(frozen=True)
class ScoreDrift:
    """How far the scores of the canary set are from the first ones."""

    step: int
    """Training step of the check."""
    mean: float
    """Mean score now."""
    largest: float
    """Largest distance of an image's score from its first score, 0 to 1."""
    unscored: int
    """Number of images that had a score first and have none now."""
    alarm: bool
    """Whether a score has moved by more than the tolerance or is missing."""


class Canary:
    """A fixed set of images whose scores must not change.

    The images are scored at the first call, and again, without the cache, each time `every` more steps have
    passed. The same judge gives the same numbers. After an alarm, rewards from before and after must not be
    compared.

    Args:
        reward: the reward to check.
        prompts: one per image, at least one.
        images: the fixed set, as `Reward` takes it.
        metadata: a mapping or None per image, as `Reward` takes it.
        every: steps between two checks, 1 or more.
        tolerance: largest distance without an alarm, 0 or more. Numbers of one model on one machine differ
            by 1e-5.

    Raises:
        InputError: the set is empty, or `every` or `tolerance` is unusable.
    """

    def __init__(
        self,
        reward: UncachedReward,
        *,
        prompts: Sequence[str],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
        every: int = 50,
        tolerance: float = 0.01,
    ) -> None:
        prompt_list = list(prompts)
        if not prompt_list:
            raise InputError("prompts", prompt_list, "at least one", "give images that stay the same")
        if every < 1 or not tolerance >= 0:
            raise InputError("every", every, "1 or more, with a tolerance from 0", "50 and 0.01 are usual")
        self.reward, self.every, self.tolerance = reward, every, tolerance
        self._arguments = {"prompts": prompt_list, "images": list(split_batch(images))}
        self._arguments |= {} if metadata is None else {"metadata": list(read_records(metadata))}
        self._first_scores: list[float | None] = []
        self._next_step = 0
        self.history: list[ScoreDrift] = []
        """All checks so far."""

    def __call__(self, step: int) -> ScoreDrift | None:
        """Check the scores if a check is due. An alarm is logged as an error.

        Args:
            step: the training step.

        Returns:
            The drift; None if no check is due.
        """
        if self._first_scores and step < self._next_step:
            return None
        scores = [result.score for result in self.reward(**self._arguments, fresh=True)]
        self._first_scores, self._next_step = self._first_scores or scores, step + self.every
        pairs = list(zip(self._first_scores, scores, strict=True))
        largest = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)
        missing = sum(a is not None and b is None for a, b in pairs)
        present = [score for score in scores if score is not None]
        drift = ScoreDrift(
            step=step,
            mean=fmean(present) if present else 0.0,
            largest=largest,
            unscored=missing,
            alarm=largest > self.tolerance or missing > 0,
        )
        self.history.append(drift)
        if drift.alarm:
            log.error(
                "step %d: the judge has changed: scores of the canary set moved by up to %.3f, %d missing",
                step, largest, missing,
            )  # fmt: skip
        return drift


class Divergence:
    """Reports when a reward has risen and a witness, another measure of the same images, falls.

    This is the sign of a hacked judge.

    Args:
        margin: how far the reward must be above its first value, and the witness below its best value, at
            which the reward was not higher than now. Above 0, at most 1.

    Raises:
        InputError: the margin is not above 0.
    """

    def __init__(self, margin: float = 0.05) -> None:
        if not margin > 0:
            raise InputError("margin", margin, "numbers above 0", "0.05 is the usual value")
        self.margin = margin
        self.alarms: list[int] = []
        """Steps at which the two diverged."""
        self._first_reward: float | None = None
        self._best_witness = 0.0
        self._reward_at_best = 0.0

    def __call__(self, step: int, reward: float, witness: float) -> bool:
        """Return whether reward and witness have diverged. A divergence is logged as an error.

        Args:
            step: the training step.
            reward: mean of what is trained on.
            witness: mean of what is not trained on: another judge, another part, or the truth where it is
                known.
        """
        if self._first_reward is None or witness > self._best_witness:
            self._best_witness, self._reward_at_best = witness, reward
        self._first_reward = reward if self._first_reward is None else self._first_reward
        rise, fall = reward - self._first_reward, self._best_witness - witness
        has_diverged = rise > self.margin and fall > self.margin and reward >= self._reward_at_best
        if has_diverged:
            self.alarms.append(step)
            log.error(
                "step %d: the reward has risen by %.3f while the witness fell by %.3f from its best value",
                step, rise, fall,
            )  # fmt: skip
        return has_diverged
