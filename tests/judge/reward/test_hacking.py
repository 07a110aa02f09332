"""The kit against reward hacking: disagreement costs, a judge that moves is noticed, and so is one that is
fooled."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from filler import Filler

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.reward import Canary, Ensemble, Reward, RewardResult
from judge.reward.hacking import Divergence
from judge.reward.neutral import Neutral

PROMPT = "a red circle"
IMAGES = [np.full((8, 8, 3), n, dtype=np.uint8) for n in range(4)]
ASKED = {"prompts": [PROMPT] * 4, "images": IMAGES}


def reward(seed: int) -> Reward:
    return Reward(Judge(backend=Filler(seed)))


class Fixed:
    """A reward that gives what it is told to."""

    def __init__(self, *scores: float | None) -> None:
        self.scores = list(scores)

    def __call__(self, *, prompts, images, metadata=None, fresh=False) -> list[RewardResult]:
        return [RewardResult(s, "" if s is not None else "broken", {}) for s in self.scores]


def test_judges_that_disagree_are_believed_less_than_judges_that_agree() -> None:
    joined = Ensemble({"a": Fixed(0.9, 0.6), "b": Fixed(0.3, 0.6)}, penalty=1)
    apart, agreed = joined(prompts=["x", "x"], images=[None, None])
    assert agreed.score == pytest.approx(0.6) and apart.score == pytest.approx(0.6 - 0.3)
    assert agreed.parts["agreement"] == 1 and apart.parts["agreement"] == pytest.approx(0.4)
    assert apart.parts["a"] == 0.9 and apart.parts["b"] == 0.3


def test_an_ensemble_of_real_rewards_logs_the_parts_of_each() -> None:
    found = Ensemble({"first": reward(1), "second": reward(2)})(**ASKED)
    assert all(0 <= result.score <= 1 for result in found)
    assert {"first.alignment", "second.structure", "agreement"} <= set(found[0].parts)


def test_what_one_member_cannot_score_is_none_with_its_name() -> None:
    (missing,) = Ensemble({"a": Fixed(0.5), "b": Fixed(None)})(prompts=["x"], images=[None])
    assert missing.score is None and missing.reason == "b: broken"


def test_one_judge_is_no_ensemble() -> None:
    with pytest.raises(InputError, match="two rewards or more"):
        Ensemble({"a": Fixed(1.0)})


def test_a_judge_that_stays_the_same_raises_no_alarm() -> None:
    canary = Canary(Fixed(0.5, 0.25), prompts=["x", "y"], images=[None, None], every=10)
    assert canary(0).alarm is False
    assert canary(5) is None, "it is not time yet"
    assert canary(10).largest == 0 and len(canary.history) == 2


def test_a_judge_that_moves_or_falls_silent_raises_one(caplog: pytest.LogCaptureFixture) -> None:
    watched = Fixed(0.5, 0.25)
    canary = Canary(watched, prompts=["x", "y"], images=[None, None], every=1, tolerance=0.01)
    canary(0)
    watched.scores = [0.5, 0.3]
    drift = canary(1)
    assert drift.alarm and drift.largest == pytest.approx(0.05)
    watched.scores = [0.5, None]
    assert canary(2).unscored == 1 and canary.history[-1].alarm
    assert caplog.text.count("the judge is not what it was") == 2


def test_the_canary_asks_the_model_and_not_the_cache() -> None:
    """A cache would tell that the judge is the same for ever."""
    watched = reward(1)
    watched(**ASKED)
    canary = Canary(watched, **ASKED, every=1)
    canary(0)
    assert len(watched.judge.backend.asks) == 8


def test_a_reward_that_rises_while_its_witness_falls_is_told(caplog: pytest.LogCaptureFixture) -> None:
    watch = Divergence(margin=0.05)
    with caplog.at_level(logging.ERROR, "judge.reward"):
        assert [watch(0, 0.5, 0.5), watch(1, 0.9, 0.6), watch(2, 0.9, 0.4)] == [False, False, True]
    assert watch.alarms == [2] and "witness fell" in caplog.text


def test_what_a_generator_had_gained_and_loses_again_is_told_unless_its_reward_falls_too() -> None:
    watch = Divergence(margin=0.05)
    watch(0, 0.3, 0.3)
    watch(1, 0.6, 0.6)
    assert not watch(2, 0.5, 0.45), "both fall: that is training, not hacking"
    assert watch(3, 0.62, 0.5), "still better than at first, and worse than it was"


def test_what_has_no_score_stands_at_its_prompts_mean() -> None:
    """A 0 would punish the generator for the judge's failure."""
    fill = Neutral()
    none = RewardResult(None, "broken")
    assert fill(["x"], [none]) == [0.0]
    scored = [RewardResult(0.2), RewardResult(0.6), none, none]
    assert fill(["x", "x", "x", "y"], scored) == pytest.approx([0.2, 0.6, 0.4, 0.4])


def test_the_percentile_is_that_of_the_verdict_and_none_without_a_calibration() -> None:
    (found,) = Reward(Judge(backend=Scripted(["no JSON"])))(prompts=[PROMPT], images=IMAGES[:1])
    assert found.percentile is None
