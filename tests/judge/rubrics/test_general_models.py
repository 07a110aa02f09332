"""What models are asked that were not tuned to judge, and that tuned models are asked as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_rubric import WORKED_EXAMPLE, write_example_rubric
from PIL import Image
from random_backend import RandomBackend

from judge.backends.scripted import Scripted
from judge.errors import RubricError
from judge.judge import Judge
from judge.rubrics.fact_words import describe_facts
from judge.rubrics.files import list_rubric_names
from judge.rubrics.rubric import Rubric
from judge.types import Depth

IMAGE = Image.new("RGB", (64, 64), (90, 120, 30))
TUNED_HASHES = {
    "default": "efa006962020da19",
    "quality": "7bc85316aeb307c3",
    "video": "dd5250fd1a0d4c2f",
}
"""Hashes that calibrations and adapters of the embedded judge are bound to."""
DEFAULT, QUALITY = Rubric.load("default"), Rubric.load("quality")


def members(backend: Scripted | RandomBackend) -> list[str]:
    """Return the members of the form of the last request."""
    return [name for name, _ in backend.requests[-1].form.root.members]


def text_of(rubric: Rubric, depth: Depth = "verdict", **options: Any) -> str:
    """Return the text of the last turn that a model gets."""
    text: str = rubric.messages("a cat", ["a cat", "no dog"], depth=depth, **options)[-1]["content"][-1][
        "text"
    ]
    return text


# -- Tuned models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TUNED_HASHES)
def test_the_hash_of_a_rubric_is_that_of_what_tuned_models_are_asked(name: str) -> None:
    rubric = Rubric.load(name)
    assert rubric.hash == TUNED_HASHES[name] != rubric.for_general_models().hash
    bare = rubric.model_dump(exclude={"reasoning", "general"})
    assert Rubric.model_validate(bare).hash == rubric.hash


@pytest.mark.parametrize("name", list_rubric_names())
def test_tuned_models_are_asked_for_no_reasoning_and_told_no_anchors(name: str) -> None:
    rubric, general = Rubric.load(name), Rubric.load(name).for_general_models()
    assert "reasoning" not in dict(rubric.form(["a cat"]).root.members)
    assert next(iter(dict(general.form(["a cat"]).root.members))) == "reasoning"
    for brief in (True, False):
        elements = ["a cat"] if rubric.elements else []
        text = rubric.messages("a cat", elements, brief=brief)[-1]["content"][-1]["text"]
        assert "reasoning" not in text
        assert not any(f"\n  1 {dimension.anchors[0]}" in text for dimension in rubric.dimensions)


@pytest.mark.parametrize(("brief", "adapter"), [(True, None), (False, "someone/lora")])
def test_a_tuned_model_gets_the_rubric_as_it_was_trained_on(brief: bool, adapter: str | None) -> None:
    backend = RandomBackend(brief=brief)
    backend.adapter = adapter
    verdict = Judge(backend=backend)(IMAGE, prompt="a cat")
    assert verdict.provenance.rubric_hash == TUNED_HASHES["default"]
    assert members(backend)[0] == "elements" and verdict.reasoning == ""
    assert backend.requests[0].messages == DEFAULT.messages("a cat", ["cat"], brief=brief)


# -- General models --------------------------------------------------------------------------------------


def test_a_general_model_reasons_before_the_evidence_at_verdict_depth_only() -> None:
    backend = RandomBackend(brief=False, size=None)
    judge = Judge(backend=backend)
    verdict = judge(IMAGE, prompt="a cat")
    assert members(backend)[:2] == ["reasoning", "elements"] and members(backend)[-1] == "explanation"
    assert verdict.reasoning and verdict.provenance.rubric_hash == DEFAULT.for_general_models().hash
    judge(IMAGE, prompt="a cat", depth="score")
    assert "reasoning" not in members(backend)
    assert '"reasoning"' not in backend.requests[-1].messages[-1]["content"][-1]["text"]


def test_a_reply_without_the_reasoning_is_still_usable() -> None:
    answer = {"degradation": "none", "severity": "none", "defects": [], "score": 4}
    verdict = Judge(backend=Scripted([answer]), rubric="quality")(IMAGE)
    assert (verdict.status, verdict.reasoning, verdict.score) == ("scored", "", pytest.approx(4))


def test_the_reasoning_is_cut_to_its_length() -> None:
    answer = {"reasoning": "x" * 900, "degradation": "none", "severity": "none", "defects": [], "score": 4}
    verdict = Judge(backend=Scripted([answer]), rubric="quality")(IMAGE)
    assert len(verdict.reasoning) == QUALITY.reasoning


@pytest.mark.parametrize("name", list_rubric_names())
def test_every_answer_is_explained_to_general_models(name: str) -> None:
    rubric = Rubric.load(name).for_general_models()
    text = text_of(rubric)
    for key, _ in rubric.form(["a cat"]).root.members:
        assert f'"{key}"' in text
    for dimension in rubric.dimensions:
        assert len(dimension.anchors) == 5 and all(
            f"\n  {n} {a}" in text for n, a in enumerate(dimension.anchors, 1)
        )
    assert "neither 1 nor 5" not in text
    if rubric.defects:
        assert all(f"{word} (" in text for word in ("negligible", "moderate", "critical"))
    if rubric.elements:
        assert "absent" in text


def test_kinds_of_defects_are_explained() -> None:
    assert DEFAULT.defects is not None
    text = text_of(DEFAULT.for_general_models())
    for kinds in DEFAULT.defects.kinds.values():
        assert all(f"{kind} ({DEFAULT.defects.meanings[kind]})" in text for kind in kinds)


@pytest.mark.parametrize("name", list_rubric_names())
def test_images_stand_before_the_text(name: str) -> None:
    rubric = Rubric.load(name).for_general_models()
    for turn in rubric.messages("a cat", ["a cat"] if rubric.elements else []):
        kinds = [part["type"] for part in turn["content"]]
        assert kinds == sorted(kinds)


# -- Quality ---------------------------------------------------------------------------------------------


def test_the_score_of_a_general_model_under_quality_is_its_own() -> None:
    answer = {"reasoning": "soft", "degradation": "blur", "severity": "slight", "defects": [], "score": 2}
    verdict = Judge(backend=Scripted([answer]), rubric="quality")(IMAGE)
    assert verdict.score == pytest.approx(2)
    assert set(verdict.facts) == {"sharpness", "noise", "blockiness", "highlights", "shadows"}


def test_the_share_of_the_estimate_remains_for_tuned_models() -> None:
    answer = {"degradation": "blur", "severity": "slight", "defects": [], "score": 2}
    verdict = Judge(backend=Scripted([answer], brief=True), rubric="quality")(IMAGE)
    assert verdict.score != pytest.approx(2) and set(verdict.facts) == set(QUALITY.facts)


def test_facts_are_told_in_words_not_numbers() -> None:
    rubric = QUALITY.for_general_models()
    text = text_of(rubric, facts={"sharpness": 0.2, "noise": 0.9, "highlights": 0.7})
    assert "fine detail: very little" in text and "grain in the smoothest parts: strong" in text
    assert "clipped to pure white: about 9 % of the pixels" in text and "200" not in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sharpness", 0.6, "fine detail: usual"),
        ("noise", 0.0, "grain in the smoothest parts: none"),
        ("blockiness", 1.0, "blocks of 8 x 8 pixels, as of JPEG: strong"),
        ("shadows", 0.0, "clipped to pure black: less than 1 % of the pixels"),
        ("shadows", 1.0, "clipped to pure black: about 60 % of the pixels"),
        ("seems_blur", 0.25, "seems_blur: 250 of 1000"),
    ],
)
def test_a_fact_has_words(name: str, value: float, words: str) -> None:
    assert describe_facts({name: value}) == {name: words}


# -- Rubrics of users ------------------------------------------------------------------------------------


def test_a_rubric_file_without_templates_gets_the_questions_for_general_models(tmp_path: Path) -> None:
    path = write_example_rubric(tmp_path, ("explanation = 160", "explanation = 160\nreasoning = 120"))
    rubric = Rubric.load(path).for_general_models()
    text = text_of(rubric)
    assert "at most 120 characters" in text and "seen only when searched for" in text
    plain = Rubric.load(write_example_rubric(tmp_path))
    assert plain.hash == Rubric.load(path).hash or "reasoning" not in text_of(plain.for_general_models())


def test_a_rubric_with_a_template_of_its_own_is_asked_by_it(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("Say {{ rubric.reasoning }} characters.")
    edit = ("[score] ", '[templates]\nfull = "mine.jinja"\n\n[score] ')
    path = write_example_rubric(tmp_path, edit, ("explanation = 160", "explanation = 160\nreasoning = 7"))
    assert text_of(Rubric.load(path).for_general_models()) == "Say 7 characters."
    assert text_of(Rubric.load(path)) == "Say 0 characters.", "a tuned model is not asked for it"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "clarity"', 'name = "clarity"\nanchors = ["bad", "good"]', "2 given"),
        ('name = "clarity"', 'name = "reasoning"', "'reasoning' is given twice, or reserved"),
        ("[score] ", '[general]\nanchors = ["a"]\n\n[score] ', "general.anchors: 1 given"),
        ("[score] ", '[general]\nfacts = ["sharpness"]\n\n[score] ', "general.facts: 'sharpness'"),
        ("[score] ", '[general]\ntemplate = "none.jinja"\n\n[score] ', "none.jinja"),
        ("[score] ", "[general]\ninstruction = 1\n\n[score] ", "did you mean 'instructions'"),
        ('labels = ["flat"', 'meanings = { round = "x" }\nlabels = ["flat"', "'round' is not one of flat"),
        ("max = 3", 'max = 3\nmeanings = { dented = "x" }', "'dented' is not one of"),
    ],
)
def test_texts_for_general_models_are_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_example_rubric(
        tmp_path, (old, new), ("explanation = 160", "explanation = 160\nreasoning = 9")
    )
    with pytest.raises(RubricError) as caught:
        Rubric.load(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_worked_examples_reason_where_general_models_are_asked_to(tmp_path: Path) -> None:
    reasoning = ("explanation = 160", "explanation = 160\nreasoning = 90")
    with pytest.raises(RubricError, match="'reasoning' is missing"):
        Rubric.load(write_example_rubric(tmp_path, reasoning, more=WORKED_EXAMPLE))
    example = WORKED_EXAMPLE.replace('style = "flat"', 'reasoning = "a basket"\nstyle = "flat"', 1)
    rubric = Rubric.load(write_example_rubric(tmp_path, reasoning, more=example))
    general = rubric.for_general_models()
    assert '"reasoning":"a basket"' in general.messages("a", [])[1]["content"][0]["text"]
    assert "reasoning" not in rubric.messages("a", [])[1]["content"][0]["text"]
    changed = Rubric.load(
        write_example_rubric(tmp_path, reasoning, more=example.replace("a basket", "one", 1))
    )
    assert changed.for_general_models().hash != general.hash


def test_a_changed_copy_has_a_hash_and_questions_of_its_own() -> None:
    changed = DEFAULT.model_copy(update={"explanation": 10})
    assert changed.hash != DEFAULT.hash
    assert changed.for_general_models().explanation == 10
