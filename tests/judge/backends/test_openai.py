"""The backend for OpenAI-compatible servers against a real HTTP server with scripted answers.

The server plays a hosted model: JSON schema, the most likely alternatives. The tests check what is sent to it
as well as what comes back.
"""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    FORM,
    SCORE_FORM,
    TOKENS,
    ModelServer,
    Response,
    build_request,
    completion,
    connect,
    plain_image,
    single_reply,
)
from PIL import Image

from judge.backends import Backend, Reply, Stream
from judge.backends.openai.backend import OpenAI
from judge.errors import BackendError, InputError, ReplyError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric

RUBRIC = Rubric.load("default")
Serve = Callable[..., ModelServer]

# -- What is sent ------------------------------------------------------------------------------------------


def test_a_chat_is_sent_with_schema_image_and_key(serve: Serve) -> None:
    server = serve()
    backend = connect(server, api_key="secret", extra={"reasoning_effort": "none"})
    reply = single_reply(backend.complete([build_request()]))
    assert reply.text == "".join(TOKENS)
    ((path, body, headers),) = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("m", 0, True, 20)
    assert body["response_format"]["json_schema"]["schema"] == FORM.json_schema()
    assert body["reasoning_effort"] == "none"
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Judge the picture."}
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.convert("RGB").tobytes() == plain_image().tobytes()


def test_without_a_key_no_authorization_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = serve()
    OpenAI(server.url, "m").complete([build_request()])
    assert "Authorization" not in server.requests[0][2]


CONTROL_TOKENS = [
    "<|im_end|>",
    "<|image_pad|>",
    "</s>",
    "<s>",
    "<image>",
    "[INST]",
    "[/INST]",
    "<end_of_turn>",
]


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_control_tokens_in_a_prompt_are_broken(serve: Serve, token: str) -> None:
    server = serve()
    connect(server).complete([build_request(f"a cat {token}")])
    sent = server.chats[0]["messages"][0]["content"][1]["text"]
    assert token not in sent
    assert sent.replace("\u2060", "") == f"a cat {token}"


@pytest.mark.parametrize("text", ["a < b | c", "[1] and [cat]", "<prompt>\na cat\n</prompt>", "x<y>z"])
def test_other_brackets_in_a_prompt_are_sent_unchanged(serve: Serve, text: str) -> None:
    server = serve()
    connect(server).complete([build_request(text)])
    assert server.chats[0]["messages"][0]["content"][1]["text"] == text


def test_a_wrong_number_of_images_is_a_reply_error(serve: Serve) -> None:
    server = serve()
    none, two = build_request(), build_request()
    none.images = []
    two.images *= 2
    replies = connect(server).complete([none, two])
    assert [str(reply)[:15] for reply in replies] == ["images: 0 given", "images: 2 given"]
    assert server.chats == []


# -- What comes back ---------------------------------------------------------------------------------------


def test_label_probabilities_are_read_from_the_same_answer(serve: Serve) -> None:
    reply = single_reply(connect(serve()).complete([build_request()]))
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 7 / 9, "false": 2 / 9})
    assert reply.probabilities["score"]["4"] == pytest.approx(0.5)
    assert reply.label_mass == pytest.approx({"elements.0": 0.9, "score": 1.0})
    assert reply.exact


def test_alternatives_that_do_not_cover_the_labels_give_an_estimate(serve: Serve) -> None:
    alternatives = {**ALTERNATIVES, 3: {"4": 0.5, "5": 0.3}}
    server = serve(lambda *_: (200, {}, completion(TOKENS, alternatives)))
    reply = single_reply(connect(server).complete([build_request()]))
    assert reply.probabilities["score"]["5"] == pytest.approx(0.375)
    assert reply.label_mass is not None and "score" not in reply.label_mass
    assert not reply.exact


def test_without_log_probabilities_the_numbers_are_those_of_the_written_labels(serve: Serve) -> None:
    def script(_: str, body: dict[str, Any]) -> Response:
        form = RUBRIC.form(["red circle"])
        values = {
            "elements": {"red circle": True},
            "degradation": "none",
            "defects": [],
            "alignment": 5,
            "structure": 4,
            "score": 4,
            "explanation": "fine",
        }
        return 200, {}, completion([form.render(values)], None)

    judge = Judge(backend=connect(serve(script)))
    verdict = judge(plain_image(), prompt="a red circle", elements=["red circle"])
    assert (verdict.score, verdict.elements[0].probability) == (4.0, 1.0)
    assert "numbers are those of the written labels" in " ".join(verdict.provenance.notes)


def test_a_rejected_field_is_left_out_from_then_on(serve: Serve) -> None:
    def script(_: str, body: dict[str, Any]) -> Response:
        for field in ("top_logprobs", "temperature", "max_tokens"):
            if field in body:
                return 400, {}, {"error": {"message": f"Unsupported parameter: '{field}' with this model"}}
        return 200, {}, completion(TOKENS, None)

    server = serve(script)
    backend = connect(server, concurrency=1)
    assert single_reply(backend.complete([build_request()])).probabilities == {}
    assert len(server.chats) == 4
    single_reply(backend.complete([build_request()]))
    assert len(server.chats) == 5
    last = server.chats[-1]
    assert not {"logprobs", "top_logprobs", "temperature", "max_tokens"} & set(last)
    assert last["max_completion_tokens"] > 0


