"""The backend without a model, which other tests use, inside and outside of this package."""

from __future__ import annotations

import pytest

from judge.backends import Backend, Reply, Request
from judge.backends.scripted import Scripted
from judge.errors import BackendError, ReplyError
from judge.rubrics.rubric import Rubric

RUBRIC = Rubric.load("quality")
VALUES = {"degradation": "blur", "severity": "slight", "defects": [], "score": 4}


def build_request() -> Request:
    return Request([], RUBRIC.messages(), RUBRIC.form())


def test_it_is_a_backend() -> None:
    assert isinstance(Scripted(), Backend)


def test_dicts_and_texts_become_replies_with_certain_labels() -> None:
    backend = Scripted([VALUES, RUBRIC.form().render(VALUES)])
    first, second = backend.complete([build_request(), build_request()])
    assert first == second
    assert isinstance(first, Reply)
    assert first.probabilities["score"] == {"1": 0.0, "2": 0.0, "3": 0.0, "4": 1.0, "5": 0.0}
    assert RUBRIC.form().parse(first.text) == VALUES


def test_replies_come_in_order_and_requests_are_recorded() -> None:
    backend = Scripted([Reply("a"), ReplyError("no"), "not JSON"])
    requests = [build_request() for _ in range(3)]
    one, two, three = backend.choose(requests)
    assert (one, str(two), three) == (Reply("a"), "no", Reply("not JSON"))
    assert backend.requests == requests


def test_other_exceptions_and_an_empty_queue_are_raised() -> None:
    backend = Scripted([BackendError("out of memory")])
    with pytest.raises(BackendError, match="out of memory"):
        backend.choose([build_request()])
    with pytest.raises(BackendError, match="no reply is left"):
        backend.choose([build_request()])
