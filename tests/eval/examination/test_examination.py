"""`judge examine`: sound models come out fit, and each known fault is found and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from biased_backend import BiasedBackend

from eval.examination import examine
from eval.examination.cases import Cases, draw_cases
from eval.examination.examine import Candidate, prepare_examination, run_examination
from judge.backends.cards import Finding, ModelCard
from judge.backends.models.boxes import BoxConvention
from judge.errors import InputError
from judge.judge import Judge

COUNT, SIDE = 12, 224


@pytest.fixture(scope="module")
def cases() -> Cases:
    return draw_cases(COUNT, 0, SIDE)


@pytest.fixture(autouse=True)
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small scenes are drawn faster."""
    monkeypatch.setattr(examine, "GENERAL_SIDE", SIDE)


def examined(cases: Cases, options: dict[str, Any] | None = None, **faults: Any) -> ModelCard:
    """The card of a backend with faults."""
    judge = Judge(backend=BiasedBackend(cases, **faults))
    return run_examination(prepare_examination(Candidate(judge, "biased", options=options), COUNT, 0))


def finding(card: ModelCard, name: str) -> Finding:
    (found,) = [one for one in card.findings if one.name == name]
    return found


def faults(card: ModelCard) -> set[str]:
    return {one.name for one in card.findings if one.level == "fault"}


def test_a_model_without_a_fault_is_fit_and_has_no_reasons(cases: Cases) -> None:
    card = examined(cases)
    assert card.verdict == "fit" and not card.settings.chosen() and card.reasons == []
    assert card.measures["element_accuracy"].value == 1
    assert card.measures["box_iou.relative"].value == pytest.approx(1, abs=0.05)
    assert card.measures["damage_correlation"].value == pytest.approx(1)
    assert card.revision == "r1" and card.count == COUNT


@pytest.mark.parametrize(("says", "name"), [("yes", "yes-bias"), ("no", "no-bias")])
def test_one_answer_to_every_element_is_named_and_makes_a_model_unfit(
    cases: Cases, says: str, name: str
) -> None:
    card = examined(cases, says=says)
    assert card.verdict == "unfit" and faults(card) == {"elements", name}
    assert says in finding(card, name).text
    assert any("constant answer" in reason for reason in card.reasons)


@pytest.mark.parametrize("side", ["first", "second"])
def test_a_preference_for_a_position_is_named_and_pairs_are_compared_by_scores(
    cases: Cases, side: str
) -> None:
    card = examined(cases, prefers=side)
    assert card.verdict == "fit with settings" and card.settings.chosen() == {"compare": "pointwise"}
    assert f"shown {side}" in finding(card, "order of pairs").text


@pytest.mark.parametrize("pull", [0.6, -0.6])
def test_elements_that_depend_on_their_position_are_named(cases: Cases, pull: float) -> None:
    found = finding(examined(cases, leans=pull), "order of elements")
    assert found.level == "caution" and ("raises" if pull > 0 else "lowers") in found.text


@pytest.mark.parametrize("convention", [BoxConvention.RESIZED_PIXELS_XYXY, BoxConvention.RELATIVE_1000_YXYX])
def test_boxes_in_another_convention_are_found_and_become_a_setting(
    cases: Cases, convention: BoxConvention
) -> None:
    card = examined(cases, boxes=convention)
    assert card.verdict == "fit with settings" and card.settings.chosen() == {"boxes": convention.value}
    assert card.measures[f"box_iou.{convention.value}"].value == pytest.approx(1, abs=0.05)
    assert repr(convention.value) in finding(card, "boxes").text


@pytest.mark.parametrize("convention", [BoxConvention.RESIZED_PIXELS_XYXY, BoxConvention.RELATIVE_1000_YXYX])
def test_a_model_is_asked_in_each_convention_that_its_backend_can_ask_in(
    cases: Cases, convention: BoxConvention
) -> None:
    card = examined(cases, boxes=convention, translates=True)
    assert card.settings.chosen() == {"boxes": convention.value}
    assert "asked in each" in finding(card, "boxes").text
    assert examined(cases, translates=True).settings.chosen() == {}


def test_a_score_that_ignores_damage_makes_a_model_unfit(cases: Cases) -> None:
    card = examined(cases, ignores_damage=True)
    assert faults(card) == {"damage"} and "does not fall" in finding(card, "damage").text


def test_a_thought_in_the_texts_is_named_and_switched_off_if_it_was_asked_for(cases: Cases) -> None:
    found = finding(examined(cases, thinks=True), "thinking")
    assert found.level == "caution" and "<think>" in found.text
    card = examined(cases, options={"thinking": 64}, thinks=True)
    assert card.settings.chosen() == {"thinking": 0} and card.options == {"thinking": 64}


def test_scores_that_depend_on_the_batch_become_a_setting(cases: Cases) -> None:
    card = examined(cases, drifts=0.2)
    assert card.settings.chosen() == {"batch": 1} and finding(card, "batches").level == "setting"


def test_replies_that_cannot_be_read_are_counted_with_their_reason(cases: Cases) -> None:
    card = examined(cases, fails=0.4)
    assert "replies" in faults(card) and "nothing that could be read" in finding(card, "replies").text


def test_several_faults_are_all_named(cases: Cases) -> None:
    card = examined(cases, says="yes", prefers="first", boxes=BoxConvention.RESIZED_PIXELS_XYXY)
    assert faults(card) == {"elements", "yes-bias"}
    assert card.settings.chosen() == {"boxes": "pixels", "compare": "pointwise"} and card.verdict == "unfit"


def test_a_card_is_read_back_as_it_was_written(cases: Cases, tmp_path: Path) -> None:
    card = examined(cases, prefers="first")
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_too_few_scenes_are_one_error(cases: Cases) -> None:
    with pytest.raises(InputError, match="count: 1"):
        prepare_examination(Candidate(Judge(backend=BiasedBackend(cases)), "biased"), 1, 0)
