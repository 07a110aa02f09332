"""Reading ahead changes no number, whatever is expected, and saves passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_table import SmallTable, scripted_logs

from judge.backends.base import Reply
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.natural import drafts
from judge.backends.decoding.natural.drafts import default_label
from judge.backends.decoding.natural.filling import fill_form
from judge.backends.decoding.natural.steps import run_form
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import TextMask
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Object, Repeat
from judge.rubrics.layouts import LAYOUTS

NAMES = ("a", "b", "ab", "ba")
ITEM = Object((("a", Choice("a", ("1", "0"))),))
FORM = Form(
    Object(
        (
            *((name, Choice(name, ("1", "10", "0"))) for name in NAMES),
            ("aa", Repeat("aa", ITEM, 0, 2)),
            ("bb", Choice("bb", ("ab", "aa", "b"), quoted=True)),
        )
    )
)


def no_text(*_: object) -> TextMask:
    raise AssertionError("the form has no text")


def run_row(seed: int, draft_tokens: int) -> tuple[Reply, int]:
    """Run a row on the scripted distribution; returns the reply and the number of passes."""
    form_program = fill_form(FORM, SmallTable(), LAYOUTS["compact"])
    program = run_form(
        form_program,
        SmallTable(),
        lambda *_: pytest.fail("no text"),
        PhraseCache(()),
        draft_tokens=draft_tokens,
    )
    context, last, passes = list[int](), list[int](), 0
    step = next(program)
    try:
        while True:
            context += [token for n, token in enumerate(last) if n not in step.discarded]
            last, passes = step.tokens, passes + 1
            paths: list[list[int]] = []
            for token, parent in zip(step.tokens, step.parents, strict=True):
                paths.append([*(context if parent == ROOT else paths[parent]), token])
            assert passes == 1 or ROOT not in {node for node, _ in step.edges}
            step = program.send(
                np.array(
                    [
                        scripted_logs(context if node == ROOT else paths[node], seed)[token]
                        for node, token in step.edges
                    ]
                )
            )
    except StopIteration as done:
        return done.value, passes


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([3, 8, 256]))
def test_reading_ahead_gives_the_numbers_of_reading_one_by_one(seed: int, draft_tokens: int) -> None:
    ahead, _ = run_row(seed, draft_tokens)
    one_by_one, _ = run_row(seed, 0)
    assert ahead.text == one_by_one.text
    assert ahead.probabilities.keys() == one_by_one.probabilities.keys()
    for blank, shares in one_by_one.probabilities.items():
        assert ahead.probabilities[blank] == pytest.approx(shares, abs=1e-12)
    assert ahead.label_mass == pytest.approx(one_by_one.label_mass, abs=1e-12)


def test_reading_ahead_saves_passes() -> None:
    pairs = [(run_row(seed, 256)[1], run_row(seed, 0)[1]) for seed in range(20)]
    assert all(ahead <= one_by_one for ahead, one_by_one in pairs)
    assert sum(ahead for ahead, _ in pairs) < 0.75 * sum(one_by_one for _, one_by_one in pairs)


def test_a_form_whose_labels_are_foretold_takes_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first draft goes as far as it can, on a CPU too."""
    for seed in range(20):
        reply, _ = run_row(seed, 0)

        def expected(blank: Choice | Branch, reply: Reply = reply) -> str:
            shares = reply.probabilities.get(blank.name, {"": 1.0})
            likeliest = max(shares, key=lambda label: shares[label])
            is_known = likeliest in blank.reported_labels
            return blank.labels[blank.reported_labels.index(likeliest) if is_known else 0]

        monkeypatch.setattr(drafts, "default_label", expected)
        assert run_row(seed, 3)[1] == 1


def test_the_label_to_expect_is_the_first_one_or_the_number_in_the_middle() -> None:
    assert default_label(Choice("there", ("true", "false"))) == "true"
    assert default_label(Choice("score", ("1", "2", "3", "4", "5"))) == "3"
    assert default_label(Branch("more", "{")) == "]"
