"""A rubric's form, the rule of its score, its kinds of defects and its sentences."""

from __future__ import annotations

import pytest
from PIL import Image
from pydantic import ValidationError

from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric, facts_for_prompt
from judge.rubrics.schema import ScoreRule

DEFAULT, QUALITY = Rubric.load("default"), Rubric.load("quality")


def test_the_form_puts_evidence_before_scores() -> None:
    assert [key for key, _ in DEFAULT.form(["a cat"]).root.members] == [
        "elements", "degradation", "defects", "alignment", "structure", "score", "explanation",
    ]  # fmt: skip
    assert [key for key, _ in QUALITY.form().root.members] == [
        "degradation", "severity", "defects", "score",
    ]  # fmt: skip


def test_without_elements_the_form_has_no_member_for_them() -> None:
    assert "elements" not in dict(DEFAULT.form([]).root.members)


@pytest.mark.parametrize("elements", [[""], ["  "], ["a cat", "a cat"], ["\ud800"]])
def test_unusable_elements_are_an_error(elements: list[str]) -> None:
    with pytest.raises(InputError, match="elements"):
        DEFAULT.form(elements)


def test_the_maximum_number_of_defects_can_be_set() -> None:
    assert DEFAULT.form(max_defects=6).json_schema()["properties"]["defects"]["maxItems"] == 6
    assert DEFAULT.form().json_schema()["properties"]["defects"]["maxItems"] == 3
    with pytest.raises(InputError, match="max_defects"):
        DEFAULT.form(max_defects=-1)


def test_in_the_product_rule_alignment_gates_and_structure_scales() -> None:
    assert DEFAULT.combine({"alignment": 5, "structure": 5}) == 5
    assert DEFAULT.combine({"alignment": 1, "structure": 5}) == 1
    assert DEFAULT.combine({"alignment": 5, "structure": 1}) == pytest.approx(1 + 4 * 0.45)


def test_the_mean_rule_weighs_dimensions() -> None:
    rule = ScoreRule(rule="mean", weights={"alignment": 3, "structure": 1})
    assert DEFAULT.model_copy(update={"score": rule}).combine({"alignment": 5, "structure": 1}) == 4


def test_the_slot_rule_combines_nothing() -> None:
    assert QUALITY.combine({}) is None


def test_a_rule_at_both_depths_gives_the_score_of_a_verdict() -> None:
    """The two dimensions of a portrait are merged by the mean, whatever the model writes as its score."""
    answer = {
        "flaw": "none", "defects": [], "person": 5, "picture": 1, "score": 2, "explanation": "",
    }  # fmt: skip
    verdict = Judge(backend=Scripted([answer]), rubric="portrait")(Image.new("RGB", (32, 32)))
    assert verdict.score == pytest.approx((3 * 5 + 2 * 1) / 5)
    assert any("disagree" in note for note in verdict.provenance.notes)


def test_kinds_of_defects_belong_to_families() -> None:
    assert DEFAULT.family("smeared") == "artifact"
    assert DEFAULT.family("wrong count") == "misalignment"
    with pytest.raises(InputError, match="missing part"):
        DEFAULT.family("smeard")
    with pytest.raises(InputError, match="allowed: none"):
        Rubric.load("video").family("smeared")


@pytest.mark.parametrize(
    ("shares", "message"),
    [({"noise": 0.4, "seems_good": 0.6}, "1 or more"), ({"warmth": 0.1}, "not among the facts")],
)
def test_impossible_shares_of_facts_are_an_error(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Rubric(**(QUALITY.model_dump() | {"score": {"measured": shares}}))


def test_measured_facts_have_their_share_in_the_score() -> None:
    answer = {"degradation": "none", "severity": "none", "defects": [], "score": 2}
    verdict = Judge(backend=Scripted([answer]), rubric="quality")(Image.new("RGB", (64, 64)))
    measured = 1 + 4 * min(1.0, max(0.0, verdict.facts["seems_good"]))
    assert verdict.score == pytest.approx(0.2 * 2 + 0.8 * measured)
    assert sum(verdict.distribution or []) == pytest.approx(1)


def test_explanations_are_rendered_from_the_answers_and_facts() -> None:
    sentence = QUALITY.render_sentence(
        "picture",
        attributes={"degradation": "noise", "severity": "strong"},
        defects=[{"kind": "blur", "severity": "moderate", "place": "at the upper left"}],
        facts=facts_for_prompt(dict.fromkeys(QUALITY.facts, 0.254)),
        score=2.0,
    )
    assert sentence.startswith("strong noise; blur at the upper left; measured")
    assert "sharpness 250" in sentence
    region = {"kind": "blur", "severity": "moderate", "place": "at the top"}
    assert QUALITY.render_sentence("region", **region) == "moderate blur at the top"
    assert DEFAULT.render_sentence("region", **region) == ""
