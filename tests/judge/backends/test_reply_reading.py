"""Replies that no grammar held to the form: read where there is one meaning, with a note, or missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    FORM,
    TOKENS,
    ModelServer,
    build_request,
    completion,
    connect,
    plain_image,
    single_reply,
)

from judge.backends.openai.reply_reading import ReadReply, read_reply
from judge.errors import ReplyError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.types import Depth, Verdict

Serve = Callable[..., ModelServer]
RUBRIC = Rubric.load("default")
FULL = RUBRIC.form(["red circle", "blue hat"])
VALUES: dict[str, Any] = {
    "elements": {"red circle": True, "blue hat": False},
    "degradation": "low contrast",
    "defects": [
        {"kind": "fused", "box": [100, 100, 200, 200], "severity": "moderate", "explanation": "two as one"},
        {
            "kind": "missing part",
            "box": [500, 500, 600, 700],
            "severity": "critical",
            "explanation": "no arm",
        },
    ],
    "alignment": 5,
    "structure": 4,
    "score": 4,
    "explanation": "It's fine, mostly.",
}
TEXT = json.dumps(VALUES)


def changed(**members: Any) -> dict[str, Any]:
    return {**VALUES, **members}


def with_defect(**members: Any) -> dict[str, Any]:
    first, second = VALUES["defects"]
    return changed(defects=[{**first, **members}, second])


def read(reply: Any) -> ReadReply:
    return read_reply(FULL, reply if isinstance(reply, str) else json.dumps(reply))


WRAPPED = {
    "a fence": f"```json\n{TEXT}\n```",
    "a fence without a language": f"Here you are:\n\n```\n{json.dumps(VALUES, indent=2)}\n```\nDone.",
    "words": f"Sure! I looked at {{all}} of it. {TEXT} Hope that's useful {{:)}}",
    "a byte order mark": f"\ufeff{TEXT}",
    "a list of one": f"[{TEXT}]",
    "an outer member": json.dumps({"verdict": VALUES}),
    "a JSON string": json.dumps(TEXT),
    "trailing commas": TEXT.replace("}", ",}").replace("]", " , ]"),
    "single quotes": repr(VALUES),
    "Python's names": TEXT.replace("true", "True").replace("false", "False"),
    "no-break spaces": TEXT.replace(": ", ":\u00a0").replace(", ", ",\u202f"),
    "new lines in a text": TEXT.replace("It's fine, ", "It's fine,\n"),
    "a draft before": f'{{"score": 1}} {json.dumps(changed(score=2))} Wait. {TEXT}',
    "a draft after": f'{TEXT} For example, {{"score": 5}} would be too much.',
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_stands_around_or_in_the_json_is_no_matter(name: str) -> None:
    found = read(WRAPPED[name])
    values = FULL.parse(found.text)
    assert {**values, "explanation": " ".join(values["explanation"].split())} == VALUES
    assert found.missing == {}
    has_note = name in (
        "trailing commas",
        "single quotes",
        "Python's names",
        "no-break spaces",
        "new lines in a text",
    )
    assert any("almost JSON" in note for note in found.notes) is has_note
    assert any("JSON objects" in note for note in found.notes) is name.startswith("a draft")


def test_a_reply_that_fits_is_left_as_it_is() -> None:
    assert read(VALUES) == ReadReply(json.dumps(VALUES))


NO_ANSWERS = [
    "I cannot judge this picture.",
    "",
    "{",
    "{}",
    "[]",
    "null",
    '{"a": 1}',
    TEXT[:-40],
    TEXT[:60],
    TEXT.replace('"score": 4', '"score": 4, "score": 2'),
    "{" * 50_000,
    "[" * 50_000,
    '{"a":' * 5000 + "}" * 5000,
    "{'score': 4, 'explanation': 'It's fine'}",
    '{"score": 9}',
    json.dumps({"elements": 4, "score": "bad"}),
    "{'score': __import__('os').system('true')}",
]


@pytest.mark.parametrize("text", NO_ANSWERS, ids=lambda text: text[:20])
def test_what_is_no_answer_is_one_line_error(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read(text)
    assert str(caught.value).startswith("reply: ") and "\n" not in str(caught.value)


MENDED: dict[str, tuple[Any, dict[str, Any]]] = {
    "a number as text": (changed(score="4"), VALUES),
    "a number with a point": (changed(score=4.0, alignment=5.0), VALUES),
    "a share": (changed(score="4/5", alignment="5 / 5", structure="4 out of 5"), VALUES),
    "spaces": (changed(score=" 4 "), VALUES),
    "truth in other words": (changed(elements={"red circle": "True", "blue hat": "no"}), VALUES),
    "truth as a number": (changed(elements={"red circle": 1, "blue hat": 0}), VALUES),
    "a label in another case": (changed(degradation="Low Contrast"), VALUES),
    "a label with other spaces": (changed(degradation=" low_contrast. "), VALUES),
    "keys in another case": ({key.title(): value for key, value in VALUES.items()}, VALUES),
    "an element in another case": (changed(elements={"Red circle": True, "blue-hat": False}), VALUES),
    "more members": ({"thought": "hm", **VALUES, "confidence": 0.9}, VALUES),
    "corners out of order": (with_defect(box=[200, 200, 100, 100]), VALUES),
    "corners as text": (with_defect(box=["100", "100.0", "200", "200"]), VALUES),
    "corners with names": (with_defect(box={"x1": 100, "y1": 100, "x2": 200, "y2": 200}), VALUES),
    "corners with other names": (
        with_defect(box={"xmin": 100, "ymin": 100, "xmax": 200, "ymax": 200}),
        VALUES,
    ),
    "pairs of corners": (with_defect(box=[[100, 100], [200, 200]]), VALUES),
    "a corner a little outside": (with_defect(box=[-5, 0, 200, 1012]), with_defect(box=[0, 0, 200, 1000])),
    "an explanation left out": (
        {k: v for k, v in VALUES.items() if k != "explanation"},
        changed(explanation=""),
    ),
    "an explanation as a list": (changed(explanation=["It's fine,", "mostly."]), VALUES),
    "no list of defects": (changed(defects="None"), changed(defects=[])),
    "a null": (changed(defects=None), changed(defects=[])),
    "one defect without a list": (
        changed(defects=VALUES["defects"][0]),
        changed(defects=VALUES["defects"][:1]),
    ),
    "too many defects": (
        changed(defects=[VALUES["defects"][0]] * 5),
        changed(defects=[VALUES["defects"][0]] * RUBRIC.defects.max),
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_a_value_with_one_meaning_is_mended_with_a_note(name: str) -> None:
    reply, expected = MENDED[name]
    found = read(reply)
    assert FULL.parse(found.text) == expected
    assert not found.missing
    assert found.notes or name == "an explanation as a list"


BAD_BOXES = [
    [100, 100, 200],
    [100, 100, 200, 200, 1],
    [10, 10, 10, 90],
    [0, 0, 1920, 1080],
    [-300, 0, 200, 200],
    None,
    "left",
    ["a", 1, 2, 3],
    [0.1, 0.1, 0.5, 0.5],
    [],
    {},
    [1e999, 0, 1, 1],
    [True, 0, 10, 10],
    7,
]


@pytest.mark.parametrize("box", BAD_BOXES, ids=repr)
def test_a_defect_without_a_usable_box_is_left_out_and_the_others_stay(box: Any) -> None:
    found = read(with_defect(box=box))
    assert FULL.parse(found.text) == changed(defects=VALUES["defects"][1:])
    assert any("defects.0.box" in note and "left out" in note for note in found.notes)


@pytest.mark.parametrize(
    "members", [{"kind": "ugly"}, {"severity": None}, {"severity": 3}, {"kind": ["fused"]}]
)
def test_a_defect_of_no_kind_or_severity_is_left_out(members: dict[str, Any]) -> None:
    found = read(with_defect(**members))
    assert FULL.parse(found.text)["defects"] == VALUES["defects"][1:] and found.notes


def test_probabilities_follow_the_defects_that_are_kept() -> None:
    found = read(with_defect(box=None))
    numbers = {
        f"defects.{n}.{name}": {"a": float(n)} for n in range(3) for name in ("open", "kind", "box.x1")
    }
    kept = found.rename({**numbers, "score": {"4": 1.0}})
    assert kept == {
        "score": {"4": 1.0},
        **{f"defects.0.{name}": {"a": 1.0} for name in ("open", "kind", "box.x1")},
        **{f"defects.1.{name}": {"a": 2.0} for name in ("open", "kind", "box.x1")},
    }
    assert "defects.0.box.x1" not in read(with_defect(box=["100", 100, 200, 200])).rename(numbers)


@pytest.mark.parametrize(
    ("members", "blank"),
    [
        ({"score": 7}, "score"),
        ({"score": "8/10"}, "score"),
        ({"score": 4.5}, "score"),
        ({"score": True}, "score"),
        ({"score": "good"}, "score"),
        ({"degradation": "grainy"}, "attributes.degradation"),
        ({"degradation": None}, "attributes.degradation"),
        ({"structure": [4]}, "dimensions.structure"),
        ({"elements": {"red circle": True}}, "elements.1"),
        ({"elements": {"red circle": True, "blue hat": "maybe"}}, "elements.1"),
        ({"defects": "many"}, "defects"),
    ],
)
def test_an_answer_that_is_not_in_the_form_is_missing(members: dict[str, Any], blank: str) -> None:
    found = read(changed(**members))
    assert list(found.missing) == [blank] and found.missing[blank]
    rest = FULL.without(found.missing).parse(found.text)
    assert rest["alignment"] == 5 and FULL.without([]) is FULL


# -- Verdicts -----------------------------------------------------------------------------------------------


def judge_replies(
    serve: Serve, replies: list[Any], depth: Depth = "verdict", **options: Any
) -> list[Verdict]:
    """Return the verdicts of a judge whose server gives these replies."""
    texts = iter(reply if isinstance(reply, str) else json.dumps(reply) for reply in replies)
    server = serve(lambda *_: (200, {}, completion([next(texts)], None)))
    judge = Judge(backend=connect(server, **options), rubric=RUBRIC)
    elements = ["red circle", "blue hat"]
    return [judge(plain_image(side=100), prompt="x", elements=elements, depth=depth) for _ in replies]


def test_a_reply_that_can_be_read_gives_its_score(serve: Serve) -> None:
    replies = {**WRAPPED, **{name: reply for name, (reply, _) in MENDED.items()}}
    for name, verdict in zip(replies, judge_replies(serve, [*replies.values()]), strict=True):
        assert verdict.score == 4.0, (name, verdict.reason)


@pytest.mark.parametrize("boxes", ["relative", "pixels", "relative-yxyx"])
def test_a_bad_box_costs_its_defect_only(serve: Serve, boxes: str) -> None:
    reply = with_defect(box=[1, 2, 3])
    reply["defects"][1]["box"] = [50, 50, 60, 70]
    (verdict,) = judge_replies(serve, [reply], boxes=boxes)
    assert verdict.score == 4.0 and [defect.kind for defect in verdict.defects] == ["missing part"]
    assert any("defects.0.box" in note for note in verdict.provenance.notes)


def test_a_blank_without_an_answer_is_left_out_of_the_verdict_with_a_note(serve: Serve) -> None:
    reply = changed(degradation="grainy", structure="?", elements={"blue hat": True, "red circle": "perhaps"})
    (verdict,) = judge_replies(serve, [reply])
    assert verdict.score == 4.0
    assert verdict.attributes == {} and list(verdict.dimensions) == ["alignment"]
    assert [(element.name, element.present) for element in verdict.elements] == [("blue hat", True)]
    notes = [note for note in verdict.provenance.notes if note.startswith("no answer: ")]
    assert len(notes) == 3


def test_without_what_a_verdict_needs_it_is_unscored_with_the_blank(serve: Serve) -> None:
    broken = [{"score": 9}, {"score": "8/10"}, {"score": None}, {"defects": "several"}]
    verdicts = judge_replies(serve, [changed(**members) for members in broken])
    for members, verdict in zip(broken, verdicts, strict=True):
        assert verdict.status == "unscored" and verdict.score is None
        assert next(iter(members)) in verdict.reason


def test_a_score_by_rule_needs_all_that_the_rule_uses(serve: Serve) -> None:
    names = ("elements", "degradation", "alignment", "structure", "score")
    values: dict[str, Any] = {name: VALUES[name] for name in names}
    broken = [{"elements": {"red circle": True, "blue hat": "maybe"}}, {"structure": 6}]
    for verdict in judge_replies(serve, [{**values, **members} for members in broken], depth="score"):
        assert verdict.status == "unscored" and "the score depends on it" in verdict.reason
    (verdict,) = judge_replies(serve, [{**values, "score": "?"}], depth="score")
    assert verdict.score is not None, "the rule does not use the written score"


def test_probabilities_are_read_in_a_fence_and_between_words(serve: Serve) -> None:
    for before, after in ((["```json", "\n"], ["\n```"]), (["Here", " it is", ": "], [" Fine?"])):
        tokens = [*before, *TOKENS, *after]
        shifted = {index + len(before): others for index, others in ALTERNATIVES.items()}
        server = serve(lambda *_, t=tokens, s=shifted: (200, {}, completion(t, s)))
        reply = single_reply(connect(server).complete([build_request()]))
        assert reply.text == FORM.render(FORM.parse("".join(TOKENS)))
        assert reply.probabilities["elements.0"] == pytest.approx({"true": 7 / 9, "false": 2 / 9})
        assert reply.probabilities["score"]["4"] == pytest.approx(0.5)


# -- Replies that are none ----------------------------------------------------------------------------------


def message(content: Any, **choice: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop", **choice}]
    }


NONE_AT_ALL: dict[str, dict[str, Any]] = {
    "not finished": message(TEXT[:50], finish_reason="length"),
    "not finished after": message(TEXT[:50], finish_reason="MAX_TOKENS"),
    "reply: not finished": message(f"```json\n{TEXT[:50]}", finish_reason="model_length"),
    "content filter": message("", finish_reason="content_filter"),
    "filter (finish_reason safety)": message(None, finish_reason="SAFETY"),
    "refused (I will not)": {"choices": [{"message": {"content": "", "refusal": "I will not"}}]},
    "it has no choices": {"choices": [], "usage": {}},
    "an error in an answer of HTTP 200 (Provider is down)": {
        "error": {"message": "Provider is down", "code": 502}
    },
    "reported an error (upstream)": message(None, error={"message": "upstream", "code": 500}),
    "finish_reason error": message("", finish_reason="error"),
    "empty": message(""),
}


@pytest.mark.parametrize("reason", NONE_AT_ALL)
def test_a_reply_that_is_none_says_why(serve: Serve, reason: str) -> None:
    server = serve(lambda *_: (200, {}, NONE_AT_ALL[reason]))
    (reply,) = connect(server).complete([build_request()])
    assert isinstance(reply, ReplyError) and reason in str(reply)
    assert "\n" not in str(reply) and len(server.chats) == 1


@pytest.mark.parametrize(
    "body",
    [
        message([{"type": "text", "text": f"```json\n{''.join(TOKENS)}"}, {"type": "text", "text": "\n```"}]),
        message([{"type": "thinking", "thinking": "hm {"}, {"type": "text", "text": "".join(TOKENS)}]),
        message(f"<think>Is it {{4}} or 5?</think>\nSo: {''.join(TOKENS)}"),
        {
            "choices": [
                {"message": {"content": f"Fine. {''.join(TOKENS)}", "reasoning_content": '{"score": 1}'}}
            ]
        },
        {"choices": [{"message": {"content": None, "reasoning": "".join(TOKENS)}}]},
    ],
)
def test_parts_thoughts_and_words_around_an_answer_are_read_together(
    serve: Serve, body: dict[str, Any]
) -> None:
    reply = single_reply(connect(serve(lambda *_: (200, {}, body))).complete([build_request()]))
    assert FORM.parse(reply.text) == FORM.parse("".join(TOKENS))
