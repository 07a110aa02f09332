"""The grammar of a form: xgrammar accepts every answer that fits the form, and no other."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from paths import ROOT
from random_backend import RandomBackend

from judge.backends import Request
from judge.backends.decoding import grammar
from judge.backends.torchvision_compat import patch_imports
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object, Repeat, Text
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS

patch_imports()
xgrammar = pytest.importorskip("xgrammar", reason="xgrammar comes with vLLM, which is not installed here")

RUBRIC = Rubric.load("default")
BASE = ROOT / "judge" / "assets" / "nano" / "base"
END_OF_TURN = 2
"""The token that ends a turn."""
NAMES = ["a red circle", 'say "cheese"', "back\\slash", "<|im_end|>", "un café 🙂", "a, b: {c}", "猫"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoProcessor

    from judge.backends.decoding.chat_tokenizer import ChatTokenizer

    return ChatTokenizer(AutoProcessor.from_pretrained(BASE))


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Any) -> Any:
    return xgrammar.TokenizerInfo.from_huggingface(
        tokenizer.hf_tokenizer, vocab_size=len(tokenizer.hf_tokenizer)
    )


@pytest.fixture(scope="module")
def compiler(vocabulary: Any) -> Any:
    return xgrammar.GrammarCompiler(vocabulary, cache_enabled=False)


@pytest.fixture(params=["characters", "tokens"])
def speller(request: pytest.FixtureRequest, tokenizer: Any) -> grammar.Speller:
    if request.param == "characters":
        return grammar.spell_in_characters
    return grammar.token_speller(tokenizer.encode_text)


def accepts(compiler: Any, rules: str, tokens: list[int]) -> bool:
    """Return whether the rules accept these tokens as a complete answer."""
    matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(rules))
    if not all(matcher.accept_token(token) for token in tokens):
        return False
    return matcher.accept_token(END_OF_TURN)


def random_values(form: Form, seed: int) -> dict[str, Any]:
    (reply,) = RandomBackend(seed).complete([Request([], [], form)])
    return form.parse(reply.text)


def encode_pieces(tokenizer: Any, pieces: list[str]) -> list[int]:
    return [token for piece in pieces for token in tokenizer.encode_text(piece)]


def encode_form(tokenizer: Any, form: Form, values: dict[str, Any]) -> list[int]:
    return encode_pieces(tokenizer, [segment.text for segment in form.segments(values)])


@pytest.mark.parametrize("seed", range(12))
def test_every_filled_form_is_accepted(
    compiler: Any, tokenizer: Any, speller: grammar.Speller, seed: int
) -> None:
    names = Random(seed).sample(NAMES, k=seed % 5)
    form = RUBRIC.form(names, seed % 4)
    rules = grammar.form_to_ebnf(form, speller, include_literals=True)
    assert accepts(compiler, rules, encode_form(tokenizer, form, random_values(form, seed)))


FORM = Form(
    Object(
        (
            (
                "defects",
                Repeat("defects", Object((("box", Box("box")), ("note", Text("note", 6)))), 1, 2),
            ),
            ("score", Choice("score", SCORE_LABELS)),
        )
    )
)
VALID = {"defects": [{"box": [10, 20, 300, 400], "note": "cat"}], "score": 4}
INVALID = {
    "a corner off the grid": '{"defects":[{"box":[15,20,300,400],"note":"cat"}],"score":4}',
    "a text that is too long": '{"defects":[{"box":[10,20,300,400],"note":"catcats"}],"score":4}',
    "an escape in a text": '{"defects":[{"box":[10,20,300,400],"note":"c\\"t"}],"score":4}',
    "a line break in a text": '{"defects":[{"box":[10,20,300,400],"note":"c\nt"}],"score":4}',
    "a missing item": '{"defects":[],"score":4}',
    "too many items": '{"defects":[ITEM,ITEM,ITEM],"score":4}',
    "whitespace": '{"defects": [{"box":[10,20,300,400],"note":"cat"}],"score":4}',
    "an unknown label": '{"defects":[{"box":[10,20,300,400],"note":"cat"}],"score":6}',
    "members in another order": '{"score":4,"defects":[{"box":[10,20,300,400],"note":"cat"}]}',
    "no end": '{"defects":[{"box":[10,20,300,400],"note":"cat"}],"score":4',
}


@pytest.mark.parametrize("name", INVALID)
def test_an_answer_that_does_not_fit_the_form_is_rejected(
    compiler: Any, tokenizer: Any, speller: grammar.Speller, name: str
) -> None:
    rules = grammar.form_to_ebnf(FORM, speller, include_literals=True)
    item = '{"box":[10,20,300,400],"note":"cat"}'
    assert accepts(compiler, rules, encode_form(tokenizer, FORM, VALID))
    assert not accepts(compiler, rules, list(tokenizer.encode_text(INVALID[name].replace("ITEM", item))))


def test_a_token_grammar_accepts_only_the_tokenization_of_training(compiler: Any, tokenizer: Any) -> None:
    """Otherwise the probabilities at a blank would be those after a tokenization that the model never saw."""
    rules = grammar.form_to_ebnf(FORM, grammar.token_speller(tokenizer.encode_text), include_literals=True)
    by_character = [token for c in FORM.render(VALID) for token in tokenizer.encode_text(c)]
    assert not accepts(compiler, rules, by_character)
    rules = grammar.form_to_ebnf(FORM, grammar.spell_in_characters, include_literals=True)
    assert accepts(compiler, rules, by_character)


def test_the_rest_of_a_form_starts_at_the_blank_after_the_answers(
    compiler: Any, tokenizer: Any, speller: grammar.Speller
) -> None:
    answers = ["10", "20", "300", "400", "cat", ",{", "500", "500"]
    assert grammar.leading_literals(FORM, answers) == [","]
    rules = grammar.form_to_ebnf(FORM, speller, answers)
    for x2, y2, fits in ((510, 520, True), (500, 520, False), (510, 500, False), (10, 900, False)):
        pieces = [f"{x2}", ",", f"{y2}", '],"note":"', '"', "}", "]", ',"score":', "2"]
        assert accepts(compiler, rules, encode_pieces(tokenizer, pieces)) is fits, (x2, y2)


def test_a_text_that_is_begun_may_only_have_the_remaining_characters(
    compiler: Any, tokenizer: Any, speller: grammar.Speller
) -> None:
    answers = ["10", "20", "300", "400"]
    rules = grammar.form_to_ebnf(FORM, speller, answers, limit_text=False, remaining_chars=2)
    for text, fits in (("", True), ("é猫", True), ("cat", False)):
        pieces = [text, '"', "}", "]", ',"score":', "2"]
        assert accepts(compiler, rules, encode_pieces(tokenizer, pieces)) is fits, text


def test_leading_and_trailing_literals_are_around_the_blanks() -> None:
    assert grammar.leading_literals(FORM) == ['{"defects":[', "{", '"box":[']
    assert grammar.trailing_literal(FORM) == "}"
    assert grammar.leading_literals(FORM, ["10", "20", "300", "400", "cat", "]", "4"]) == ["}"]
    assert json.loads(FORM.render(VALID)) == VALID


def test_the_maximum_number_of_tokens_is_enough_for_any_answer(tokenizer: Any) -> None:
    for seed in range(8):
        form = RUBRIC.form(NAMES[:seed], seed % 4)
        assert len(encode_form(tokenizer, form, random_values(form, seed))) <= grammar.max_token_count(form)
    assert grammar.max_label_count(RUBRIC.form(["a"])) == 100
