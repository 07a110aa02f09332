"""Label probabilities from tokens and their alternatives, for any way to split the text into tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.backends.decoding import logprobs
from judge.backends.decoding.reply_alignment import align_reply
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Branch, Choice, Literal, Object, Repeat, Text
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS

ELEMENTS = Object((("a cat", Choice("elements.0", ("true", "false"))),))
SMALL = Form(Object((("elements", ELEMENTS), ("score", Choice("score", SCORE_LABELS)))))


def log_probabilities(alternatives: dict[str, float]) -> dict[bytes, float]:
    return {token.encode(): math.log(p) if p else -math.inf for token, p in alternatives.items()}


def read(
    form: Form, tokens: Sequence[str], alternatives: dict[int, dict[str, float]]
) -> tuple[dict[str, dict[str, float]], bool]:
    """Read a reply.

    `alternatives` maps the index of a token to the possible tokens there and their probabilities.
    """
    return logprobs.read_probabilities(
        form,
        [token.encode() for token in tokens],
        lambda index: log_probabilities(alternatives.get(index, {})),
    )


def test_labels_that_are_single_tokens_get_their_probabilities() -> None:
    tokens = ['{"elements":{"a cat":', "true", '},"score":', "4", "}"]
    alternatives = {1: {"true": 0.6, "false": 0.3, "maybe": 0.1}, 3: {"4": 0.5, "5": 0.25, "1": 0.25}}
    report, exact = read(SMALL, tokens, alternatives)
    assert report["elements.0"] == pytest.approx({"true": 2 / 3, "false": 1 / 3})
    assert report["score"] == pytest.approx({"1": 0.25, "2": 0, "3": 0, "4": 0.5, "5": 0.25})
    assert exact


def test_a_token_may_begin_in_the_literal_before_a_label() -> None:
    tokens = ['{"elements":{"a cat', '":true', '},"score', '":4}']
    alternatives = {1: {'":true': 0.6, '":false': 0.2, "true": 0.2}, 3: {'":4}': 0.7, '":5': 0.1, '":': 0.2}}
    report, _ = read(SMALL, tokens, alternatives)
    assert report["elements.0"] == pytest.approx({"true": 0.75, "false": 0.25})
    assert "score" not in report, "a token that leaves the label open holds a fifth of the probability"
    alternatives[3] = {'":4}': 0.75, '":5': 0.25, '":6': 0.9}
    report, _ = read(SMALL, tokens, alternatives)
    assert report["score"] == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.75, "5": 0.25})


def test_merged_brackets_open_and_close_a_list() -> None:
    item = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)),))
    form = Form(
        Object((("defects", Repeat("defects", item, 0, 3)), ("score", Choice("score", SCORE_LABELS))))
    )
    tokens = [
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
    alternatives = {
        1: {'[{"': 0.8, '[],"': 0.2},
        5: {'"},{"': 0.9, '"}],"': 0.1},
        9: {'"},{"': 0.25, '"}],"': 0.5, '"}]': 0.25},
        11: {"2}": 0.5, "1": 0.5},
    }
    report, _ = read(form, tokens, alternatives)
    assert report["defects.0.open"] == pytest.approx({"open": 0.8, "close": 0.2})
    assert report["defects.1.open"] == pytest.approx({"open": 0.9, "close": 0.1})
    assert report["defects.2.open"] == pytest.approx({"open": 0.25, "close": 0.75})
    assert report["score"]["2"] == pytest.approx(0.5)


LIST_FORM = Form(
    Object(
        (
            ("defects", Repeat("defects", Object((("note", Text("note", 20)),)), 0, 3)),
            ("score", Choice("score", SCORE_LABELS)),
        )
    )
)


def test_a_new_line_after_a_bracket_opens_an_indented_list() -> None:
    tokens = ['{\n  "defects":', " [\n", "   ", ' {\n      "note": "', "cut", '."\n', "    }", ",\n"]
    tokens += ["    {\n", '      "note": "', "torn", '"\n   ', " }\n", "  ],\n", '  "score": ', "2", "\n}"]
    alternatives = {
        1: {" [\n": 0.6, " [],\n": 0.3, " []": 0.1},
        6: {"    }": 1.0},
        7: {",\n": 0.3, "\n": 0.7},
        12: {" }\n": 0.8, " },\n": 0.2},
        15: {"2": 0.5, "1": 0.5},
    }
    report, _ = read(LIST_FORM, tokens, alternatives)
    assert report["defects.0.open"] == pytest.approx({"open": 0.6, "close": 0.4})
    assert report["defects.2.open"] == pytest.approx({"open": 0.2, "close": 0.8})
    assert report["score"]["2"] == pytest.approx(0.5)


def test_an_empty_indented_list_is_closed_by_its_bracket() -> None:
    tokens = ['{\n  "defects":', " [],\n", '  "score": ', "2", "\n}"]
    report, _ = read(LIST_FORM, tokens, {1: {" [\n": 0.25, " [],\n": 0.75}})
    assert report["defects.0.open"] == pytest.approx({"open": 0.25, "close": 0.75})


def test_the_end_of_a_text_and_of_a_list_in_one_token() -> None:
    """Tokens with another end of the text say nothing about the list behind this one."""
    tokens = ['{"defects":', '[{"', 'note":"', "cut", '."},{"', 'note":"', "torn", '."}],"', 'score":', "2}"]
    alternatives = {4: {'."},{"': 0.3, '."}],"': 0.3, '"}],"': 0.4}, 7: {'."}],"': 0.9, '."},{"': 0.1}}
    report, _ = read(LIST_FORM, tokens, alternatives)
    assert report["defects.1.open"] == pytest.approx({"open": 0.5, "close": 0.5})
    assert report["defects.2.open"] == pytest.approx({"open": 0.1, "close": 0.9})


def test_labels_with_a_common_beginning_are_resolved_by_the_following_tokens() -> None:
    kinds = ("missing part", "missing object", "fused")
    form = Form(Object((("kind", Choice("kind", kinds, quoted=True)),)))
    tokens = ['{"kind":"', "missing", " object", '"}']
    alternatives = {1: {"missing": 0.8, "fused": 0.2}, 2: {" object": 0.75, " part": 0.25}}
    report, exact = read(form, tokens, alternatives)
    assert report["kind"] == pytest.approx({"missing part": 0.2, "missing object": 0.6, "fused": 0.2})
    assert exact


def test_a_blank_with_unresolved_labels_is_not_reported() -> None:
    kinds = ("missing part", "missing object", "fused")
    form = Form(Object((("kind", Choice("kind", kinds, quoted=True)),)))
    report, _ = read(form, ['{"kind":"', "fused", '"}'], {1: {"missing": 0.2, "fused": 0.8}})
    assert report == {}
    report, _ = read(form, ['{"kind":"', "fused", '"}'], {1: {"missing": 0.004, "fused": 0.996}})
    assert report["kind"] == pytest.approx({"missing part": 0, "missing object": 0, "fused": 1})


NUMBERS = Form(Object((("n", Choice("n", ("1", "10", "100", "1000"))),)))


def test_numbers_spelled_digit_by_digit_are_resolved_by_where_they_end() -> None:
    tokens = ['{"n":', "1", "0", "}"]
    alternatives = {1: {"1": 0.9, "7": 0.1}, 2: {"0": 0.6, "}": 0.4}, 3: {"}": 0.996, "0": 0.004}}
    report, _ = read(NUMBERS, tokens, alternatives)
    assert report["n"] == pytest.approx({"1": 0.4, "10": 0.6, "100": 0, "1000": 0}, abs=0.005)


def test_a_number_that_is_a_token_is_not_the_beginning_of_another_number_token() -> None:
    alternatives = {1: {"1": 0.4, "10": 0.3, "100": 0.2, "1000": 0.1}}
    report, exact = read(NUMBERS, ['{"n":', "10", "}"], alternatives)
    assert report["n"] == pytest.approx({"1": 0.4, "10": 0.3, "100": 0.2, "1000": 0.1})
    assert exact


BOX = Form(Object((("box", Box("box", grid=100)), ("score", Choice("score", SCORE_LABELS)))))


def split_numbers(text: str) -> list[str]:
    """Split a reply into tokens so that each number of its box is one token."""
    head, numbers = text.split("[")
    numbers, tail = numbers.split("]")
    tokens = [head + "["]
    for index, number in enumerate(numbers.split(",")):
        tokens += [","] * (index > 0) + [number]
    return [*tokens, tail[:-2] and "]" + tail[:-2], tail[-2], "}"]


def test_corners_get_probabilities_among_the_labels_that_the_box_allows() -> None:
    tokens = split_numbers('{"box":[300,0,500,100],"score":3}')
    numbers = {"300": 0.25, "0": 0.25, "500": 0.25, "100": 0.25, "1000": 0}
    alternatives = {n: numbers for n in (1, 3, 5, 7)}
    report, exact = read(BOX, tokens, {**alternatives, 9: {"3": 1.0}})
    assert report["box.x1"]["300"] == pytest.approx(0.25)
    assert report["box.x2"] == pytest.approx(
        {"400": 0, "500": 1, "600": 0, "700": 0, "800": 0, "900": 0, "1000": 0}
    )
    assert report["score"]["3"] == 1
    assert exact


def test_labels_missing_among_the_alternatives_make_the_probabilities_estimates() -> None:
    tokens = ['{"elements":{"a cat":', "true", '},"score":', "4", "}"]
    alternatives = {1: {"true": 0.6, "false": 0.3}, 3: {"4": 0.5, "5": 0.25}}
    assert not read(SMALL, tokens, alternatives)[1]
    alternatives[3] = {"4": 0.6995, "5": 0.3}
    assert read(SMALL, tokens, alternatives)[1], "the missing labels have almost no probability left"


def test_a_corner_off_the_grid_only_loses_its_own_report() -> None:
    tokens = split_numbers('{"box":[37,0,500,100],"score":3}')
    numbers = {"37": 0.2, "0": 0.25, "500": 0.25, "100": 0.25, "1000": 0.05}
    report, _ = read(BOX, tokens, {**{n: numbers for n in (1, 3, 5, 7)}, 9: {"3": 1.0}})
    assert "box.x1" not in report
    assert {"box.y1", "box.y2", "score"} <= set(report)


def test_whitespace_between_members_is_skipped() -> None:
    tokens = ["{\n", ' "elements"', ":", ' {"a cat":', " true", " }", ',\n "score":', " ", "4", "}"]
    alternatives = {4: {" true": 0.5, " false": 0.25, "\ttrue": 0.25}, 8: {"4": 1.0, "\n": 0.9}}
    report, _ = read(SMALL, tokens, alternatives)
    assert report["elements.0"] == pytest.approx({"true": 0.75, "false": 0.25})
    assert report["score"]["4"] == pytest.approx(1)


def test_whitespace_inside_strings_is_text() -> None:
    form = Form(Object((("kind", Choice("kind", ("low contrast", "lowcontrast"), quoted=True)),)))
    report, _ = read(
        form, ['{"kind":"', "low contrast", '"}'], {1: {"low contrast": 0.7, "lowcontrast": 0.3}}
    )
    assert report["kind"] == pytest.approx({"low contrast": 0.7, "lowcontrast": 0.3})


def test_text_with_quotes_and_brackets_is_skipped() -> None:
    form = Form(Object((("note", Text("note", 90)), ("score", Choice("score", SCORE_LABELS)))))
    tokens = ['{"note":"', r"a \"5\", ]} \\", '","score":', "2", "}"]
    report, _ = read(form, tokens, {3: {"2": 0.5, "1": 0.5}})
    assert report["score"]["2"] == 0.5


def test_a_reply_that_leaves_the_form_is_read_up_to_that_point() -> None:
    report, _ = read(SMALL, ['{"elements":{"a cat":', "true", '},"Score":', "4", "}"], {1: {"true": 1.0}})
    assert set(report) == {"elements.0"}
    assert read(SMALL, ["no JSON"], {0: {"no JSON": 1.0}}) == ({}, True)


def test_without_alternatives_there_is_no_report() -> None:
    assert read(SMALL, ['{"elements":{"a cat":true},"score":4}'], {}) == ({}, True)


def test_nan_makes_a_reply_unreadable() -> None:
    with pytest.raises(ReplyError, match="NaN"):
        logprobs.read_probabilities(
            SMALL, [b'{"elements":{"a cat":', b"true"], lambda number: {b"true": math.nan}
        )


# -- Any form, any tokens -------------------------------------------------------------------------------

RUBRIC = Rubric.load("default")


def draw_reply(
    form: Form, data: st.DataObject
) -> tuple[str, dict[str, dict[str, float]], list[tuple[int, str]]]:
    """Draw a random reply, the probabilities of its labels, and the offset and path of each blank."""
    text, probabilities, positions, walk = "", dict[str, dict[str, float]](), [], form.walk()
    piece = next(walk)
    while True:
        answer = ""
        if isinstance(piece, Literal):
            text += piece.text
        elif isinstance(piece, Text):
            answer = data.draw(st.text("ab {}[]:,é猫", max_size=piece.max_chars))
            text += answer + '"'
        else:
            count = len(piece.labels)
            weights = data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
            shares = [weight / sum(weights) for weight in weights]
            answer = data.draw(st.sampled_from(piece.labels))
            positions.append((len(text.encode()), piece.name))
            probabilities[piece.name] = dict(zip(piece.reported_labels, shares, strict=True))
            text += answer
        try:
            piece = walk.send(answer)
        except StopIteration:
            return text, probabilities, positions


@settings(max_examples=60)
@given(st.data())
def test_any_tokens_that_keep_labels_whole_give_the_probabilities_back(data: st.DataObject) -> None:
    """Tokens may begin anywhere in the literal before a label, and end anywhere after it."""
    names = data.draw(st.lists(st.text('ab cé"\\,:{}', min_size=1, max_size=8), max_size=3, unique=True))
    form = RUBRIC.form([name for name in names if name.strip()], data.draw(st.integers(0, 3)))
    text, probabilities, positions = draw_reply(form, data)
    raw = text.encode()
    labels = {name: find_labels(form, raw, name) for _, name in positions}
    cuts = set(data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=60)))
    for start, name in positions:
        length = len(labels[name][1])
        cuts -= set(range(start + 1, start + length))
    bounds = [0, *sorted(cuts), len(raw)]
    tokens = [raw[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    starts = [0, *accumulate(map(len, tokens))]
    alternatives: dict[int, dict[bytes, float]] = {}
    deciding: dict[str, int] = {}
    for start, name in positions:
        deciding[name] = index = max(n for n, offset in enumerate(starts[:-1]) if offset <= start)
        before = raw[starts[index] : start]
        if index in alternatives:  # the alternatives of one token cannot give the labels of two blanks
            alternatives[index] = {}
            continue
        written = labels[name][1]
        after = tokens[index][len(before) + len(written) :]
        shares = zip(labels[name][0], probabilities[name].values(), strict=True)
        alternatives[index] = {
            before + label + (after if label == written else b""): math.log(share) for label, share in shares
        }
    report, exact = logprobs.read_probabilities(form, tokens, lambda index: alternatives.get(index, {}))
    assert exact
    for name, found in report.items():
        assert found == pytest.approx(probabilities[name])
    assert set(report) == {name for name, index in deciding.items() if alternatives[index]}


def find_labels(form: Form, raw: bytes, name: str) -> tuple[list[bytes], bytes]:
    """Return all labels of a blank, and the one in the text."""
    (position,) = [found for found in align_reply(form, raw).blanks if found.blank.name == name]
    assert isinstance(position.blank, Choice | Branch)
    labels = [label.encode() for label in position.blank.labels]
    written = max((label for label in labels if raw.startswith(label, position.start)), key=len)
    return labels, written


@given(st.binary(max_size=200), st.booleans())
def test_no_reply_of_a_server_breaks_the_reader(noise: bytes, is_split: bool) -> None:
    tokens = [noise[:50], noise[50:]] if is_split else [noise]
    report, _ = logprobs.read_probabilities(
        RUBRIC.form(["a cat"]), tokens, lambda index: {noise: -1.0, b"": -2.0}
    )
    assert report == {}
