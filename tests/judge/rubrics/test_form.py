"""One form serves training, schemas, decoding and parsing; these tests keep the four from drifting apart."""

from __future__ import annotations

import json
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.errors import ReplyError, RubricError
from judge.rubrics.form import Box, Branch, Choice, Form, Literal, Object, Repeat, Text, dumps
from judge.rubrics.rubric import Rubric

DEFAULT = Rubric.load("default")
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NUMBER = st.integers(1, 5)


@st.composite
def boxes(draw: st.DrawFn) -> list[int]:
    x1, y1 = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    return [10 * n for n in (x1, y1, draw(st.integers(x1 + 1, 100)), draw(st.integers(y1 + 1, 100)))]


@st.composite
def filled(draw: st.DrawFn) -> tuple[Form, dict]:
    """A form of the default rubric, 0..12 elements and 0..6 defects allowed, and values that fill it."""
    elements = draw(st.lists(PRINTABLE.filter(str.strip), max_size=12, unique=True))
    most = draw(st.integers(0, 6))
    kinds = [kind for group in DEFAULT.defects.kinds.values() for kind in group]
    parts = (st.sampled_from(kinds), boxes(), st.sampled_from(["negligible", "moderate", "critical"]), WORDS)
    members = ("kind", "box", "severity", "explanation")
    defect = st.tuples(*parts).map(lambda drawn: dict(zip(members, drawn, strict=True)))
    values = {"elements": {name: draw(st.booleans()) for name in elements}} if elements else {}
    values |= {
        "degradation": draw(st.sampled_from(DEFAULT.attributes[0].labels)),
        "defects": draw(st.lists(defect, max_size=most)),
        "alignment": draw(NUMBER),
        "structure": draw(NUMBER),
        "score": draw(NUMBER),
        "explanation": draw(WORDS),
    }
    return DEFAULT.form(elements, most), values


def values() -> dict:
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


FORM = DEFAULT.form(["red circle", "two cats"])


@given(filled())
def test_rendered_values_are_canonical_json_and_parse_back(case: tuple[Form, dict]) -> None:
    form, given_values = case
    text = form.render(given_values)
    assert text == dumps(given_values)
    assert form.parse(text) == given_values


@given(filled())
def test_every_rendered_text_satisfies_the_schema_that_servers_get(case: tuple[Form, dict]) -> None:
    form, given_values = case
    jsonschema.validate(json.loads(form.render(given_values)), form.json_schema())


@given(filled())
def test_segments_join_to_the_text_and_answer_blanks_from_their_menus(case: tuple[Form, dict]) -> None:
    form, given_values = case
    segments = form.segments(given_values)
    assert "".join(segment.text for segment in segments) == form.render(given_values)
    for segment in segments:
        assert bool(segment.blank) == (segment.role != "literal")
        assert not segment.labels or segment.text in segment.labels


@given(filled(), st.randoms(use_true_random=False))
def test_whoever_answers_the_walk_from_its_menus_cannot_write_a_bad_reply(
    case: tuple[Form, dict], random: Random
) -> None:
    form, _ = case
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


def test_the_text_is_cut_where_a_model_decides_something() -> None:
    """Training weighs and decoding reads by these cuts; moving one silently breaks a trained checkpoint."""
    assert [segment.text for segment in FORM.segments(values())] == [
        '{"elements":{"red circle":', "true", ',"two cats":', "false", '},"degradation":"', "blur",
        '","defects":[', "{", '"kind":"', "smeared", '","box":[', "120", ",", "340", ",", "400", ",", "560",
        '],"severity":"', "moderate", '","explanation":"', "the red circle is smeared", '"', "}", "]",
        ',"alignment":', "4", ',"structure":', "3", ',"score":', "4", ',"explanation":"',
        "one of two elements is there; smeared", '"', "}",
    ]  # fmt: skip


def test_blanks_are_named_by_their_path() -> None:
    blanks = dict.fromkeys(segment.blank for segment in FORM.segments(values()) if segment.blank)
    assert list(blanks) == [
        "elements.0", "elements.1", "attributes.degradation", "defects.0.open", "defects.0.kind",
        "defects.0.box.x1", "defects.0.box.y1", "defects.0.box.x2", "defects.0.box.y2", "defects.0.severity",
        "defects.0.explanation", "defects.1.open", "dimensions.alignment", "dimensions.structure", "score",
        "explanation",
    ]  # fmt: skip


def test_a_full_list_closes_itself_and_a_short_one_opens_itself() -> None:
    item = Object((("kind", Choice("kind", ("a", "b"), quoted=True)),))
    form = Form(Object((("list", Repeat("list", item, 1, 2)),)))
    roles = [segment.role for segment in form.segments({"list": [{"kind": "a"}, {"kind": "b"}]})]
    assert roles.count("branch") == 1, "only whether the second item comes is open"
    with pytest.raises(ReplyError, match="0 items, allowed are 1 to 2"):
        form.render({"list": []})


