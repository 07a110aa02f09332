"""From tokens and their alternatives to label probabilities, whatever tokens the text is cut into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.backends.decoding import logprobs
from judge.errors import ReplyError
from judge.rubrics.form import Box, Branch, Choice, Form, Literal, Object, Repeat, Text
from judge.rubrics.rubric import SCALE, Rubric

ELEMENTS = Object((("a cat", Choice("elements.0", ("true", "false"))),))
SMALL = Form(Object((("elements", ELEMENTS), ("score", Choice("score", SCALE)))))


def shares(told: dict[str, float]) -> dict[bytes, float]:
    return {key.encode(): math.log(share) if share else -math.inf for key, share in told.items()}


def read(form: Form, cut: Sequence[str], told: dict[int, dict[str, float]]) -> tuple[dict, bool]:
    """Read a reply cut into tokens; `told`: number of a token -> alternatives and their probabilities."""
    return logprobs.read(form, [token.encode() for token in cut], lambda number: shares(told.get(number, {})))


def test_labels_that_are_tokens_of_their_own_get_their_shares() -> None:
    cut = ['{"elements":{"a cat":', "true", '},"score":', "4", "}"]
    told = {1: {"true": 0.6, "false": 0.3, "maybe": 0.1}, 3: {"4": 0.5, "5": 0.25, "1": 0.25}}
    report, exact = read(SMALL, cut, told)
    assert report["elements.0"] == pytest.approx({"true": 2 / 3, "false": 1 / 3})
    assert report["score"] == pytest.approx({"1": 0.25, "2": 0, "3": 0, "4": 0.5, "5": 0.25})
    assert exact


def test_a_token_that_reaches_from_a_literal_into_a_blank_counts_with_what_stands_before_it() -> None:
    cut = ['{"elements":{"a cat', '":true', '},"score', '":4}']
    told = {1: {'":true': 0.6, '":false': 0.2, "true": 0.2}, 3: {'":4}': 0.7, '":5': 0.1, '":': 0.2}}
    report, _ = read(SMALL, cut, told)
    assert report["elements.0"] == pytest.approx({"true": 0.75, "false": 0.25})
    assert "score" not in report, "a token that leaves the label open holds a fifth of the probability"
    told[3] = {'":4}': 0.75, '":5': 0.25, '":6': 0.9}
    report, _ = read(SMALL, cut, told)
    assert report["score"] == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.75, "5": 0.25})


def test_merged_brackets_open_and_close_a_list() -> None:
    item = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)),))
    form = Form(Object((("defects", Repeat("defects", item, 0, 3)), ("score", Choice("score", SCALE)))))
    cut = [
        '{"defects":',
        '[{"',
        "kind",
        '":"',
        "cut",
        '"},{"',
        "kind",
        '":"',
        "fused",
        '"}],"',
        'score":',
        "2}",
    ]
    told = {
        1: {'[{"': 0.8, '[],"': 0.2},
        5: {'"},{"': 0.9, '"}],"': 0.1},
        9: {'"},{"': 0.25, '"}],"': 0.5, '"}]': 0.25},
        11: {"2}": 0.5, "1": 0.5},
    }
    report, _ = read(form, cut, told)
    assert report["defects.0.open"] == pytest.approx({"open": 0.8, "close": 0.2})
    assert report["defects.1.open"] == pytest.approx({"open": 0.9, "close": 0.1})
    assert report["defects.2.open"] == pytest.approx({"open": 0.25, "close": 0.75})
    assert report["score"]["2"] == pytest.approx(0.5)


def test_labels_that_begin_alike_are_settled_by_the_tokens_that_follow() -> None:
    kinds = ("missing part", "missing object", "fused")
    form = Form(Object((("kind", Choice("kind", kinds, quoted=True)),)))
    cut = ['{"kind":"', "missing", " object", '"}']
    told = {1: {"missing": 0.8, "fused": 0.2}, 2: {" object": 0.75, " part": 0.25}}
    report, exact = read(form, cut, told)
    assert report["kind"] == pytest.approx({"missing part": 0.2, "missing object": 0.6, "fused": 0.2})
    assert exact


def test_a_group_of_labels_that_the_reply_did_not_follow_leaves_its_blank_out() -> None:
    kinds = ("missing part", "missing object", "fused")
    form = Form(Object((("kind", Choice("kind", kinds, quoted=True)),)))
    report, _ = read(form, ['{"kind":"', "fused", '"}'], {1: {"missing": 0.2, "fused": 0.8}})
    assert report == {}
    report, _ = read(form, ['{"kind":"', "fused", '"}'], {1: {"missing": 0.004, "fused": 0.996}})
    assert report["kind"] == pytest.approx({"missing part": 0, "missing object": 0, "fused": 1})


NUMBERS = Form(Object((("n", Choice("n", ("1", "10", "100", "1000"))),)))


def test_numbers_spelled_digit_by_digit_are_told_apart_by_where_they_end() -> None:
    cut = ['{"n":', "1", "0", "}"]
    told = {1: {"1": 0.9, "7": 0.1}, 2: {"0": 0.6, "}": 0.4}, 3: {"}": 0.996, "0": 0.004}}
    report, _ = read(NUMBERS, cut, told)
    assert report["n"] == pytest.approx({"1": 0.4, "10": 0.6, "100": 0, "1000": 0}, abs=0.005)


def test_a_number_that_is_a_token_is_not_the_beginning_of_another_that_is_one() -> None:
    told = {1: {"1": 0.4, "10": 0.3, "100": 0.2, "1000": 0.1}}
    report, exact = read(NUMBERS, ['{"n":', "10", "}"], told)
    assert report["n"] == pytest.approx({"1": 0.4, "10": 0.3, "100": 0.2, "1000": 0.1})
    assert exact


BOX = Form(Object((("box", Box("box", grid=100)), ("score", Choice("score", SCALE)))))


def corners(text: str) -> list[str]:
    """A reply with each number a token."""
    head, numbers = text.split("[")
    numbers, tail = numbers.split("]")
    cut = [head + "["]
    for index, number in enumerate(numbers.split(",")):
        cut += [","] * (index > 0) + [number]
    return [*cut, tail[:-2] and "]" + tail[:-2], tail[-2], "}"]


def test_corners_get_shares_among_the_labels_that_the_box_leaves_them() -> None:
    cut = corners('{"box":[300,0,500,100],"score":3}')
    four = {"300": 0.25, "0": 0.25, "500": 0.25, "100": 0.25, "1000": 0}
    told = {n: four for n in (1, 3, 5, 7)}
    report, exact = read(BOX, cut, {**told, 9: {"3": 1.0}})
    assert report["box.x1"]["300"] == pytest.approx(0.25)
    assert report["box.x2"] == pytest.approx(
        {"400": 0, "500": 1, "600": 0, "700": 0, "800": 0, "900": 0, "1000": 0}
    )
    assert report["score"]["3"] == 1
    assert exact


def test_labels_missing_from_a_short_list_of_alternatives_make_the_numbers_estimates() -> None:
    cut = ['{"elements":{"a cat":', "true", '},"score":', "4", "}"]
    told = {1: {"true": 0.6, "false": 0.3}, 3: {"4": 0.5, "5": 0.25}}
    assert not read(SMALL, cut, told)[1]
    told[3] = {"4": 0.6995, "5": 0.3}
    assert read(SMALL, cut, told)[1], "what is missing has no room left"


def test_a_corner_off_the_grid_costs_its_own_report_only() -> None:
    cut = corners('{"box":[37,0,500,100],"score":3}')
    five = {"37": 0.2, "0": 0.25, "500": 0.25, "100": 0.25, "1000": 0.05}
    report, _ = read(BOX, cut, {**{n: five for n in (1, 3, 5, 7)}, 9: {"3": 1.0}})
    assert "box.x1" not in report
    assert {"box.y1", "box.y2", "score"} <= set(report)


def test_a_box_that_runs_backwards_is_found_with_the_answers_ahead_of_it() -> None:
    text = b'{"box":[300,0,200,100],"score":3}'
    trail = logprobs.follow(BOX, text)
    assert trail.stuck == text.index(b"200")
    assert trail.answers == ["300", "0"]
    assert [place.blank.name for place in trail.places] == ["box.x1", "box.y1", "box.y2", "score"]


def test_blank_space_between_members_is_passed_over() -> None:
    cut = ["{\n", ' "elements"', ":", ' {"a cat":', " true", " }", ',\n "score":', " ", "4", "}"]
    told = {4: {" true": 0.5, " false": 0.25, "\ttrue": 0.25}, 8: {"4": 1.0, "\n": 0.9}}
    report, _ = read(SMALL, cut, told)
    assert report["elements.0"] == pytest.approx({"true": 0.75, "false": 0.25})
    assert report["score"]["4"] == pytest.approx(1)


def test_blank_space_inside_strings_is_text() -> None:
    form = Form(Object((("kind", Choice("kind", ("low contrast", "lowcontrast"), quoted=True)),)))
    report, _ = read(
        form, ['{"kind":"', "low contrast", '"}'], {1: {"low contrast": 0.7, "lowcontrast": 0.3}}
    )
    assert report["kind"] == pytest.approx({"low contrast": 0.7, "lowcontrast": 0.3})


def test_text_with_quotes_and_brackets_in_it_is_passed_over() -> None:
    form = Form(Object((("note", Text("note", 90)), ("score", Choice("score", SCALE)))))
    cut = ['{"note":"', r"a \"5\", ]} \\", '","score":', "2", "}"]
    report, _ = read(form, cut, {3: {"2": 0.5, "1": 0.5}})
    assert report["score"]["2"] == 0.5


def test_a_reply_that_leaves_the_form_is_read_up_to_there() -> None:
    report, _ = read(SMALL, ['{"elements":{"a cat":', "true", '},"Score":', "4", "}"], {1: {"true": 1.0}})
    assert set(report) == {"elements.0"}
    assert read(SMALL, ["no JSON"], {0: {"no JSON": 1.0}}) == ({}, True)


def test_without_alternatives_there_is_no_report() -> None:
    assert read(SMALL, ['{"elements":{"a cat":true},"score":4}'], {}) == ({}, True)


def test_nan_is_an_unreadable_reply() -> None:
    with pytest.raises(ReplyError, match="NaN"):
        logprobs.read(SMALL, [b'{"elements":{"a cat":', b"true"], lambda number: {b"true": math.nan})


# -- Any form, any cut ----------------------------------------------------------------------------------

RUBRIC = Rubric.load("default")


def filled(form: Form, draw: st.DataObject) -> tuple[str, dict[str, dict[str, float]], list[tuple[int, str]]]:
    """A random reply, the probabilities behind it, and where each blank starts."""
    text, truth, places, walk = "", dict[str, dict[str, float]](), [], form.walk()
    piece = next(walk)
    while True:
        answer = ""
        if isinstance(piece, Literal):
            text += piece.text
        elif isinstance(piece, Text):
            answer = draw.draw(st.text("ab {}[]:,é猫", max_size=piece.max_chars))
            text += answer + '"'
        else:
            weights = draw.draw(
                st.lists(st.integers(1, 9), min_size=len(piece.labels), max_size=len(piece.labels))
            )
            told = {label: weight / sum(weights) for label, weight in zip(piece.labels, weights, strict=True)}
            answer = draw.draw(st.sampled_from(piece.labels))
            places.append((len(text.encode()), piece.name))
            truth[piece.name] = dict(zip(piece.reported, told.values(), strict=True))
            text += answer
        try:
            piece = walk.send(answer)
        except StopIteration:
            return text, truth, places


@settings(max_examples=60)
@given(st.data())
def test_any_cut_that_keeps_labels_whole_gives_the_probabilities_back(data: st.DataObject) -> None:
    """Tokens may begin anywhere in the literal before a label, and end anywhere behind it."""
    names = data.draw(st.lists(st.text('ab cé"\\,:{}', min_size=1, max_size=8), max_size=3, unique=True))
    form = RUBRIC.form([name for name in names if name.strip()], data.draw(st.integers(0, 3)))
    text, truth, places = filled(form, data)
    raw = text.encode()
    labels = {name: _labels(form, raw, name) for _, name in places}
    cuts = set(data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=60)))
    for start, name in places:
        length = len(labels[name][1])
        cuts -= set(range(start + 1, start + length))
    bounds = [0, *sorted(cuts), len(raw)]
    tokens = [raw[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    starts = [0, *accumulate(map(len, tokens))]
    told: dict[int, dict[bytes, float]] = {}
    deciding: dict[str, int] = {}
    for start, name in places:
        deciding[name] = number = max(n for n, at in enumerate(starts[:-1]) if at <= start)
        before = raw[starts[number] : start]
        if number in told:  # one token settles two blanks: its alternatives cannot tell of both
            told[number] = {}
            continue
        behind = tokens[number][len(before) + len(labels[name][1]) :]
        whole = {
            before + label + (behind if label == labels[name][1] else b""): share
            for label, share in zip(labels[name][0], truth[name].values(), strict=True)
        }
        told[number] = {other: math.log(share) for other, share in whole.items()}
    report, exact = logprobs.read(form, tokens, lambda number: told.get(number, {}))
    assert exact
    for name, found in report.items():
        assert found == pytest.approx(truth[name])
    assert set(report) == {name for name, number in deciding.items() if told[number]}


def _labels(form: Form, raw: bytes, name: str) -> tuple[list[bytes], bytes]:
    """All labels of a blank and the one that stands in the text."""
    trail = logprobs.follow(form, raw)
    (place,) = [place for place in trail.places if place.blank.name == name]
    assert isinstance(place.blank, Choice | Branch)
    labels = [label.encode() for label in place.blank.labels]
    written = max((label for label in labels if raw.startswith(label, place.start)), key=len)
    return labels, written


@given(st.binary(max_size=200), st.booleans())
def test_nothing_that_a_server_may_send_breaks_the_reader(noise: bytes, cut: bool) -> None:
    tokens = [noise[:50], noise[50:]] if cut else [noise]
    report, _ = logprobs.read(RUBRIC.form(["a cat"]), tokens, lambda number: {noise: -1.0, b"": -2.0})
    assert report == {}
