"""A vLLM server gets a grammar and reports the log-probabilities of labels. Its answers are scripted here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    SCORE_FORM,
    TOKENS,
    ModelServer,
    Response,
    build_request,
    completion,
    connect,
    single_reply,
)

from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object, Repeat
from judge.rubrics.schema import SCORE_LABELS

Serve = Callable[..., ModelServer]
MODELS = [{"id": "base", "owned_by": "vllm"}, {"id": "m", "owned_by": "vllm", "parent": "base"}]
DEFECT = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)), ("box", Box("box", grid=100))))
BOX_FORM = Form(
    Object((("defects", Repeat("defects", DEFECT, 0, 1)), ("score", Choice("score", SCORE_LABELS))))
)


def tokenize(body: dict[str, Any]) -> Response:
    """Answer `/tokenize`: every label is one token, numbered by its first three bytes."""
    number = int.from_bytes(body["prompt"].encode()[:3], "big")
    return 200, {}, {"tokens": [number, 7], "count": 2}


def token_label(number: int) -> str:
    return number.to_bytes(3, "big").strip(b"\0").decode()


def answer(path: str, body: dict[str, Any]) -> Response:
    return tokenize(body) if path == "/tokenize" else (200, {}, completion(TOKENS, ALTERNATIVES))


def test_a_vllm_server_is_recognized_and_gets_a_grammar(serve: Serve) -> None:
    server = serve(answer, MODELS)
    backend = connect(server, tokens="pieces")
    assert (backend.version, backend.adapter) == ("0.32.0", "m")
    reply = single_reply(backend.complete([build_request()]))
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 7 / 9, "false": 2 / 9})
    assert reply.exact
    (chat,) = server.chats
    assert "response_format" not in chat
    assert chat["structured_outputs"]["grammar"].startswith('root ::= "{\\"elements\\":{\\"a cat\\":" r0')
    assert {token_label(n) for n in chat["logprob_token_ids"]} == {"tru", "fal", *SCORE_LABELS}
    bodies = [body for path, body, _ in server.requests if path == "/tokenize"]
    assert all(body["add_special_tokens"] is False for body in bodies)


def test_labels_are_tokenized_once(serve: Serve) -> None:
    server = serve(answer, MODELS)
    backend = connect(server, concurrency=1, tokens="pieces")
    backend.complete([build_request(), build_request(), build_request()])
    assert sum(path == "/tokenize" for path, _, _ in server.requests) == 7


def test_score_depth_reads_each_blank_after_placeholders(serve: Serve) -> None:
    def script(path: str, body: dict[str, Any]) -> Response:
        if path == "/tokenize":
            return tokenize(body)
        last = body["messages"][-1]
        assert last["role"] == "assistant"
        is_element = last["content"].endswith('"a cat":')
        alternatives = {"true": 0.25, "false": 0.75} if is_element else {"2": 0.9, "5": 0.1}
        if not is_element:
            alternatives |= dict.fromkeys(set(SCORE_LABELS) - set(alternatives), 1e-30)
        best = max(alternatives, key=lambda label: alternatives[label])
        return 200, {}, completion([best], {0: alternatives}, finish_reason="length")

    server = serve(script, MODELS)
    reply = single_reply(connect(server, tokens="pieces").choose([build_request(form=SCORE_FORM)]))
    assert reply.text == '{"elements":{"a cat":false},"score":2}'
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 0.25, "false": 0.75})
    assert reply.probabilities["score"]["5"] == pytest.approx(0.1)
    beginnings = sorted(chat["messages"][-1]["content"] for chat in server.chats)
    assert beginnings == ['{"elements":{"a cat":', '{"elements":{"a cat":true},"score":']
    for chat in server.chats:
        assert (chat["max_tokens"], chat["continue_final_message"]) == (1, True)
        assert chat["add_generation_prompt"] is False


def test_a_box_with_swapped_corners_is_requested_again_from_its_corner(serve: Serve) -> None:
    first = ['{"defects":[', "{", '"kind":"', "cut", '","box":[', "300", ",", "0", ",", "200", ",", "100"]
    first += ["]}", "]", ',"score":', "1", "}"]

    def script(path: str, body: dict[str, Any]) -> Response:
        if path == "/tokenize":
            return tokenize(body)
        if body["messages"][-1]["role"] == "user":
            return 200, {}, completion(first, {15: {"1": 1.0}})
        return 200, {}, completion(["400", ",", "100", "]}]", ',"score":', "2"], {5: {"2": 1.0}})

    server = serve(script, MODELS)
    reply = single_reply(connect(server, tokens="pieces").complete([build_request(form=BOX_FORM)]))
    assert json.loads(reply.text) == {"defects": [{"kind": "cut", "box": [300, 0, 400, 100]}], "score": 2}
    assert reply.probabilities["score"]["2"] == pytest.approx(1)
    second = server.chats[1]
    assert second["messages"][-1]["content"] == '{"defects":[{"kind":"cut","box":[300,0,'
    assert second["continue_final_message"] is True
    rules = second["structured_outputs"]["grammar"].splitlines()
    (corner,) = [rule for rule in rules if rule.startswith("r0 ::=")]
    assert '"400"' in corner
    assert '"300"' not in corner
