"""The tools against reward hacking: disagreement lowers the score, and changes of the judge are reported."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from rewards import make_reward

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.errors import UnscoredBatchError
from judge.reward import Canary, Ensemble, Reward, RewardResult
from judge.reward.hacking import Divergence
from judge.reward.neutral import NeutralScores

PROMPT = "a red circle"
IMAGES = [np.full((8, 8, 3), n, dtype=np.uint8) for n in range(4)]
ARGUMENTS = {"prompts": [PROMPT] * 4, "images": IMAGES}


class FixedReward:
    """A reward that returns given scores."""

    def __init__(self, *scores: float | None) -> None:
        self.scores = list(scores)

    def __call__(self, *, prompts, images, metadata=None, fresh=False) -> list[RewardResult]:
        return [RewardResult(s, "" if s is not None else "broken", {}) for s in self.scores]


def test_disagreement_lowers_the_score_of_an_ensemble() -> None:
    ensemble = Ensemble({"a": FixedReward(0.9, 0.6), "b": FixedReward(0.3, 0.6)}, penalty=1)
    disagreed, agreed = ensemble(prompts=["x", "x"], images=[None, None])
    assert agreed.score == pytest.approx(0.6) and disagreed.score == pytest.approx(0.6 - 0.3)
    assert agreed.parts["agreement"] == 1 and disagreed.parts["agreement"] == pytest.approx(0.4)
    assert disagreed.parts["a"] == 0.9 and disagreed.parts["b"] == 0.3


def test_an_ensemble_of_real_rewards_reports_the_parts_of_each() -> None:
    results = Ensemble({"first": make_reward(1), "second": make_reward(2)})(**ARGUMENTS)
    assert all(0 <= result.score <= 1 for result in results)
    assert {"first.alignment", "second.structure", "agreement"} <= set(results[0].parts)


def test_an_image_that_one_member_cannot_score_has_no_score() -> None:
    (result,) = Ensemble({"a": FixedReward(0.5), "b": FixedReward(None)})(prompts=["x"], images=[None])
    assert result.score is None and result.reason == "b: broken"


def test_an_ensemble_needs_two_members() -> None:
    with pytest.raises(InputError, match="two rewards or more"):
        Ensemble({"a": FixedReward(1.0)})


def test_a_judge_that_stays_the_same_raises_no_alarm() -> None:
    canary = Canary(FixedReward(0.5, 0.25), prompts=["x", "y"], images=[None, None], every=10)
    assert canary(0).alarm is False
    assert canary(5) is None, "no check is due"
    assert canary(10).largest == 0 and len(canary.history) == 2


def test_changed_or_missing_scores_raise_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    reward = FixedReward(0.5, 0.25)
    canary = Canary(reward, prompts=["x", "y"], images=[None, None], every=1, tolerance=0.01)
    canary(0)
    reward.scores = [0.5, 0.3]
    drift = canary(1)
    assert drift.alarm and drift.largest == pytest.approx(0.05)
    reward.scores = [0.5, None]
    assert canary(2).unscored == 1 and canary.history[-1].alarm
    assert caplog.text.count("the judge has changed") == 2


def test_the_canary_asks_the_model_and_not_the_cache() -> None:
    """From the cache, the judge would always look the same."""
    reward = make_reward(1)
    reward(**ARGUMENTS)
    canary = Canary(reward, **ARGUMENTS, every=1)
    canary(0)
    assert len(reward.judge.backend.requests) == 8


def test_a_reward_that_rises_while_its_witness_falls_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    divergence = Divergence(margin=0.05)
    with caplog.at_level(logging.ERROR, "judge.reward"):
        reports = [divergence(0, 0.5, 0.5), divergence(1, 0.9, 0.6), divergence(2, 0.9, 0.4)]
    assert reports == [False, False, True]
    assert divergence.alarms == [2] and "witness fell" in caplog.text


def test_a_lost_gain_is_reported_unless_the_reward_falls_too() -> None:
    divergence = Divergence(margin=0.05)
    divergence(0, 0.3, 0.3)
    divergence(1, 0.6, 0.6)
    assert not divergence(2, 0.5, 0.45), "both fall: that is training, not hacking"
    assert divergence(3, 0.62, 0.5), "the witness is above its first value but below its best"


def test_a_missing_score_is_replaced_by_the_mean_of_its_prompt() -> None:
    """A 0 would punish the generator for a failure of the judge."""
    neutral = NeutralScores()
    unscored = RewardResult(None, "broken")
    with pytest.raises(UnscoredBatchError, match="broken"):
        neutral(["x"], [unscored])
    results = [RewardResult(0.2), RewardResult(0.6), unscored, unscored]
    assert neutral(["x", "x", "x", "y"], results) == pytest.approx([0.2, 0.6, 0.4, 0.4])


def test_without_a_calibration_there_is_no_percentile() -> None:
    (result,) = Reward(Judge(backend=Scripted(["no JSON"])))(prompts=[PROMPT], images=IMAGES[:1])
    assert result.percentile is None
