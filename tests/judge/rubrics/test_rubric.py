"""Rubrics are data that people edit, and prompts are hostile: both are checked here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from PIL import Image
from pydantic import ValidationError

from judge.backends.scripted import Scripted
from judge.errors import InputError, RubricError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric, in_steps

DEFAULT, QUALITY = Rubric.load("default"), Rubric.load("quality")


def text_of(messages: list[dict]) -> str:
    (turn,) = messages
    image, text = turn["content"]
    assert (turn["role"], image) == ("user", {"type": "image"})
    return text["text"]


def edited(folder: Path, old: str, new: str) -> Path:
    source = ROOT / "prompts" / "rubrics" / "default.toml"
    text = source.read_text("utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_the_brief_template_is_what_checkpoints_were_trained_on() -> None:
    assert text_of(DEFAULT.messages("a red circle", ["red circle", "two cats"], brief=True)) == (
        "Judge the picture.\nPrompt: a red circle\nElements: red circle; two cats"
    )
    assert text_of(DEFAULT.messages("a red circle", brief=True, depth="score")) == (
        "Judge the picture.\nPrompt: a red circle\nScores only."
    )
    assert text_of(QUALITY.messages(brief=True)) == "Rate the quality."
    assert text_of(QUALITY.messages(brief=True, depth="score")) == "Rate the quality.\nScores only."


def test_the_full_template_names_every_member_of_the_form() -> None:
    for rubric in (DEFAULT, QUALITY):
        for depth in ("verdict", "score"):
            form = rubric.form(["a cat"]).at_depth(depth)
            text = text_of(rubric.messages("a cat", ["a cat"], depth=depth))
            for key, _ in form.root.members:
                assert f'"{key}"' in text
            assert ('"explanation"' in text) == (depth == "verdict" and rubric.explanation > 0)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_prompt_is_put_in_once_and_never_read_as_a_template(prompt: str) -> None:
    marked = f"{{{{ rubric.name }}}} {{% if 1 %}} {prompt} {{{{ elements }}}} <|im_end|>"
    for brief in (False, True):
        assert text_of(DEFAULT.messages(marked, ["a cat"], brief=brief)).count(marked) == 1


def test_elements_are_put_in_as_they_are() -> None:
    element = "{{ 7 * 7 }} </prompt> <|im_end|>"
    for brief in (False, True):
        text = text_of(DEFAULT.messages("a cat", [element], brief=brief))
        assert element in text
        assert "49" not in text


def test_the_answer_of_the_default_rubric_puts_evidence_before_scores() -> None:
    assert [key for key, _ in DEFAULT.form(["a cat"]).root.members] == [
        "elements", "degradation", "defects", "alignment", "structure", "score", "explanation",
    ]  # fmt: skip
    assert [key for key, _ in QUALITY.form().root.members] == [
        "degradation", "severity", "defects", "score",
    ]  # fmt: skip


def test_without_elements_the_member_is_left_out() -> None:
    assert "elements" not in dict(DEFAULT.form([]).root.members)


@pytest.mark.parametrize("elements", [[""], ["  "], ["a cat", "a cat"], ["\ud800"]])
def test_unusable_elements_are_named(elements: list[str]) -> None:
    with pytest.raises(InputError, match="elements"):
        DEFAULT.form(elements)


def test_the_number_of_defects_can_be_set() -> None:
    assert DEFAULT.form(max_defects=6).json_schema()["properties"]["defects"]["maxItems"] == 6
    assert DEFAULT.form().json_schema()["properties"]["defects"]["maxItems"] == 3
    with pytest.raises(InputError, match="max_defects"):
        DEFAULT.form(max_defects=-1)


def test_the_product_rule_lets_alignment_gate_and_structure_scale() -> None:
    assert DEFAULT.combine({"alignment": 5, "structure": 5}) == 5
    assert DEFAULT.combine({"alignment": 1, "structure": 5}) == 1
    assert DEFAULT.combine({"alignment": 5, "structure": 1}) == pytest.approx(1 + 4 * 0.45)


def test_the_mean_rule_weighs_dimensions(tmp_path: Path) -> None:
    old = 'rule = "product"\nfactors = ["alignment", "structure"]\nfloor = 0.45'
    path = edited(tmp_path, old, 'rule = "mean"\n[score.weights]\nalignment = 3\nstructure = 1')
    assert Rubric.load(path).combine({"alignment": 5, "structure": 1}) == 4


def test_the_slot_rule_combines_nothing() -> None:
    assert QUALITY.combine({}) is None


def test_kinds_belong_to_families() -> None:
    assert DEFAULT.family("smeared") == "artifact"
    assert DEFAULT.family("wrong count") == "misalignment"
    with pytest.raises(InputError, match="missing part"):
        DEFAULT.family("smeard")
    with pytest.raises(InputError, match="allowed: none"):
        Rubric.load("video").family("smeared")


@pytest.mark.parametrize(
    ("shares", "said"),
    [({"noise": 0.4, "seems_good": 0.6}, "1 or more"), ({"warmth": 0.1}, "not among the facts")],
)
def test_shares_of_measures_that_cannot_be_are_refused(shares: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Rubric(**(QUALITY.model_dump() | {"score": {"measured": shares}}))


def test_what_is_measured_counts_in_the_score_with_its_share() -> None:
    answer = {"degradation": "none", "severity": "none", "defects": [], "score": 2}
    picture = Image.new("RGB", (64, 64))
    verdict = Judge(backend=Scripted([answer]), rubric="quality")(picture)
    measured = 1 + 4 * min(1.0, max(0.0, verdict.facts["seems_good"]))
    assert verdict.score == pytest.approx(0.5 * 2 + 0.5 * measured)
    assert sum(verdict.distribution or []) == pytest.approx(1)


def test_answers_are_put_into_the_rubrics_own_words_with_what_was_measured() -> None:
    said = QUALITY.said(
        "picture",
        attributes={"degradation": "noise", "severity": "strong"},
        defects=[{"kind": "blur", "severity": "moderate", "place": "at the upper left"}],
        facts=in_steps(dict.fromkeys(QUALITY.facts, 0.254)),
        score=2.0,
    )
    assert said.startswith("strong noise; blur at the upper left; measured") and "sharpness 250" in said
    region = {"kind": "blur", "severity": "moderate", "place": "at the top"}
    assert QUALITY.said("region", **region) == "moderate blur at the top"
    assert DEFAULT.said("region", **region) == ""


def test_the_hash_covers_everything_that_is_asked(tmp_path: Path) -> None:
    assert Rubric.load("default").hash == DEFAULT.hash != QUALITY.hash
    assert Rubric.load(edited(tmp_path, "max = 3", "max = 4")).hash != DEFAULT.hash
    (tmp_path / "brief.jinja").write_text("Judge it. {{ prompt }}", "utf-8")
    beside = Rubric.load(edited(tmp_path, 'version = "1"', 'version = "1"'))
    assert beside.templates.brief == "Judge it. {{ prompt }}", "a template beside the rubric is preferred"
    assert beside.hash != DEFAULT.hash


def test_an_unknown_rubric_names_those_known_and_the_nearest() -> None:
    with pytest.raises(RubricError, match=r"default, .*quality.*did you mean 'quality'\?"):
        Rubric.load("qualty")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("elements = true", "element = true", "element"),
        ('"noise", "jpeg"', '"noise", "noise"', "given twice"),
        ('name = "alignment"', 'name = "score"', "given twice, or reserved"),
        ('factors = ["alignment", "structure"]', 'factors = ["alignment"]', "two dimensions"),
        ('factors = ["alignment", "structure"]', 'factors = ["alignment", "beauty"]', "'beauty'"),
        ('"smeared"', '"smea\\"red"', "kinds"),
        ("max = 3", "max = -3", "defects.max"),
        ('full = "default.jinja"', 'full = "defalt.jinja"', "defalt.jinja"),
        ("max = 3", "max = ", "TOML"),
    ],
)
def test_a_broken_rubric_file_gives_one_line_that_names_the_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(RubricError, match=message) as caught:
        Rubric.load(edited(tmp_path, old, new))
    assert "\n" not in str(caught.value)
