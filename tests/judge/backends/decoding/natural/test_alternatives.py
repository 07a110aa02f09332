"""The probability of an alternative is that of all tokens that agree with it, whatever tokens straddle it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_table import TOKENS, SmallTable, scripted_logs

from judge.backends.decoding.natural import alternatives
from judge.backends.decoding.natural.alternatives import Boundary, Read


def enumerate_mass(
    path: list[int], rests: dict[int, bytes], seed: int, found: list[float], log: float
) -> None:
    """Add the probability of every token that agrees with one alternative, following those of several."""
    for token, score in enumerate(scripted_logs(path, seed)):
        text = TOKENS[token]
        left = {
            n: rest[len(text) :]
            for n, rest in rests.items()
            if rest.startswith(text) or text.startswith(rest)
        }
        if len(left) == 1:
            found[next(iter(left))] += math.exp(log + score)
        elif left:
            enumerate_mass([*path, token], left, seed, found, log + score)


def read(boundary: Boundary, labels: list[bytes], after: list[bytes], seed: int):
    """Run `OpenChoice.read` on the scripted distribution; returns the shares and the tokens that were fed."""
    program = boundary.open_choice(labels, after, lambda _: (b"",), "blank").read()
    fed: list[int] = []
    operation = next(program)
    while True:
        assert isinstance(operation, Read)
        fed += operation.commit
        results = [scripted_logs([*fed, *path], seed)[list(tokens)] for path, tokens in operation.nodes]
        try:
            operation = program.send(results)
        except StopIteration as done:
            return done.value, fed


LABEL_SETS = (
    ([b"{", b"]"], [b'"', b"}"]),
    ([b"1", b"10", b"0"], [b","] * 3),
    ([b"a", b"ab", b"ba", b"aa"], [b'"'] * 4),
    ([b"ab", b"b"], [b'"}', b'"}']),
)


@given(st.integers(0, 10_000), st.sampled_from(LABEL_SETS), st.sampled_from([b"", b'"', b'":[', b'a":[']))
def test_reading_equals_enumeration_over_the_vocabulary(seed: int, labels, pending: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternatives, "MIN_SHARE", 1e-300)
        boundary = Boundary(SmallTable(), (), pending)
        shares, fed = read(boundary, *labels, seed)
    start = len(b"".join(TOKENS[token] for token in fed))
    rests = {n: (pending + a + b)[start:] for n, (a, b) in enumerate(zip(*labels, strict=True))}
    found = [0.0] * len(rests)
    enumerate_mass(list(fed), rests, seed, found, 0.0)
    assert shares.mass == pytest.approx(sum(found))
    assert shares.probabilities.tolist() == pytest.approx([one / sum(found) for one in found])


@given(st.integers(0, 1000), st.sampled_from(LABEL_SETS))
def test_what_is_fed_and_what_is_pending_is_the_text_so_far(seed: int, labels) -> None:
    boundary = Boundary(SmallTable(), (), b'":[')
    shares, fed = read(boundary, *labels, seed)
    chosen = labels[0][int(shares.probabilities.argmax())]
    assert b"".join(TOKENS[token] for token in fed) + boundary.pending == b'":[' + chosen


def test_a_token_that_reaches_beyond_what_may_follow_does_not_count() -> None:
    table = SmallTable()
    found = table.agreement((b"[", b"]"), ((b"{",), (b",x",)))
    assert {TOKENS[token] for token in found.tokens} == {b"[", b"]", b"],"}


def test_rare_tokens_that_agree_with_several_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {}
    for share in (1e-300, 0.5):
        monkeypatch.setattr(alternatives, "MIN_SHARE", share)
        boundary = Boundary(SmallTable(), (), b'":[')
        program = boundary.open_choice([b"{", b"]"], [b'"', b"}"], lambda _: (b"",), "blank").read()
        operation, count = next(program), 0
        with pytest.raises(StopIteration):
            while True:
                count += 1
                results = [scripted_logs(path, 3)[list(tokens)] for path, tokens in operation.nodes]
                operation = program.send(results)
        steps[share] = count
    assert steps[0.5] < steps[1e-300]


def test_one_nan_is_an_error_of_the_blank() -> None:
    from judge.errors import ReplyError

    choice = Boundary(SmallTable()).open_choice([b"1", b"0"], [b",", b","], lambda _: (b"",), "score")
    program = choice.read()
    operation = next(program)
    with pytest.raises(ReplyError, match="score: the model answered NaN"):
        program.send([np.full(len(tokens), np.nan) for _, tokens in operation.nodes])