def test_branches_are_reported_as_open_and_close() -> None:
    assert Branch("defects.1.open", ",{").labels == (",{", "]")
    assert Branch("defects.1.open", ",{").reported == ("open", "close")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("score"), "'score' is missing"),
        (lambda v: v["elements"].pop("two cats"), "elements: 'two cats' is missing"),
        (lambda v: v["elements"].update({"a dog": True}), "'a dog' was not asked for"),
        (lambda v: v.update(score=6), "score: 6 is none of 1, 2, 3, 4, 5"),
        (lambda v: v.update(score="4"), "score: '4' is none of"),
        (lambda v: v.update(score=4.0), r"score: 4.0 is none of"),
        (lambda v: v.update(score=float("nan")), "score: nan is none of"),
        (lambda v: v["elements"].update({"two cats": 1}), "elements.two cats: 1 is none of true, false"),
        (lambda v: v.update(degradation="fog"), "degradation: 'fog' is none of none, blur"),
        (lambda v: v["defects"][0].update(box=[400, 340, 120, 560]), "not x1 < x2"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10, 1001]), "leaves 0..1000"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10]), "not four integers"),
        (lambda v: v["defects"][0].update(box=[0, 0, 10, True]), "not four integers"),
        (lambda v: v.update(defects=v["defects"] * 4), "4 items, allowed are 0 to 3"),
        (lambda v: v.update(defects={}), "defects: {} is not a list"),
        (lambda v: v.update(defects=["smeared"]), "defects.0: 'smeared' is not an object"),
        (lambda v: v.update(explanation=None), "explanation: None is not text"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused_with_the_place_and_the_reason(change, message: str) -> None:
    reply = values()
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
        ("[" * 100_000, "not JSON|nested too deep"),
        ('{"score":' + "9" * 5000 + "}", "not JSON"),
        (dumps(values()).replace("one of", "\\ud800"), "half a character"),
    ],
)
def test_hostile_replies_are_refused(text: str, message: str) -> None:
    with pytest.raises(ReplyError, match=message):
        FORM.parse(text)


def test_replies_may_reorder_members_use_any_whole_box_and_write_too_much() -> None:
    reply = values()
    reply["defects"][0]["box"] = [1, 2, 3, 999]
    reply["explanation"] = "x" * 500
    parsed = FORM.parse(json.dumps(dict(reversed(reply.items())), indent=2))
    assert list(parsed) == list(values())
    assert parsed["defects"][0]["box"] == [1, 2, 3, 999]
    assert parsed["explanation"] == "x" * DEFAULT.explanation


def test_training_targets_must_lie_on_the_grid() -> None:
    target = values()
    target["defects"][0]["box"] = [1, 2, 3, 999]
    with pytest.raises(ReplyError, match=r"defects.0.box.x1: '1' is none of"):
        FORM.render(target)


def test_a_box_can_only_be_filled_with_corners_in_order() -> None:
    form = Form(Object((("box", Box("box", grid=250)),)))
    walk, menus, piece = form.walk(), {}, None
    with pytest.raises(StopIteration):
        piece = next(walk)
        while True:
            if isinstance(piece, Choice):
                menus[piece.name] = piece.labels
            piece = walk.send("" if isinstance(piece, Literal) else piece.labels[1])
    assert menus == {
        "box.x1": ("0", "250", "500", "750"),
        "box.y1": ("0", "250", "500", "750"),
        "box.x2": ("500", "750", "1000"),
        "box.y2": ("500", "750", "1000"),
    }


def test_score_depth_keeps_choices_only() -> None:
    form = FORM.at_depth("score")
    assert {type(part) for part in form.parts} == {Literal, Choice}
    assert list(form.json_schema()["properties"]) == [
        "elements", "degradation", "alignment", "structure", "score",
    ]  # fmt: skip
    assert FORM.at_depth("verdict") is FORM


def test_schemas_avoid_what_servers_do_not_support() -> None:
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


def test_element_names_hold_any_text() -> None:
    names = ['a "quoted" sign', "back\\slash", "猫 <|im_end|>", "{{ prompt }}", "line\nbreak"]
    form = DEFAULT.form(names, 0)
    answers = {**values(), "elements": dict.fromkeys(names, True), "defects": []}
    assert form.parse(form.render(answers)) == answers


def test_keys_given_twice_are_an_error_of_the_rubric() -> None:
    node = Choice("a", ("1", "2"))
    with pytest.raises(RubricError, match="'a'"):
        Object((("a", node), ("a", node)))
