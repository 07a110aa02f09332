"""A vLLM server is read in its model's own tokens, which straddle blanks. Server and model are scripted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from model_server import ModelServer, Response, build_request, connect, single_reply

from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object, Repeat, Text

Serve = Callable[..., ModelServer]
MODELS = [{"id": "m", "owned_by": "vllm"}]
DEFECT = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)), ("why", Text("why", 20))))
FORM = Form(
    Object((("defects", Repeat("defects", DEFECT, 0, 2)), ("score", Choice("score", ("1", "4", "5")))))
)
ANSWERS = {
    '{"defects":[],"score":4}': 0.4,
    '{"defects":[],"score":5}': 0.1,
    '{"defects":[{"kind":"cut","why":"It is torn."}],"score":1}': 0.3,
    '{"defects":[{"kind":"fused","why":"two in one"}],"score":1}': 0.1,
    '{"defects":[{"kind":"cut","why":"It is torn."},{"kind":"cut","why":"It is torn."}],"score":1}': 0.1,
}
"""What the model writes, and how often."""
STRADDLING = ('{"', '":', '":[{"', '":[],"', '":"', '","', '."},{"', '."}],"', '"}],"', "}]", "cut", "It is")
TOKENS = (*STRADDLING, *map(chr, range(32, 127)), "\n")


def encode(text: str) -> list[int]:
    """Write the longest token that fits, again and again."""
    tokens: list[int] = []
    while text:
        tokens.append(
            max((n for n, t in enumerate(TOKENS) if text.startswith(t)), key=lambda n: len(TOKENS[n]))
        )
        text = text[len(TOKENS[tokens[-1]]) :]
    return tokens


def next_tokens(before: str, answers: Mapping[str, float]) -> dict[int, float]:
    """The probabilities of the next token of a model that writes `answers`, after a text."""
    found: dict[int, float] = {}
    for answer, rate in answers.items():
        tokens, length = encode(answer), 0
        for token in tokens:
            if length == len(before) and answer.startswith(before):
                found[token] = found.get(token, 0.0) + rate
            length += len(TOKENS[token])
    total = sum(found.values())
    return {token: rate / total for token, rate in found.items()}


def entry(token: int, shares: Mapping[int, float], wanted: list[int]) -> dict[str, Any]:
    def describe(one: int) -> dict[str, Any]:
        text = TOKENS[one]
        return {"token": text, "bytes": list(text.encode()), "logprob": math.log(shares.get(one, 1e-9))}

    return {**describe(token), "top_logprobs": [describe(one) for one in wanted or shares]}


def script_of(answers: Mapping[str, float]) -> Callable[[str, dict[str, Any]], Response]:
    def script(path: str, body: dict[str, Any]) -> Response:
        if path == "/tokenize":
            tokens = encode(body["prompt"])
            names = [TOKENS[token].translate({10: 0x10A, 32: 0x120}) for token in tokens]
            return 200, {}, {"tokens": tokens, "token_strs": names}
        last = body["messages"][-1]
        text = last["content"] if last["role"] == "assistant" else ""
        wanted, entries, written = body.get("logprob_token_ids") or [], [], ""
        while len(entries) < body["max_tokens"] and '"' not in written.removeprefix('":"'):
            shares = next_tokens(text + written, answers)
            if not shares:
                break
            token = max(shares, key=lambda one: shares[one])
            entries.append(entry(token, shares, wanted))
            written += TOKENS[token]
        if not entries:
            entries = [entry(0, {}, wanted)]
        message = {"role": "assistant", "content": written}
        choice = {"message": message, "logprobs": {"content": entries}, "finish_reason": "length"}
        return 200, {}, {"choices": [choice]}

    return script


def test_branches_labels_and_ends_of_texts_are_read_as_the_model_writes_them(serve: Serve) -> None:
    server = serve(script_of(ANSWERS), MODELS)
    reply = single_reply(connect(server).complete([build_request(form=FORM)]))
    read = reply.probabilities
    assert read["defects.0.open"] == pytest.approx({"open": 0.5, "close": 0.5}, abs=1e-3)
    assert reply.exact and reply.label_mass is not None
    assert reply.label_mass.keys() == read.keys()
    assert min(reply.label_mass.values()) == pytest.approx(1, abs=1e-3)
    likely = {answer: rate for answer, rate in ANSWERS.items() if "defects" in answer and "[]" not in answer}
    server = serve(script_of(likely), MODELS)
    reply = single_reply(connect(server).complete([build_request(form=FORM)]))
    assert reply.text == '{"defects":[{"kind":"cut","why":"It is torn."}],"score":1}'
    read = reply.probabilities
    assert read["defects.0.kind"] == pytest.approx({"cut": 0.8, "fused": 0.2}, abs=1e-3)
    assert read["defects.1.open"] == pytest.approx({"open": 0.25, "close": 0.75}, abs=1e-3)


@pytest.mark.parametrize("layout", ["spaced", "pretty"])
def test_the_layout_of_the_model_is_found(serve: Serve, layout: str) -> None:
    indent = 2 if layout == "pretty" else None
    form = FORM.at_depth("score")
    answers = {json.dumps({"score": n}, indent=indent): rate for n, rate in ((1, 0.3), (5, 0.7))}
    server = serve(script_of(answers), MODELS)
    reply = single_reply(connect(server).choose([build_request(form=form)]))
    assert reply.text == json.dumps({"score": 5}, indent=indent)
    assert reply.probabilities["score"] == pytest.approx({"1": 0.3, "4": 0, "5": 0.7}, abs=1e-3)


def test_numbers_are_read_digit_by_digit_and_tokenized_together(serve: Serve) -> None:
    labels = tuple(map(str, range(1001)))
    form = Form(Object((("x", Choice("x", labels)), ("y", Choice("y", labels)))))
    rates = {(7, 30): 0.1, (70, 30): 0.2, (70, 31): 0.3, (705, 1): 0.15, (1000, 2): 0.25}
    answers = {json.dumps({"x": x, "y": y}, separators=(",", ":")): rate for (x, y), rate in rates.items()}
    server = serve(script_of(answers), MODELS)
    reply = single_reply(connect(server, layout="compact").complete([build_request(form=form)]))
    x, y = (reply.probabilities[name] for name in ("x", "y"))
    assert x == pytest.approx(
        dict.fromkeys(labels, 0) | {"7": 0.1, "70": 0.5, "705": 0.15, "1000": 0.25}, abs=1e-3
    )
    assert y == pytest.approx(dict.fromkeys(labels, 0) | {"30": 0.4, "31": 0.6}, abs=1e-3)
    paths = [path for path, _, _ in server.requests]
    assert paths.count("/tokenize") < 60 and len(server.chats) < 20
