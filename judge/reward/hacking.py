"""Against reward hacking: several judges that must agree, pictures whose score must not move, and a witness
that must rise along.

A generator that is trained long enough finds what its judge gets wrong. Three things tell it: judges of other
weights stop agreeing (`Ensemble` then lowers the score), the score rises while another measure of the same
pictures falls (`Divergence`), and the judge itself moves, by new weights, another server or another precision
(`Canary`). `RewardResult.parts` and `percentile` tell the rest: a score beyond all of the calibration set's
is more likely a hole in the judge than a better picture.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, Protocol

from judge.errors import InputError
from judge.reward.core import Awaited
from judge.reward.result import RewardResult

log = logging.getLogger("judge.reward")


class Fresh(Protocol):
    """A reward that can be told to ask its model again."""

    def __call__(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]: ...


class Ensemble(Awaited):
    """Several rewards as one: the mean of their scores, less a penalty where they disagree.

    score = max(0, mean - penalty x standard deviation). What raises one judge's score and not the others'
    thus earns little, or less than nothing.

    Args:
        members: by name, for example one `Reward` for each adapter.
        penalty: standard deviations (of the population) taken off.

    Raises:
        InputError: fewer than two members, or a negative penalty.
    """

    def __init__(self, members: Mapping[str, Fresh], *, penalty: float = 1.0) -> None:
        if len(members) < 2:
            raise InputError("members", list(members), "two rewards or more", "one alone needs no ensemble")
        if not 0 <= penalty < float("inf"):
            raise InputError("penalty", penalty, "numbers from 0", "1 is the usual one")
        self.members, self.penalty = dict(members), penalty

    def __call__(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """As `Reward`. Parts are `NAME.PART` of each member, `NAME` its score, and `agreement` (1: all gave
        the same). A picture that one member cannot score has no score."""
        told, shown = list(prompts), list(images)
        about = None if metadata is None else list(metadata)
        columns = [
            member(prompts=told, images=shown, metadata=about, fresh=fresh)
            for member in self.members.values()
        ]
        return [self._joined(row) for row in zip(*columns, strict=True)]

    def _joined(self, row: Sequence[RewardResult]) -> RewardResult:
        parts: dict[str, float] = {}
        for name, result in zip(self.members, row, strict=True):
            parts |= {f"{name}.{part}": value for part, value in result.parts.items()}
            parts |= {name: result.score} if result.score is not None else {}
        scores = [result.score for result in row if result.score is not None]
        if len(scores) < len(row):
            name, missing = next(
                (name, one) for name, one in zip(self.members, row, strict=True) if one.score is None
            )
            return RewardResult(None, f"{name}: {missing.reason}", parts)
        spread = pstdev(scores)
        parts["agreement"] = 1 - 2 * spread  # the spread of numbers in 0..1 is 0.5 at most
        return RewardResult(max(0.0, fmean(scores) - self.penalty * spread), "", parts)


@dataclass(frozen=True)
class Drift:
    """How far the judge's scores of the canary set lie from the first ones."""

    step: int
    mean: float
    """Of the scores now."""
    largest: float
    """Greatest distance of one picture's score from its first, 0 to 1."""
    unscored: int
    """Pictures that had a score first and have none now."""
    alarm: bool


class Canary:
    """Pictures whose score must stay what it is.

    They are scored at the first step that comes, and again, past the cache, once `every` further steps have
    gone by. A judge that is the same gives the same numbers; an alarm means that rewards of before and after
    must not be compared.

    Args:
        reward: what is watched.
        prompts, images, metadata: the frozen set, as `Reward` takes it.
        every: steps between two checks.
        tolerance: greatest distance that is still no alarm. Numbers of one model on one machine differ by
            1e-5.

    Raises:
        InputError: the set is empty, or `every` or `tolerance` is unusable.
    """

    def __init__(
        self,
        reward: Fresh,
        *,
        prompts: Sequence[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        every: int = 50,
        tolerance: float = 0.01,
    ) -> None:
        if not prompts:
            raise InputError("prompts", prompts, "at least one", "give pictures that stay the same")
        if every < 1 or not tolerance >= 0:
            raise InputError("every", every, "1 or more, with a tolerance from 0", "50 and 0.01 are usual")
        self.reward, self.every, self.tolerance = reward, every, tolerance
        self._asked = {"prompts": list(prompts), "images": list(images)}
        self._asked |= {} if metadata is None else {"metadata": list(metadata)}
        self._first: list[float | None] = []
        self._due = 0
        self.history: list[Drift] = []

    def __call__(self, step: int) -> Drift | None:
        """Check if it is time; None if it is not. An alarm is logged as an error."""
        if self._first and step < self._due:
            return None
        now = [result.score for result in self.reward(**self._asked, fresh=True)]
        self._first, self._due = self._first or now, step + self.every
        pairs = list(zip(self._first, now, strict=True))
        largest = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)
        lost = sum(a is not None and b is None for a, b in pairs)
        scored = [score for score in now if score is not None]
        drift = Drift(
            step=step,
            mean=fmean(scored) if scored else 0.0,
            largest=largest,
            unscored=lost,
            alarm=largest > self.tolerance or lost > 0,
        )
        self.history.append(drift)
        if drift.alarm:
            log.error(
                "step %d: the judge is not what it was: its scores of the canary set moved by up to %.3f, "
                "%d of them are gone", step, largest, lost,
            )  # fmt: skip
        return drift


class Divergence:
    """Says when a reward has risen and a witness of the same pictures falls: the mark of a hacked judge.

    Args:
        margin: how far the reward must be above its first value, and the witness below its best one, since
            which the reward has not fallen. 0 to 1.

    Raises:
        InputError: the margin is not above 0.
    """

    def __init__(self, margin: float = 0.05) -> None:
        if not margin > 0:
            raise InputError("margin", margin, "numbers above 0", "0.05 is the usual one")
        self.margin = margin
        self.alarms: list[int] = []
        self._first: float | None = None
        self._best = (0.0, 0.0)
        """The witness at its best, and the reward then."""

    def __call__(self, step: int, reward: float, witness: float) -> bool:
        """True, and an error in the log, if they have parted.

        Args:
            step: the trainer's.
            reward: mean of what is trained on.
            witness: mean of what is not: another judge, another part, or the truth where it is known.
        """
        if self._first is None or witness > self._best[0]:
            self._best = witness, reward
        self._first = reward if self._first is None else self._first
        rose, fell = reward - self._first, self._best[0] - witness
        parted = rose > self.margin and fell > self.margin and reward >= self._best[1]
        if parted:
            self.alarms.append(step)
            told = "step %d: the reward has risen by %.3f while its witness fell by %.3f from its best"
            log.error(told, step, rose, fell)
        return parted
