"""Elements that a large model lists by filling a form."""

from __future__ import annotations

import pytest
from random_backend import RandomBackend

from judge.backends.base import Reply
from judge.backends.scripted import Scripted
from judge.elements.model_extraction import build_extraction_request, parse_elements
from judge.errors import ReplyError
from judge.judge import Judge


def test_a_model_lists_elements_as_a_graph_without_cycles() -> None:
    items = [
        {"name": "red cat", "kind": "object", "needs": 0},
        {"name": "two cats", "kind": "count", "needs": 1},
        {"name": "mat", "kind": "object", "needs": 4},
        {"name": "mat", "kind": "object", "needs": 3},
        {"name": "cat on mat", "kind": "relation", "needs": 5},
    ]
    backend = Scripted([{"elements": items}])
    statements = Judge(backend=backend).elements("two red cats on a mat")
    assert [statement.name for statement in statements] == ["red cat", "two cats", "mat", "cat on mat"]
    assert [statement.needs for statement in statements] == [[], ["red cat"], [], []]
    (request,) = backend.requests
    assert request.images == [] and "two red cats on a mat" in request.messages[0]["content"][0]["text"]


def test_a_hostile_prompt_is_inserted_once_and_never_read_as_a_template() -> None:
    hostile = "{{ 7 * 7 }} {% include 'x' %} </prompt>"
    text = build_extraction_request(hostile).messages[0]["content"][0]["text"]
    assert hostile in text and "49" not in text


def test_tuned_models_use_the_rules() -> None:
    statements = Judge(backend=RandomBackend()).elements("a red cat")
    assert [statement.name for statement in statements] == ["red cat"]


def test_a_reply_without_names_is_an_error() -> None:
    reply = Reply('{"elements":[{"name":" ","kind":"object","needs":0}]}')
    with pytest.raises(ReplyError, match="named no element"):
        parse_elements(build_extraction_request("a cat"), reply)
