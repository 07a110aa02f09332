"""What must be absent: asked positively, inverted in the verdict, and given in every form of a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from judge import Judge
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.pipeline.rows import BadRow, read_rows
from judge.rubrics.rubric import Rubric
from judge.types import Element, LabelledSample, Sample

IMAGE = Image.new("RGB", (32, 32), "teal")
PROMPT = "a red cat --no yellow dog"


def answer(elements: dict[str, bool], **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "elements": elements, "degradation": "none", "defects": [], "alignment": 5, "structure": 5,
        "score": 5,
        "explanation": "",
    }  # fmt: skip
    return fields | changes


def score_answer(elements: dict[str, bool]) -> dict[str, Any]:
    full = answer(elements)
    return {name: full[name] for name in ("elements", "degradation", "alignment", "structure", "score")}


@pytest.mark.parametrize("is_there", [False, True])
def test_a_general_model_is_asked_positively_and_its_answer_is_inverted(is_there: bool) -> None:
    backend = Scripted([answer({"red cat": True, "yellow dog": is_there})])
    cat, dog = Judge(backend=backend)(IMAGE, prompt=PROMPT).elements
    assert (cat.expected, cat.present, cat.shown, cat.label) == (True, True, True, "red cat")
    assert (dog.name, dog.expected, dog.label) == ("yellow dog", False, "no yellow dog")
    assert (dog.present, dog.probability, dog.shown) == (not is_there, 1 - is_there, is_there)
    (request,) = backend.requests
    assert "2. yellow dog" in request.messages[0]["content"][-1]["text"]


def test_an_excluded_thing_is_not_limited_by_things_that_it_mentions() -> None:
    backend = Scripted([answer({"cat": False, "red cat": False})])
    cat, red = Judge(backend=backend)(IMAGE, prompt="a cat, no red cat").elements
    assert (cat.present, red.present, red.needs) == (False, True, [])


@pytest.mark.parametrize("is_there", [False, True])
def test_a_tuned_model_is_asked_apart_and_the_score_follows_the_rule(is_there: bool) -> None:
    """Such a model has learnt that an absent element makes a low score."""
    # Questions that are answered in one pass come first in a round.
    replies = [score_answer({"yellow dog": is_there}), answer({"red cat": True}, explanation="good.")]
    backend = Scripted(replies, brief=True, size=224)
    verdict = Judge(backend=backend)(IMAGE, prompt=PROMPT)
    assert [len(request.form.root.members[0][1].members) for request in backend.requests] == [1, 1]
    assert [(e.label, e.present) for e in verdict.elements] == [
        ("red cat", True), ("no yellow dog", not is_there),
    ]  # fmt: skip
    alignment = 1 + 4 * (2 - is_there) / 2  # structure is perfect, so the score is the same
    assert verdict.dimensions["alignment"].score == pytest.approx(alignment, abs=0.01)
    assert verdict.score == pytest.approx(alignment, abs=0.01)
    said = "good; excluded by the prompt, but shown: yellow dog" if is_there else "good."
    assert verdict.explanation == said


def test_an_unreadable_answer_about_what_must_be_absent_is_a_note() -> None:
    backend = Scripted(["no JSON", answer({"red cat": True})], brief=True, size=224)
    verdict = Judge(backend=backend)(IMAGE, prompt=PROMPT)
    assert verdict.score == 5 and [e.name for e in verdict.elements] == ["red cat"]
    assert any("could not be checked (yellow dog)" in note for note in verdict.provenance.notes)


def test_at_depth_score_everything_is_asked_in_one_pass() -> None:
    backend = Scripted([score_answer({"red cat": True, "yellow dog": False})], brief=True, size=224)
    verdict = Judge(backend=backend)(IMAGE, prompt=PROMPT, depth="score")
    assert verdict.dimensions["alignment"].score == 5 and len(backend.requests) == 1


def test_a_rubric_may_leave_out_what_must_be_absent() -> None:
    rubric = Rubric.load("default").model_copy(update={"negatives": False})
    backend = Scripted([answer({"red cat": True})])
    verdict = Judge(backend=backend, rubric=rubric)(IMAGE, prompt=PROMPT, negative_prompt="a bird")
    assert [e.name for e in verdict.elements] == ["red cat"]
    assert "does not ask what must be absent: left out yellow dog, bird" in verdict.provenance.notes[-1]


def test_the_negative_prompt_is_shown_to_a_general_model() -> None:
    backend = Scripted([answer({"cat": True, "dog": False})])
    Judge(backend=backend)(IMAGE, prompt="a cat", negative_prompt="dog")
    assert "a cat Negative prompt: dog" in backend.requests[0].messages[0]["content"][-1]["text"]


def test_given_elements_are_asked_with_those_of_the_negative_prompt() -> None:
    backend = Scripted([answer({"no hat": True, "dog": False})])
    verdict = Judge(backend=backend)(IMAGE, prompt="a cat", elements=["no hat"], negative_prompt="dog")
    assert [(e.name, e.expected) for e in verdict.elements] == [("no hat", True), ("dog", False)]


def test_the_limit_of_elements_is_an_option_of_the_judge() -> None:
    prompt = "a cat, a dog, a bird, a fish"
    backend = Scripted([answer({"cat": True, "dog": True})] * 2)
    verdict = Judge(backend=backend, max_elements=2)(IMAGE, prompt=prompt)
    assert "4 elements were found, the limit is 2" in verdict.provenance.notes[0]
    (again,) = Judge(backend=backend).many([{"image": IMAGE, "prompt": prompt}], max_elements=2)
    assert [e.name for e in again.elements] == ["cat", "dog"]
    for limit in (0, 65, True, "3"):
        with pytest.raises(InputError, match="max_elements"):
            Judge(backend=backend, max_elements=limit)  # type: ignore[arg-type]


def test_an_edit_is_checked_against_its_reference() -> None:
    prompt = "replace the car with a bicycle, keep the house"
    elements = {"bicycle": True, "house unchanged": True, "car": False}
    form = {
        "elements": elements,
        "defects": [],
        "instruction": 5,
        "preservation": 5,
        "quality": 5,
        "score": 5,
    }
    backend = Scripted([form | {"explanation": ""}])
    verdict = Judge(backend=backend, rubric="edit")(IMAGE, prompt=prompt, reference=IMAGE)
    assert [(e.name, e.kind, e.expected, e.present) for e in verdict.elements] == [
        ("bicycle", "object", True, True), ("house unchanged", "unchanged", True, True),
        ("car", "object", False, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("negative_prompt", "message"),
    [
        ("\ud800", "negative_prompt.*surrogate"),
        ("x" * 20_001, "negative_prompt.*20000"),
        (3, "negative_prompt"),
    ],
)
def test_a_bad_negative_prompt_is_an_error_that_names_it(negative_prompt: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Judge(backend=Scripted())(IMAGE, prompt="a cat", negative_prompt=negative_prompt)


def test_rows_have_a_negative_prompt(tmp_path: Path) -> None:
    fields = {"image": "a.png", "prompt": "a cat", "negative_prompt": "dog, bird"}
    (tmp_path / "rows.jsonl").write_text(
        f"{json.dumps(fields)}\n{json.dumps(fields | {'negative_prompt': 3})}\n"
    )
    (tmp_path / "rows.csv").write_text(
        'image,prompt,negative_prompt\na.png,a cat,"dog, bird"\na.png,a cat,\n'
    )
    good, bad = read_rows(tmp_path / "rows.jsonl")
    assert isinstance(good, Sample) and good.negative_prompt == "dog, bird"
    assert isinstance(bad, BadRow) and "negative_prompt" in bad.reason
    with_it, without = read_rows(tmp_path / "rows.csv")
    assert [row.negative_prompt for row in (with_it, without)] == ["dog, bird", ""]  # type: ignore[union-attr]


def test_samples_and_elements_are_read_and_written_as_before() -> None:
    assert "negative_prompt" not in LabelledSample(prompt="a cat").model_dump(mode="json")
    sample = Sample(prompt="a cat", negative_prompt="dog")
    assert Sample.model_validate_json(sample.model_dump_json()) == sample
    old = Element.model_validate({"name": "cat", "present": True, "probability": 0.9})
    assert old.expected and old.label == "cat"
