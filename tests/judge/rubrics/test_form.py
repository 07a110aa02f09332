"""One form serves training, schemas, decoding and parsing; these tests keep the four consistent."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.errors import ReplyError, RubricError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Branch, Choice, Literal, Object, Repeat, Text, canonical_json
from judge.rubrics.rubric import Rubric

DEFAULT = Rubric.load("default")
FORM = DEFAULT.form(["red circle", "two cats"])
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
EXPLANATIONS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SCORES = st.integers(1, 5)


@st.composite
def boxes(draw: st.DrawFn) -> list[int]:
    x1, y1 = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    return [10 * n for n in (x1, y1, draw(st.integers(x1 + 1, 100)), draw(st.integers(y1 + 1, 100)))]


@st.composite
def filled_forms(draw: st.DrawFn) -> tuple[Form, dict]:
    """A form of the default rubric with 0 to 12 elements and up to 6 defects, and values that fit it."""
    elements = draw(st.lists(PRINTABLE.filter(str.strip), max_size=12, unique=True))
    max_defects = draw(st.integers(0, 6))
    kinds = [kind for group in DEFAULT.defects.kinds.values() for kind in group]
    severities = st.sampled_from(["negligible", "moderate", "critical"])
    members = ("kind", "box", "severity", "explanation")
    parts = (st.sampled_from(kinds), boxes(), severities, EXPLANATIONS)
    defects = st.tuples(*parts).map(lambda drawn: dict(zip(members, drawn, strict=True)))
    values = {"elements": {name: draw(st.booleans()) for name in elements}} if elements else {}
    values |= {
        "degradation": draw(st.sampled_from(DEFAULT.attributes[0].labels)),
        "defects": draw(st.lists(defects, max_size=max_defects)),
        "alignment": draw(SCORES),
        "structure": draw(SCORES),
        "score": draw(SCORES),
        "explanation": draw(EXPLANATIONS),
    }
    return DEFAULT.form(elements, max_defects), values


def example_values() -> dict:
    """Values that fit `FORM`."""
    return {
        "elements": {"red circle": True, "two cats": False},
        "degradation": "blur",
        "defects": [
            {
                "kind": "smeared",
                "box": [120, 340, 400, 560],
                "severity": "moderate",
                "explanation": "the red circle is smeared",
            }
        ],
        "alignment": 4,
        "structure": 3,
        "score": 4,
        "explanation": "one of two elements is there; smeared",
    }


# -- Rendering and walking -------------------------------------------------------------------------------


@given(filled_forms())
def test_rendered_values_are_canonical_json_that_parses_to_the_values(filled: tuple[Form, dict]) -> None:
    form, values = filled
    text = form.render(values)
    assert text == canonical_json(values)
    assert form.parse(text) == values


@given(filled_forms())
def test_rendered_text_satisfies_the_json_schema(filled: tuple[Form, dict]) -> None:
    form, values = filled
    jsonschema.validate(json.loads(form.render(values)), form.json_schema())


@given(filled_forms())
def test_segments_join_to_the_text_and_hold_allowed_labels(filled: tuple[Form, dict]) -> None:
    form, values = filled
    segments = form.segments(values)
    assert "".join(segment.text for segment in segments) == form.render(values)
    for segment in segments:
        assert bool(segment.blank) == (segment.role != "literal")
        assert not segment.labels or segment.text in segment.labels


@given(filled_forms(), st.randoms(use_true_random=False))
def test_any_allowed_answers_to_a_walk_give_a_valid_reply(filled: tuple[Form, dict], random: Random) -> None:
    form, _ = filled
    walk, text = form.walk(), ""
    piece = next(walk)
    with pytest.raises(StopIteration):
        while True:
            match piece:
                case Literal():
                    answer, text = "", text + piece.text
                case Text():
                    answer = "word"[: piece.max_chars]
                    text += answer + '"'
                case _:
                    answer = random.choice(piece.labels)
                    text += answer
            piece = walk.send(answer)
    jsonschema.validate(form.parse(text), form.json_schema())


def test_the_text_is_segmented_at_the_decisions_of_the_model() -> None:
    """Training and decoding rely on these segments; another segmentation would break trained checkpoints."""
    assert [segment.text for segment in FORM.segments(example_values())] == [
        '{"elements":{"red circle":', "true", ',"two cats":', "false", '},"degradation":"', "blur",
        '","defects":[', "{", '"kind":"', "smeared", '","box":[', "120", ",", "340", ",", "400", ",", "560",
        '],"severity":"', "moderate", '","explanation":"', "the red circle is smeared", '"', "}", "]",
        ',"alignment":', "4", ',"structure":', "3", ',"score":', "4", ',"explanation":"',
        "one of two elements is there; smeared", '"', "}",
    ]  # fmt: skip


def test_blanks_are_named_by_their_path() -> None:
    segments = FORM.segments(example_values())
    assert list(dict.fromkeys(segment.blank for segment in segments if segment.blank)) == [
        "elements.0", "elements.1", "attributes.degradation", "defects.0.open", "defects.0.kind",
        "defects.0.box.x1", "defects.0.box.y1", "defects.0.box.x2", "defects.0.box.y2", "defects.0.severity",
        "defects.0.explanation", "defects.1.open", "dimensions.alignment", "dimensions.structure", "score",
        "explanation",
    ]  # fmt: skip


def test_branches_stand_only_where_the_length_of_a_list_is_open() -> None:
    item = Object((("kind", Choice("kind", ("a", "b"), quoted=True)),))
    form = Form(Object((("list", Repeat("list", item, 1, 2)),)))
    roles = [segment.role for segment in form.segments({"list": [{"kind": "a"}, {"kind": "b"}]})]
    assert roles.count("branch") == 1, "the first item is required and the list closes after the second"
    with pytest.raises(ReplyError, match="0 items, allowed are 1 to 2"):
        form.render({"list": []})


def test_the_labels_of_branches_are_reported_as_open_and_close() -> None:
    branch = Branch("defects.1.open", ",{")
    assert branch.labels == (",{", "]")
    assert branch.reported_labels == ("open", "close")


def test_a_box_can_only_be_filled_with_corners_in_order() -> None:
    form = Form(Object((("box", Box("box", grid=250)),)))
    walk, labels, piece = form.walk(), {}, None
    with pytest.raises(StopIteration):
        piece = next(walk)
        while True:
            if isinstance(piece, Choice):
                labels[piece.name] = piece.labels
            piece = walk.send("" if isinstance(piece, Literal) else piece.labels[1])
    assert labels == {
        "box.x1": ("0", "250", "500", "750"),
        "box.y1": ("0", "250", "500", "750"),
        "box.x2": ("500", "750", "1000"),
        "box.y2": ("500", "750", "1000"),
    }


# -- Parsing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("score"), "'score' is missing"),
        (lambda v: v["elements"].pop("two cats"), "elements: 'two cats' is missing"),
        (lambda v: v["elements"].update({"a dog": True}), "'a dog' is not a member of the form"),
        (lambda v: v.update(score=6), "score: 6 is not one of 1, 2, 3, 4, 5"),
        (lambda v: v.update(score="4"), "score: '4' is not one of"),
        (lambda v: v.update(score=4.0), r"score: 4.0 is not one of"),
        (lambda v: v.update(score=float("nan")), "score: nan is not one of"),
        (lambda v: v["elements"].update({"two cats": 1}), "elements.two cats: 1 is not one of true, false"),
        (lambda v: v.update(degradation="fog"), "degradation: 'fog' is not one of none, blur"),
        (lambda v: v["defects"][0].update(box=[400, 340, 120, 560]), "not x1 < x2"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10, 1001]), "is outside 0..1000"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10]), "not four integers"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10, True]), "not four integers"),
        (lambda v: v.update(defects=v["defects"] * 4), "4 items, allowed are 0 to 3"),
        (lambda v: v.update(defects={}), "defects: {} is not a list"),
        (lambda v: v.update(defects=["smeared"]), "defects.0: 'smeared' is not an object"),
        (lambda v: v.update(explanation=None), "explanation: None is not text"),
    ],
)
def test_a_reply_that_does_not_fit_the_form_is_an_error_with_the_path(
    change: Callable[[dict], object], message: str
) -> None:
    reply = example_values()
    change(reply)
    with pytest.raises(ReplyError, match=message):
        FORM.parse(json.dumps(reply))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("Here you are: {}", "not JSON"),
        ("[]", r"reply: \[\] is not an object"),
        ('{"score":1,"score":5}', "'score' is given twice"),
        ("[" * 100_000, "not JSON|nested too deeply"),
        ('{"score":' + "9" * 5000 + "}", "not JSON"),
        (canonical_json(example_values()).replace("one of", "\\ud800"), "half a character"),
    ],
)
def test_a_hostile_reply_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ReplyError, match=message):
        FORM.parse(text)


def test_replies_may_reorder_members_use_any_integers_in_boxes_and_write_long_texts() -> None:
    reply = example_values()
    reply["defects"][0]["box"] = [1, 2, 3, 999]
    reply["explanation"] = "x" * 500
    parsed = FORM.parse(json.dumps(dict(reversed(reply.items())), indent=2))
    assert list(parsed) == list(example_values())
    assert parsed["defects"][0]["box"] == [1, 2, 3, 999]
    assert parsed["explanation"] == "x" * DEFAULT.explanation


def test_boxes_of_training_targets_must_be_on_the_grid() -> None:
    target = example_values()
    target["defects"][0]["box"] = [1, 2, 3, 999]
    with pytest.raises(ReplyError, match=r"defects.0.box.x1: '1' is not one of"):
        FORM.render(target)


# -- Depths, schemas and keys ----------------------------------------------------------------------------


def test_the_form_of_score_depth_has_choices_only() -> None:
    form = FORM.at_depth("score")
    assert {type(part) for part in form.parts} == {Literal, Choice}
    assert list(form.json_schema()["properties"]) == [
        "elements", "degradation", "alignment", "structure", "score",
    ]  # fmt: skip
    assert FORM.at_depth("verdict") is FORM


def test_schemas_use_only_keywords_that_servers_support() -> None:
    text = json.dumps(FORM.json_schema())
    assert not any(
        word in text for word in ("multipleOf", "uniqueItems", "pattern", "allOf", "anyOf", "$ref")
    )
    assert FORM.json_schema()["properties"]["defects"]["items"]["properties"]["box"] == {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 1000},
        "minItems": 4,
        "maxItems": 4,
    }


def test_names_of_elements_may_be_any_text() -> None:
    names = ['a "quoted" sign', "back\\slash", "猫 <|im_end|>", "{{ prompt }}", "line\nbreak"]
    form = DEFAULT.form(names, 0)
    values = {**example_values(), "elements": dict.fromkeys(names, True), "defects": []}
    assert form.parse(form.render(values)) == values


def test_duplicate_keys_of_an_object_are_an_error() -> None:
    node = Choice("a", ("1", "2"))
    with pytest.raises(RubricError, match="'a'"):
        Object((("a", node), ("a", node)))