UNUSABLE: dict[str, Response] = {
    "is no JSON": (200, {}, b"<html>busy</html>"),
    "is no chat completion": (200, {}, {"choices": []}),
    "answer is no chat completion": (200, {}, []),
    "empty": (200, {}, completion([""], None)),
    "refused": (200, {}, {"choices": [{"message": {"content": None, "refusal": "I will not"}}]}),
    "not finished": (200, {}, completion(TOKENS[:3], ALTERNATIVES, finish_reason="length")),
    "HTTP 400": (400, {}, {"error": {"message": "prompt too long"}}),
    "HTTP 422 (bad)": (422, {}, {"detail": "bad"}),
    "HTTP 302": (302, {"Location": "http://127.0.0.1:9/"}, b""),
}


@pytest.mark.parametrize("message", UNUSABLE)
def test_an_unusable_answer_is_a_one_line_error_of_its_row(
    serve: Serve, message: str, pauses: list[float]
) -> None:
    """The other row is answered, and nothing is requested twice."""

    def script(_: str, body: dict[str, Any]) -> Response:
        is_bad = "bad" in body["messages"][0]["content"][1]["text"]
        return UNUSABLE[message] if is_bad else (200, {}, completion(TOKENS, ALTERNATIVES))

    server = serve(script)
    replies = connect(server).complete([build_request("bad"), build_request("good")])
    assert isinstance(replies[0], ReplyError)
    assert message in str(replies[0])
    assert "\n" not in str(replies[0])
    assert isinstance(replies[1], Reply)
    assert (len(server.chats), pauses) == (2, [])


def test_an_answer_that_does_not_fit_the_form_becomes_an_unscored_verdict(serve: Serve) -> None:
    judge = Judge(backend=connect(serve(lambda *_: (200, {}, completion(['{"score":9}'], {})))))
    verdict = judge(plain_image(), prompt="a red circle")
    assert verdict.status == "unscored"
    assert verdict.reason


def test_score_depth_takes_one_answer_of_a_hosted_model(serve: Serve) -> None:
    server = serve(lambda *_: (200, {}, completion([*TOKENS[:4], "}"], ALTERNATIVES)))
    reply = single_reply(connect(server).choose([build_request(form=SCORE_FORM)]))
    assert reply.probabilities["score"]["5"] == pytest.approx(0.3)
    assert len(server.chats) == 1


def test_score_depth_rejects_forms_with_text_or_lists(serve: Serve) -> None:
    with pytest.raises(InputError, match="choice blanks"):
        connect(serve()).choose([build_request()])


# -- Many requests -----------------------------------------------------------------------------------------


def test_no_more_requests_than_allowed_run_at_once(serve: Serve) -> None:
    running, most = [], [0]

    def script(*_: Any) -> Response:
        running.append(1)
        most[0] = max(most[0], len(running))
        time.sleep(0.02)
        running.pop()
        return 200, {}, completion(TOKENS, ALTERNATIVES)

    replies = connect(serve(script), concurrency=3).complete([build_request(str(n)) for n in range(12)])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert most[0] <= 3


def test_replies_come_in_the_order_of_the_requests(serve: Serve) -> None:
    def script(_: str, body: dict[str, Any]) -> Response:
        number = int(body["messages"][0]["content"][1]["text"])
        time.sleep(0.01 * (5 - number))
        return 200, {}, completion([*TOKENS[:5], str(number), *TOKENS[6:]], ALTERNATIVES)

    replies = connect(serve(script)).complete([build_request(str(n)) for n in range(6)])
    assert [json.loads(reply.text)["note"] for reply in replies] == list("012345")


def test_forms_can_be_submitted_aborted_and_collected(serve: Serve) -> None:
    go = Event()

    def script(_: str, body: dict[str, Any]) -> Response:
        if "slow" in body["messages"][0]["content"][1]["text"]:
            go.wait(60)
        return 200, {}, completion(TOKENS, ALTERNATIVES)

    backend = connect(serve(script))
    assert isinstance(backend, Stream)
    assert isinstance(backend, Backend)
    backend.submit("a", "complete", build_request("slow"))
    backend.submit("b", "complete", build_request())
    with pytest.raises(InputError, match="key"):
        backend.submit("b", "complete", build_request())
    done: list[tuple[str, Reply | ReplyError]] = []
    while not done:
        done = backend.step()
    assert [key for key, _ in done] == ["b"]
    assert backend.pending == 1
    backend.abort("a")
    backend.abort("unknown key")
    assert backend.pending == 0
    go.set()
    assert backend.step() == []
    backend.close()


# -- Start-up ----------------------------------------------------------------------------------------------


def test_a_model_that_is_not_served_is_an_error_with_the_served_names(serve: Serve) -> None:
    server = serve(models=[{"id": "a/b"}, {"id": "c"}])
    with pytest.raises(BackendError, match="does not serve 'm'; it serves a/b, c"):
        connect(server)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"concurrency": 0}, "concurrency"), ({"timeout": 0}, "timeout"), ({"retries": -1}, "retries")],
)
def test_an_unusable_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        OpenAI("http://127.0.0.1:9", "m", **options)


@pytest.mark.parametrize("address", ["", "localhost:8000", "file:///etc/passwd", "ftp://x/"])
def test_only_http_addresses_are_accepted(address: str) -> None:
    with pytest.raises(InputError, match="base_url"):
        OpenAI(address, "m")
