"""Rewards against values worked by hand, and the advantages that they become."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eval.suites.shared.samples import SuiteSample
from finetune.lora.targets import Opinion, Target
from finetune.rl.config import PolicyConfig, RewardConfig
from finetune.rl.drift import measure_drift
from finetune.rl.rewards import (
    ScoreMoments,
    box_quality,
    consistency,
    defect_credits,
    label_values,
    rank_value,
    score_moments,
    soft_box_f1,
)
from finetune.rl.rollouts import Example, Group
from finetune.rl.sampling import Decision, Rollout
from finetune.rl.scoring import covers, score_groups, set_advantages
from judge.rubrics.rubric import Rubric

DEFECT = {"kind": "cut", "box": [0, 0, 500, 500], "severity": "moderate", "explanation": ""}


def make_target(**changes: Any) -> Target:
    """A truth with two elements, one defect and a score of 3.5."""
    fields: dict[str, Any] = {
        "sample": SuiteSample(id="a"),
        "elements": ("cat", "dog"),
        "values": {"elements": {"cat": True, "dog": False}, "degradation": "blur", "severity": "slight",
                   "defects": [DEFECT], "alignment": 3, "structure": 3, "score": 3, "explanation": ""},
        "unlabelled": frozenset({"alignment", "structure"}),
        "opinions": {"score": Opinion(3.5)},
        "agreement": {"elements.0": 1.0, "elements.1": 0.4},
        "group": "",
        "score_blank": "score",
        "boxes": ((0.0, 0.0, 500.0, 500.0),),
    }  # fmt: skip
    return Target(**fields | changes)


def make_group(answers: list[dict[str, Any]], target: Target, decisions: list[Decision]) -> Group:
    """A group whose answers all have the same decisions."""
    example = Example("a", target, Rubric.load("default"))
    rollouts = [Rollout([], list(decisions), str(n)) for n in range(len(answers))]
    return Group(example, SimpleNamespace(), rollouts, answers)  # type: ignore[arg-type]


def make_answer(**changes: Any) -> dict[str, Any]:
    """The right answer about `make_target`, with changes."""
    return {**make_target().values, **changes}


def defect(*box: int, kind: str = "cut", severity: str = "moderate") -> dict[str, Any]:
    """A defect of an answer."""
    return {"kind": kind, "box": list(box), "severity": severity, "explanation": ""}


@pytest.mark.parametrize(("iou", "value"), [(0.0, 0.0), (0.4, 0.4), (0.5, 0.75), (0.8, 0.9), (1.0, 1.0)])
def test_a_box_is_worth_its_iou_and_a_step_more_from_one_half(iou: float, value: float) -> None:
    assert box_quality(iou) == pytest.approx(value)


@pytest.mark.parametrize(
    ("boxes", "truth", "value"),
    [
        ([], [], 1.0),
        ([(0, 0, 10, 10)], [], 0.0),
        ([], [(0, 0, 10, 10)], 0.0),
        ([(0, 0, 10, 10)], [(0, 0, 10, 10)], 1.0),
        ([(0, 0, 10, 10), (50, 50, 60, 60)], [(0, 0, 10, 10)], 2 / 3),
        ([(0, 0, 10, 4)], [(0, 0, 10, 10)], 0.4),
        ([(0, 0, 10, 8)], [(0, 0, 10, 10), (50, 50, 60, 60)], 2 * 0.9 / 3),
        ([(0, 0, 10, 10), (0, 0, 10, 8)], [(0, 0, 10, 10)], 2 / 3),  # a true box is matched once
    ],
)
def test_boxes_earn_a_soft_f1(boxes: Any, truth: Any, value: float) -> None:
    assert soft_box_f1(boxes, truth) == pytest.approx(value)


def test_defects_earn_their_number_kind_and_severity() -> None:
    answer = make_answer(defects=[defect(0, 0, 500, 250, severity="critical"), defect(900, 900, 1000, 1000)])
    found = {c.reward: c for c in defect_credits(answer, make_target(), each=False)}
    assert found["boxes"].value == pytest.approx(2 * 0.75 / 3)  # IoU one half
    assert found["counts"].value == 0.5
    assert (found["kinds"].value, found["kinds"].blanks) == (1.0, ("defects.0.kind",))
    assert found["severities"].value == 0.5
    assert covers(found["boxes"].blanks, "defects.1.box.x2") and covers(
        found["boxes"].blanks, "defects.1.open"
    )
    assert not covers(found["boxes"].blanks, "defects.1.kind")


def test_each_box_is_credited_by_what_is_lost_without_it() -> None:
    answer = make_answer(defects=[defect(0, 0, 500, 500), defect(900, 900, 1000, 1000)])
    own = [c for c in defect_credits(answer, make_target(), each=True) if c.channel == "box"]
    assert [c.value for c in own] == pytest.approx([2 / 3 - 0, 2 / 3 - 1])
    assert [c.blanks for c in own] == [("defects.0.box.*",), ("defects.1.box.*",)]


def test_defects_that_nobody_labelled_earn_nothing() -> None:
    target = make_target(unlabelled=frozenset({"defects"}))
    assert not list(defect_credits(make_answer(), target, each=False))
    target = make_target(unlabelled=frozenset({"defects.kind", "defects.severity"}))
    assert {c.reward for c in defect_credits(make_answer(), target, each=False)} == {"boxes", "counts"}


def test_elements_earn_the_agreement_of_their_annotators_and_scores_their_closeness() -> None:
    group = make_group([make_answer()], make_target(), [])
    values = {(name, blank): value for name, blank, value in label_values(group, agreement=True)}
    assert [values["elements", "elements.0"](label) for label in ("true", "false")] == [1.0, 0.0]
    assert [values["elements", "elements.1"](label) for label in ("true", "false")] == [0.0, 0.4]
    assert [values["scores", "score"](label) for label in "135"] == pytest.approx([0.375, 0.875, 0.625])
    assert values["attributes", "attributes.degradation"]("blur") == 1.0
    even = {(name, blank): value for name, blank, value in label_values(group, agreement=False)}
    assert even["elements", "elements.1"]("false") == 1.0


def test_an_image_earns_the_fidelity_of_its_order_among_the_others() -> None:
    """With wide gaps both preferences are certain, so that the fidelity is 1 or 0."""
    better = make_group([], make_target(opinions={"score": Opinion(5.0, 0.1)}), [])
    worse = make_group([], make_target(opinions={"score": Opinion(1.0, 0.1)}), [])
    moments = [ScoreMoments(5.0, 0.01), ScoreMoments(3.0, 0.01)]
    value = rank_value([better, worse], moments, 0)
    assert value is not None
    assert value("5") == pytest.approx(1, abs=1e-3) and value("1") == pytest.approx(0, abs=1e-3)
    assert value("3") == pytest.approx(0.5**0.5, abs=1e-3)  # q is one half
    assert rank_value([better], moments[:1], 0) is None
    alone = make_group([], make_target(group="other"), [])
    assert rank_value([better, alone], moments, 0) is None


def test_the_mean_score_is_that_of_the_distribution_if_one_token_decides() -> None:
    shares = (0.0, 0.5, 0.0, 0.5, 0.0)
    decision = Decision("score", 0, 1, -0.7, (1, 2, 3, 4, 5), labels=tuple("12345"), shares=shares)
    moments = score_moments(make_group([make_answer()], make_target(), [decision]))
    assert moments is not None and (moments.mean, moments.variance) == pytest.approx((3.0, 1.0))
    sampled = score_moments(make_group([make_answer(score=1), make_answer(score=5)], make_target(), []))
    assert sampled is not None and (sampled.mean, sampled.variance) == pytest.approx((3.0, 4.0))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 of 2 elements are there; cut", 1.0),
        ("2 of 2 elements are there; cut", 0.5),
        ("cut", 1.0),
        ("cut; fused", 2 / 3),
        ("no damage", 0.0),
        ("the cutter", 0.0),  # a word, not a part of one
    ],
)
def test_an_explanation_earns_what_the_answer_found(text: str, value: float) -> None:
    assert consistency(make_answer(explanation=text), ["cut", "fused"]) == pytest.approx(value)


def test_advantages_are_the_distance_from_the_group_by_part() -> None:
    """Of two answers one has the right box; both have wrong elements, which therefore earn no advantage."""
    decisions = [Decision("elements.0", 0, 1, -1.0, (1, 2)), Decision("defects.0.box.x1", 0, 1, -1.0, (1, 2))]
    wrong = {"cat": False, "dog": True}
    answers = [make_answer(elements=wrong), make_answer(elements=wrong, defects=[defect(900, 900, 990, 990)])]
    rewards = RewardConfig(**{name: 0 for name in RewardConfig().weights} | {"elements": 1, "boxes": 2})
    advantages = {}
    for scale in ("none", "group", "batch"):
        policy = PolicyConfig(scale=scale, credit="parts")
        scored = score_groups([make_group(answers, make_target(), decisions)], rewards, policy)
        set_advantages(scored, rewards, policy)
        advantages[scale] = scored[0].advantages
    assert advantages["none"] == [[0.0, 1.0], [0.0, -1.0]]  # weight 2, distance one half
    assert advantages["group"][0] == pytest.approx([0.0, 2.0], abs=1e-3)  # divided by the spread, one half
    assert advantages["batch"][0] == pytest.approx([0.0, 2.0], abs=1e-3)
    whole = PolicyConfig(credit="whole")
    set_advantages(scored, rewards, whole)
    assert scored[0].advantages == [[1.0, 1.0], [-1.0, -1.0]]


def test_a_blank_that_one_token_decides_has_the_reward_of_each_label() -> None:
    decision = Decision("elements.1", 0, 1, -1.0, (7, 8), labels=("true", "false"), shares=(0.5, 0.5))
    rewards, policy = RewardConfig(), PolicyConfig()
    scored = score_groups([make_group([make_answer()], make_target(), [decision])], rewards, policy)
    set_advantages(scored, rewards, policy)
    assert scored[0].gains == [[(0.0, 0.4)]] and scored[0].has_signal
    set_advantages(scored, rewards, PolicyConfig(exact=False))
    assert scored[0].gains == [[()]] and not scored[0].has_signal


def test_drift_shows_boxes_that_grow_and_texts_that_repeat() -> None:
    grown = make_answer(defects=[defect(0, 0, 1000, 1000)], explanation="cut")
    clean = make_target(boxes=(), values={**make_target().values, "defects": []})
    found = measure_drift([
        make_group([grown, grown], make_target(), []), make_group([make_answer(defects=[])], clean, []),
    ])  # fmt: skip
    assert (found["area"], found["boxes"], found["clean"]) == (4.0, 1.0, 1.0)
    assert found["severities"] == 0.0 and found["texts"] == 0.5
