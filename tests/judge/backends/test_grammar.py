"""A form as a grammar: xgrammar takes every answer that fits the form, and no other."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from filler import Filler
from paths import ROOT

from judge.backends import Request
from judge.backends import torchvision_compat as _torchvision
from judge.backends.decoding import grammar
from judge.rubrics.form import Box, Choice, Form, Object, Repeat, Text
from judge.rubrics.rubric import SCALE, Rubric

_torchvision.mend()
xgrammar = pytest.importorskip("xgrammar", reason="xgrammar comes with vLLM, which is not installed here")

RUBRIC = Rubric.load("default")
BASE = ROOT / "judge" / "assets" / "nano" / "base"
END = 2
"""The token that closes a turn."""
NAMES = ["a red circle", 'say "cheese"', "back\\slash", "<|im_end|>", "un café 🙂", "a, b: {c}", "猫"]


@pytest.fixture(scope="module")
def wording() -> Any:
    from transformers import AutoProcessor

    from judge.backends.decoding.tokens import Wording

    return Wording(AutoProcessor.from_pretrained(BASE))


@pytest.fixture(scope="module")
def vocabulary(wording: Any) -> Any:
    return xgrammar.TokenizerInfo.from_huggingface(wording.tokenizer, vocab_size=len(wording.tokenizer))


@pytest.fixture(scope="module")
def compiler(vocabulary: Any) -> Any:
    return xgrammar.GrammarCompiler(vocabulary, cache_enabled=False)


@pytest.fixture(params=["characters", "tokens"])
def spell(request: pytest.FixtureRequest, wording: Any) -> grammar.Spell:
    return grammar.in_characters if request.param == "characters" else grammar.in_tokens(wording.plain)


def takes(compiler: Any, rules: str, tokens: list[int]) -> bool:
    """Whether an answer of these tokens is whole under the rules."""
    matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(rules))
    if not all(matcher.accept_token(token) for token in tokens):
        return False
    return matcher.accept_token(END)


def filled(form: Form, seed: int) -> dict[str, Any]:
    (reply,) = Filler(seed).complete([Request([], [], form)])
    return form.parse(reply.text)


def tokens(wording: Any, form: Form, values: dict[str, Any]) -> list[int]:
    return [token for segment in form.segments(values) for token in wording.plain(segment.text)]


@pytest.mark.parametrize("seed", range(12))
def test_every_filled_form_is_taken(compiler: Any, wording: Any, spell: grammar.Spell, seed: int) -> None:
    names = Random(seed).sample(NAMES, k=seed % 5)
    form = RUBRIC.form(names, seed % 4)
    rules = grammar.ebnf(form, spell, whole=True)
    assert takes(compiler, rules, tokens(wording, form, filled(form, seed)))


FORM = Form(
    Object(
        (
            (
                "defects",
                Repeat("defects", Object((("box", Box("box")), ("note", Text("note", 6)))), 1, 2),
            ),
            ("score", Choice("score", SCALE)),
        )
    )
)
GOOD = {"defects": [{"box": [10, 20, 300, 400], "note": "cat"}], "score": 4}
BAD = {
    "a corner off the grid": '{"defects":[{"box":[15,20,300,400],"note":"cat"}],"score":4}',
    "a text that is too long": '{"defects":[{"box":[10,20,300,400],"note":"catcats"}],"score":4}',
    "an escape in a text": '{"defects":[{"box":[10,20,300,400],"note":"c\\"t"}],"score":4}',
    "a line end in a text": '{"defects":[{"box":[10,20,300,400],"note":"c\nt"}],"score":4}',
    "no item where one is due": '{"defects":[],"score":4}',
    "an item too many": '{"defects":[ITEM,ITEM,ITEM],"score":4}',
    "blank space": '{"defects": [{"box":[10,20,300,400],"note":"cat"}],"score":4}',
    "a label off the menu": '{"defects":[{"box":[10,20,300,400],"note":"cat"}],"score":6}',
    "a member in front of another": '{"score":4,"defects":[{"box":[10,20,300,400],"note":"cat"}]}',
    "no end": '{"defects":[{"box":[10,20,300,400],"note":"cat"}],"score":4',
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_the_form_is_not_taken(
    compiler: Any, wording: Any, spell: grammar.Spell, name: str
) -> None:
    rules = grammar.ebnf(FORM, spell, whole=True)
    item = '{"box":[10,20,300,400],"note":"cat"}'
    assert takes(compiler, rules, tokens(wording, FORM, GOOD))
    assert not takes(compiler, rules, list(wording.plain(BAD[name].replace("ITEM", item))))


def test_in_tokens_only_the_spelling_of_training_is_taken(compiler: Any, wording: Any) -> None:
    """Otherwise the numbers at a blank would be those of a text cut up as the model never saw it."""
    rules = grammar.ebnf(FORM, grammar.in_tokens(wording.plain), whole=True)
    spelled = [token for c in FORM.render(GOOD) for token in wording.plain(c)]
    assert not takes(compiler, rules, spelled)
    assert takes(compiler, grammar.ebnf(FORM, grammar.in_characters, whole=True), spelled)


def test_the_rest_of_a_form_starts_at_the_blank_behind_the_answers(
    compiler: Any, wording: Any, spell: grammar.Spell
) -> None:
    answers = ["10", "20", "300", "400", "cat", ",{", "500", "500"]
    assert grammar.before(FORM, answers) == [","]
    rules = grammar.ebnf(FORM, spell, answers)
    for x2, y2, fits in ((510, 520, True), (500, 520, False), (510, 500, False), (10, 900, False)):
        text = [f"{x2}", ",", f"{y2}", '],"note":"', '"', "}", "]", ',"score":', "2"]
        assert takes(compiler, rules, [t for piece in text for t in wording.plain(piece)]) is fits, (x2, y2)


def test_a_text_that_is_begun_has_the_room_that_is_left(
    compiler: Any, wording: Any, spell: grammar.Spell
) -> None:
    answers = ["10", "20", "300", "400"]
    rules = grammar.ebnf(FORM, spell, answers, bounded=False, room=2)
    for text, fits in (("", True), ("é猫", True), ("cat", False)):
        written = [text, '"', "}", "]", ',"score":', "2"]
        assert takes(compiler, rules, [t for piece in written for t in wording.plain(piece)]) is fits, text


def test_before_and_behind_are_the_literals_around_the_blanks() -> None:
    assert grammar.before(FORM) == ['{"defects":[', "{", '"box":[']
    assert grammar.behind(FORM) == "}"
    assert grammar.before(FORM, ["10", "20", "300", "400", "cat", "]", "4"]) == ["}"]
    assert json.loads(FORM.render(GOOD)) == GOOD


def test_room_for_the_longest_answer_is_enough_for_any(wording: Any) -> None:
    for seed in range(8):
        form = RUBRIC.form(NAMES[:seed], seed % 4)
        assert len(tokens(wording, form, filled(form, seed))) <= grammar.longest(form)
    assert grammar.widest(RUBRIC.form(["a"])) == 100
