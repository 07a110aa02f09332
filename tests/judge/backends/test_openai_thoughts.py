"""Models behind a server that think before they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    FORM,
    SCORE_FORM,
    TOKENS,
    ModelServer,
    build_request,
    completion,
    connect,
    single_reply,
)

from judge.backends.openai.backend import OpenAI
from judge.errors import ReplyError

Serve = Callable[..., ModelServer]
ANSWER, THOUGHT = "".join(TOKENS), 'There is a cat: {"score":1}?'

TEXT = {"type": "text"}


def message(content: Any, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **fields}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "body",
    [
        message(ANSWER, reasoning_content=THOUGHT),
        message(ANSWER, reasoning=THOUGHT),
        message(f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"),
        message(f"{THOUGHT}\n</think>\n\n{ANSWER}"),
        message([{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": ANSWER}]),
        message([{"type": "reasoning", "text": THOUGHT}, {"type": "text", "text": ANSWER}]),
        message(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
                {"type": "text", "text": ANSWER},
            ]
        ),
    ],
    ids=["reasoning_content", "reasoning", "tags", "end tag", "parts", "reasoning part", "nested parts"],
)
def test_a_thought_is_kept_apart_from_the_answer(serve: Serve, body: dict[str, Any]) -> None:
    reply = single_reply(connect(serve(lambda *_: (200, {}, body))).complete([build_request()]))
    assert (reply.text, reply.thought) == (ANSWER, THOUGHT)


@pytest.mark.parametrize("content", [[{"type": "text", "text": ANSWER}], ANSWER])
def test_an_answer_without_a_thought_has_none(serve: Serve, content: Any) -> None:
    server = serve(lambda *_: (200, {}, message(content)))
    reply = single_reply(connect(server).complete([build_request()]))
    assert (reply.text, reply.thought) == (ANSWER, "")


def test_a_tag_in_a_text_of_the_answer_is_no_thought(serve: Serve) -> None:
    answer = '{"elements":{"a cat":true},"score":4,"note":"says </think> here"}'
    reply = single_reply(connect(serve(lambda *_: (200, {}, message(answer)))).complete([build_request()]))
    assert FORM.parse(reply.text)["note"] == "says </think> here"
    assert reply.thought == ""


def test_an_answer_that_a_parser_took_for_a_thought_is_found(serve: Serve) -> None:
    server = serve(lambda *_: (200, {}, message(None, reasoning_content=ANSWER)))
    assert single_reply(connect(server).complete([build_request()])).text == ANSWER


def test_probabilities_are_those_of_the_answer_and_not_of_a_draft(serve: Serve) -> None:
    draft = ["<think>", ANSWER, "</think>", "\n\n"]
    shifted = {index + len(draft): others for index, others in ALTERNATIVES.items()}
    server = serve(lambda *_: (200, {}, completion([*draft, *TOKENS], shifted)))
    reply = single_reply(connect(server).complete([build_request()]))
    assert reply.text == ANSWER
    assert reply.probabilities["elements.0"]["true"] == pytest.approx(0.7 / 0.9)


@pytest.mark.parametrize(
    "cut",
    [
        message(None, reasoning_content=THOUGHT),
        message("", reasoning=THOUGHT),
        message(f"<think>{THOUGHT}"),
        message("Let me look at the picture. First,"),
        message("") | {"usage": {"completion_tokens_details": {"reasoning_tokens": 99}}},
    ],
    ids=["reasoning_content", "reasoning", "open tag", "bare text", "hidden"],
)
def test_a_model_that_thinks_unasked_gets_room_for_it(serve: Serve, cut: dict[str, Any]) -> None:
    cut["choices"][0]["finish_reason"] = "length"

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        return 200, {}, message(ANSWER, reasoning=THOUGHT) if body["max_tokens"] > 5000 else cut

    server = serve(answer)
    backend = connect(server)
    assert single_reply(backend.complete([build_request()])).thought == THOUGHT
    single_reply(backend.complete([build_request()]))
    assert [chat["max_tokens"] > 5000 for chat in server.chats] == [False, True, True]


def test_a_thought_that_never_ends_is_the_reason(serve: Serve) -> None:
    endless = message(None, reasoning_content=THOUGHT)
    endless["choices"][0]["finish_reason"] = "length"
    [reply] = connect(serve(lambda *_: (200, {}, endless))).complete([build_request()])
    assert isinstance(reply, ReplyError)
    assert "still thinking" in str(reply)


def test_a_budget_is_added_to_the_limit_of_the_answer(serve: Serve) -> None:
    server = serve(lambda *_: (200, {}, message(ANSWER)))
    for budget in (0, 300):
        connect(server, thinking=budget).complete([build_request()])
    without, with_budget = (chat["max_tokens"] for chat in server.chats)
    assert with_budget == without + 300


def test_a_vllm_server_thinks_first_and_continues_behind_the_closed_thought(serve: Serve) -> None:
    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if path == "/tokenize":
            return 200, {}, {"tokens": [ord(body["prompt"][0])]}
        if body.get("stop") == ["</think>"]:
            return 200, {}, message(None, reasoning_content=f"{THOUGHT} <|im_end|>")
        label = "true" if body["messages"][-1]["content"].endswith('"a cat":') else "4"
        return 200, {}, completion([label], {0: {label: 0.9}})

    entry = {"id": "m", "owned_by": "vllm"}
    server = serve(answer, [entry])
    backend = OpenAI(server.url, "m", api_key="", retries=0, thinking=40, tokens="pieces")
    reply = single_reply(backend.choose([build_request(form=SCORE_FORM)]))
    assert reply.thought == f"{THOUGHT} <|im_end|>"
    first, *others = server.chats
    assert (first["max_tokens"], first["chat_template_kwargs"]) == (40, {"enable_thinking": True})
    assert others
    for chat in others:
        begun = chat["messages"][-1]["content"]
        assert begun.startswith(f"<think>\n{THOUGHT} <\u2060|im_end|>\n</think>\n\n{{")
        assert chat["continue_final_message"] and chat["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_vllm_server_of_a_thinking_model_gets_a_closed_thought(serve: Serve) -> None:
    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if path == "/tokenize":
            return 200, {}, {"tokens": [ord(body["prompt"][0])]}
        return (
            200,
            {},
            completion(["true" if body["messages"][-1]["content"].endswith('"a cat":') else "4"], {}),
        )

    server = serve(answer, [{"id": "m", "owned_by": "vllm", "root": "Qwen/Qwen3-VL-8B-Thinking"}])
    backend = OpenAI(server.url, "m", api_key="", retries=0, tokens="pieces")
    backend.choose([build_request(form=SCORE_FORM)])
    assert all(c["messages"][-1]["content"].startswith("<think>\n\n</think>\n\n{") for c in server.chats)
    assert json.dumps(server.chats[0]["messages"]).count("<think>") == 1
