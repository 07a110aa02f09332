"""Forms are filled validly, and what saves forward passes does not change the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from form_requests import DEFAULT, assert_equal_replies, build_request, check_filled, noise_image

from judge.backends.base import Request
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.transformers.backend import Transformers
from judge.rubrics.layouts import LAYOUTS
from judge.rubrics.schema import AttributeQuestion, DefectKinds

Checkpoints = dict[tuple[str, bool], Path]


def test_predicted_phrases_save_passes_and_change_nothing(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong prediction must not reach the answer, and a right one must not change its numbers."""
    backend = Transformers(checkpoints["qwen3_vl", True], tokens="pieces", boxes="grid")
    requests = [build_request(seed) for seed in range(4)]
    tokens = [backend.tokenizer.encode_text(character)[0] for character in '!?.:"']

    def force_tokens(written: list[int], logits: np.ndarray) -> np.ndarray:
        return np.eye(logits.shape[-1])[tokens[len(written)]]

    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    monkeypatch.setattr(backend, "text_grammar", SimpleNamespace(text_mask=lambda max_chars: force_tokens))
    backend._model.model.language_model.register_forward_pre_hook(count)
    expected, passes_with = check_filled(backend.complete(requests)), {}
    wrong_from_second = [tokens[0], *tokens[3:0:-1]]
    for name, phrase in (("right", tokens), ("wrong", wrong_from_second)):
        backend.phrases, passes = PhraseCache([phrase]), 0
        assert_equal_replies(expected, check_filled(backend.complete(requests)))
        passes_with[name] = passes
    assert passes_with["right"] < passes_with["wrong"]


def test_reading_large_label_trees_in_two_steps_gives_the_same(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Transformers(checkpoints["qwen3_vl", False], tokens="pieces", boxes="grid")
    requests = [build_request(seed) for seed in range(4)]
    two_steps = check_filled(backend.complete(requests))
    monkeypatch.setattr("judge.backends.decoding.form_filling.MAX_ONE_STEP_NODES", 1 << 20)
    assert_equal_replies(check_filled(backend.complete(requests)), two_steps)


def random_requests(count: int) -> Iterator[Request]:
    """Requests with 0 to 12 elements, 0 to 6 defects, and rubrics with random labels."""
    for seed in range(count):
        random = Random(seed)
        words = ["red", "circle", "two cats", 'the "end"', "猫", "\\n", "{}", "left of", "100", "\U0001f600"]
        elements = [
            f"{random.choice(words)} {random.choice(words)} {n}" for n in range(random.randint(0, 12))
        ]
        labels = random.sample(
            ["none", "noise", "no", "blur", "n", "low contrast", "lo"], random.randint(2, 7)
        )
        kinds = random.sample(
            ["a", "ab", "abc", "missing part", "missing", "cut", "cut off"], random.randint(1, 7)
        )
        rubric = DEFAULT.model_copy(
            update={
                "attributes": (AttributeQuestion(name="look", labels=labels),) * random.randint(0, 1),
                "defects": DefectKinds(kinds={"artifact": kinds}, explanation=random.choice([0, 4])),
                "explanation": random.choice([0, 1, 6]),
            }
        )
        form = rubric.form(elements, random.randint(0, 6))
        yield Request([noise_image(seed)], rubric.messages("a cat", elements, brief=True), form)


@pytest.mark.parametrize("number_tokens", [False, True])
def test_random_forms_are_filled_validly(checkpoints: Checkpoints, number_tokens: bool) -> None:
    backend = Transformers(checkpoints["qwen3_vl", number_tokens], batch=40, tokens="pieces", boxes="grid")
    requests = list(random_requests(80))
    for request, reply in zip(requests, check_filled(backend.complete(requests)), strict=True):
        assert request.form.render(request.form.parse(reply.text)) == reply.text


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_random_forms_are_filled_validly_in_natural_tokens(checkpoints: Checkpoints, layout: str) -> None:
    backend = Transformers(checkpoints["qwen3_vl", False], batch=40, layout=layout, boxes="grid")
    requests = list(random_requests(40))
    for request, reply in zip(requests, check_filled(backend.complete(requests)), strict=True):
        values = request.form.parse(reply.text)
        texts = [request.form.in_layout(one).render(values) for one in LAYOUTS[layout]]
        assert reply.text in texts
        for shares in reply.probabilities.values():
            assert sum(shares.values()) == pytest.approx(1)
