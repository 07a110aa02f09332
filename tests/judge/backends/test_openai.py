"""The backend for OpenAI-compatible servers, against real HTTP servers that the tests start.

One plays a hosted model (JSON schema, the likeliest alternatives), one speaks vLLM's dialect. Both answer
from a script; what was sent to them is looked at as closely as what comes back.
"""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from PIL import Image

from judge.backends import Backend, Reply, Request, Stream
from judge.backends.openai import transport as line_module
from judge.backends.openai.backend import OpenAI
from judge.errors import BackendError, InputError, ReplyError
from judge.judge import Judge
from judge.rubrics.form import Box, Choice, Form, Object, Repeat, Text
from judge.rubrics.rubric import SCALE, Rubric

Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: JSON, or bytes as they are."""
Script = Callable[[str, dict[str, Any]], Answer]
"""What a server answers, from path and JSON."""

FORM = Form(
    Object(
        (
            ("elements", Object((("a cat", Choice("elements.0", ("true", "false"))),))),
            ("score", Choice("score", SCALE)),
            ("note", Text("note", 20)),
        )
    )
)
SCORES = FORM.at_depth("score")
RUBRIC = Rubric.load("default")
PIECES = ['{"elements":{"a cat":', "true", '},"score":', "4", ',"note":"', "fine", '"', "}"]
TOLD = {1: {"true": 0.7, "false": 0.2}, 3: {"4": 0.5, "5": 0.3, "3": 0.2}}


def picture(colour: str = "red", side: int = 8) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def request(text: str = "Judge the picture.", form: Form = FORM, images: int = 1) -> Request:
    content: list[dict[str, Any]] = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    return Request([picture() for _ in range(images)], [{"role": "user", "content": content}], form)


def completion(pieces: list[str], told: dict[int, dict[str, float]] | None, **choice: Any) -> dict[str, Any]:
    """A chat completion of these tokens; `told`: number of a token -> alternatives with probabilities."""
    listed = None
    if told is not None:
        listed = {
            "content": [
                {
                    "token": piece,
                    "bytes": list(piece.encode()),
                    "logprob": math.log(told.get(number, {}).get(piece, 1.0)),
                    "top_logprobs": [
                        {"token": other, "bytes": list(other.encode()), "logprob": math.log(share)}
                        for other, share in told.get(number, {}).items()
                    ],
                }
                for number, piece in enumerate(pieces)
            ]
        }
    message = {"role": "assistant", "content": "".join(pieces)}
    return {"choices": [{"message": message, "logprobs": listed, "finish_reason": "stop", **choice}]}


class Served:
    """A server on a free port of this machine, and everything it was asked."""

    def __init__(self, script: Script, models: Any = None) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.script, self.models = script, models
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("/models") and served.models is not None:
                    self.reply(200, {}, {"data": served.models})
                elif self.path == "/version":
                    self.reply(200, {}, {"version": "0.32.0"})
                else:
                    self.reply(404, {}, {"error": {"message": "no such page"}})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                served.asked.append((self.path, body, dict(self.headers)))
                self.reply(*served.script(self.path, body))

            def reply(self, status: int, headers: dict[str, str], body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def chats(self) -> list[dict[str, Any]]:
        return [body for path, body, _ in self.asked if path == "/v1/chat/completions"]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(script: Script | None = None, models: Any = None) -> Served:
        started.append(Served(script or (lambda *_: (200, {}, completion(PIECES, TOLD))), models))
        return started[-1]

    yield start
    for served in started:
        served.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept between tries; nothing is."""
    slept: list[float] = []
    original = line_module.Line.__init__

    def quick(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options, sleep=slept.append)

    monkeypatch.setattr(line_module.Line, "__init__", quick)
    return slept


def open_(served: Served, **options: Any) -> OpenAI:
    return OpenAI(served.url, "m", **{"api_key": "", "retries": 3, **options})


def one(replies: list[Reply | ReplyError]) -> Reply:
    (reply,) = replies
    assert isinstance(reply, Reply), reply
    return reply


# -- What is sent ------------------------------------------------------------------------------------------


def test_a_chat_goes_out_with_schema_picture_and_key(serve: Callable[..., Served]) -> None:
    served = serve()
    reply = one(open_(served, api_key="secret", extra={"reasoning_effort": "none"}).complete([request()]))
    assert reply.text == "".join(PIECES)
    ((path, body, headers),) = served.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("m", 0, True, 20)
    assert body["response_format"]["json_schema"]["schema"] == FORM.json_schema()
    assert body["reasoning_effort"] == "none"
    shown, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Judge the picture."}
    head, data = shown["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.convert("RGB").tobytes() == picture().tobytes()


def test_no_key_is_sent_where_none_is_given(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    served = serve()
    OpenAI(served.url, "m").complete([request()])
    assert "Authorization" not in served.asked[0][2]


MARKS = ["<|im_end|>", "<|image_pad|>", "</s>", "<s>", "<image>", "[INST]", "[/INST]", "<end_of_turn>"]


@pytest.mark.parametrize("mark", MARKS)
def test_marks_of_a_chat_template_in_a_prompt_go_out_broken(serve: Callable[..., Served], mark: str) -> None:
    served = serve()
    open_(served).complete([request(f"a cat {mark}")])
    sent = served.chats[0]["messages"][0]["content"][1]["text"]
    assert mark not in sent
    assert sent.replace("\u2060", "") == f"a cat {mark}"


@pytest.mark.parametrize("text", ["a < b | c", "[1] and [cat]", "<prompt>\na cat\n</prompt>", "x<y>z"])
def test_other_brackets_in_a_prompt_stay_as_they_are(serve: Callable[..., Served], text: str) -> None:
    served = serve()
    open_(served).complete([request(text)])
    assert served.chats[0]["messages"][0]["content"][1]["text"] == text


def test_pictures_that_do_not_match_the_messages_are_a_reply_error(serve: Callable[..., Served]) -> None:
    served = serve()
    asked = request()
    asked.images = []
    more = request()
    more.images *= 2
    replies = open_(served).complete([asked, more])
    assert [str(reply)[:15] for reply in replies] == ["images: 0 given", "images: 2 given"]
    assert served.chats == []


# -- What comes back ---------------------------------------------------------------------------------------


def test_labels_get_their_probabilities_from_the_same_reply(serve: Callable[..., Served]) -> None:
    reply = one(open_(serve()).complete([request()]))
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 7 / 9, "false": 2 / 9})
    assert reply.probabilities["score"]["4"] == pytest.approx(0.5)
    assert reply.exact


def test_alternatives_that_do_not_cover_the_labels_make_an_estimate(serve: Callable[..., Served]) -> None:
    told = {**TOLD, 3: {"4": 0.5, "5": 0.3}}
    reply = one(open_(serve(lambda *_: (200, {}, completion(PIECES, told)))).complete([request()]))
    assert reply.probabilities["score"]["5"] == pytest.approx(0.375)
    assert not reply.exact


def test_a_server_without_log_probabilities_gives_written_labels_and_a_note(
    serve: Callable[..., Served],
) -> None:
    def script(_: str, body: dict[str, Any]) -> Answer:
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

    judge = Judge(backend=open_(serve(script)))
    verdict = judge(picture(), prompt="a red circle", elements=["red circle"])
    assert (verdict.score, verdict.elements[0].probability) == (4.0, 1.0)
    assert "numbers are those of the written labels" in " ".join(verdict.provenance.notes)


def test_a_server_that_turns_fields_down_is_asked_without_them_from_then_on(
    serve: Callable[..., Served],
) -> None:
    def script(_: str, body: dict[str, Any]) -> Answer:
        for field in ("top_logprobs", "temperature", "max_tokens"):
            if field in body:
                return 400, {}, {"error": {"message": f"Unsupported parameter: '{field}' with this model"}}
        return 200, {}, completion(PIECES, None)

    served = serve(script)
    backend = open_(served, concurrency=1)
    assert one(backend.complete([request()])).probabilities == {}
    assert len(served.chats) == 4
    one(backend.complete([request()]))
    assert len(served.chats) == 5
    last = served.chats[-1]
    assert not {"logprobs", "top_logprobs", "temperature", "max_tokens"} & set(last)
    assert last["max_completion_tokens"] > 0


BROKEN: dict[str, Answer] = {
    "is no JSON": (200, {}, b"<html>busy</html>"),
    "is no chat completion": (200, {}, {"choices": []}),
    "answer is no chat completion": (200, {}, []),
    "empty": (200, {}, completion([""], None)),
    "refused": (200, {}, {"choices": [{"message": {"content": None, "refusal": "I will not"}}]}),
    "not finished": (200, {}, completion(PIECES[:3], TOLD, finish_reason="length")),
    "HTTP 400": (400, {}, {"error": {"message": "prompt too long"}}),
    "HTTP 422 (bad)": (422, {}, {"detail": "bad"}),
    "HTTP 302": (302, {"Location": "http://127.0.0.1:9/"}, b""),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_answer_that_cannot_be_used_is_one_line_for_its_row(
    serve: Callable[..., Served], message: str, pauses: list[float]
) -> None:
    """The row beside it is answered, and nothing is asked twice."""

    def script(_: str, body: dict[str, Any]) -> Answer:
        bad = "bad" in body["messages"][0]["content"][1]["text"]
        return BROKEN[message] if bad else (200, {}, completion(PIECES, TOLD))

    served = serve(script)
    replies = open_(served).complete([request("bad"), request("good")])
    assert isinstance(replies[0], ReplyError)
    assert message in str(replies[0])
    assert "\n" not in str(replies[0])
    assert isinstance(replies[1], Reply)
    assert (len(served.chats), pauses) == (2, [])


def test_a_reply_that_is_not_the_form_becomes_an_unscored_verdict(serve: Callable[..., Served]) -> None:
    judge = Judge(backend=open_(serve(lambda *_: (200, {}, completion(['{"score":9}'], {})))))
    verdict = judge(picture(), prompt="a red circle")
    assert verdict.status == "unscored"
    assert verdict.reason


# -- Trouble -----------------------------------------------------------------------------------------------


def failing(first: list[Answer]) -> Script:
    """Answers these first, one after the other, then as it should."""
    left = list(first)
    return lambda *_: left.pop(0) if left else (200, {}, completion(PIECES, TOLD))


def test_a_server_error_is_asked_again_with_growing_pauses(
    serve: Callable[..., Served], pauses: list[float]
) -> None:
    served = serve(failing([(500, {}, b"oops"), (503, {}, b""), (502, {}, b"")]))
    one(open_(served).complete([request()]))
    assert len(served.chats) == 4
    assert len(pauses) == 3
    for slept, most in zip(pauses, (0.5, 1.0, 2.0), strict=True):
        assert most / 2 <= slept <= most


def test_what_the_server_says_about_waiting_is_kept(
    serve: Callable[..., Served], pauses: list[float]
) -> None:
    date = formatdate(time.time() + 20, usegmt=True)
    answers = [(429, {"Retry-After": "7"}, b""), (429, {"Retry-After": date}, b""), (429, {}, b"")]
    one(open_(serve(failing(answers))).complete([request()]))
    assert pauses[0] == 7
    assert 0 <= pauses[1] <= 20
    assert pauses[2] <= 2


def test_a_server_that_wants_more_patience_than_there_is_gets_no_further_try(
    serve: Callable[..., Served], pauses: list[float]
) -> None:
    served = serve(lambda *_: (429, {"Retry-After": "3600"}, {"error": "slow down"}))
    (reply,) = open_(served).complete([request()])
    assert isinstance(reply, ReplyError)
    assert "429" in str(reply)
    assert "slow down" in str(reply)
    assert (len(served.chats), pauses) == (1, [])


def test_tries_are_bounded(serve: Callable[..., Served], pauses: list[float]) -> None:
    served = serve(lambda *_: (503, {}, b"down"))
    (reply,) = open_(served, retries=2).complete([request()])
    assert "HTTP 503 (down)" in str(reply)
    assert len(served.chats) == 3


def test_a_broken_connection_is_asked_again(serve: Callable[..., Served], pauses: list[float]) -> None:
    served = serve()
    handler = served.server.RequestHandlerClass
    working, broken = handler.do_POST, iter([True])  # type: ignore[attr-defined]

    def hang_up(self: Any) -> None:
        if next(broken, False):
            self.connection.close()
        else:
            working(self)

    handler.do_POST = hang_up  # type: ignore[attr-defined]
    one(open_(served).complete([request()]))
    assert len(pauses) == 1


def test_nothing_at_the_address_is_a_backend_error(pauses: list[float]) -> None:
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:9/v1: cannot be reached"):
        OpenAI("http://127.0.0.1:9/v1", "m", retries=1)
    assert len(pauses) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_gets_past_is_a_backend_error(
    serve: Callable[..., Served], status: int, pauses: list[float]
) -> None:
    served = serve(lambda *_: (status, {}, {"error": {"message": "no"}}))
    with pytest.raises(BackendError, match=f"HTTP {status}"):
        open_(served).complete([request()])
    assert pauses == []


def test_a_slow_answer_is_a_reply_error_and_is_not_asked_for_twice(
    serve: Callable[..., Served], pauses: list[float]
) -> None:
    go = Event()

    def script(*_: Any) -> Answer:
        go.wait(60)
        return 200, {}, completion(PIECES, TOLD)

    served = serve(script)
    (reply,) = open_(served, timeout=0.2).complete([request()])
    go.set()
    assert "no answer in 0.2 s" in str(reply)
    assert (len(served.chats), pauses) == (1, [])


def test_no_more_requests_run_at_once_than_asked_for(serve: Callable[..., Served]) -> None:
    running, most = [], [0]

    def script(*_: Any) -> Answer:
        running.append(1)
        most[0] = max(most[0], len(running))
        time.sleep(0.02)
        running.pop()
        return 200, {}, completion(PIECES, TOLD)

    replies = open_(serve(script), concurrency=3).complete([request(str(n)) for n in range(12)])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert most[0] <= 3


def test_answers_come_back_in_the_order_of_the_questions(serve: Callable[..., Served]) -> None:
    def script(_: str, body: dict[str, Any]) -> Answer:
        number = int(body["messages"][0]["content"][1]["text"])
        time.sleep(0.01 * (5 - number))
        return 200, {}, completion([*PIECES[:5], str(number), *PIECES[6:]], TOLD)

    replies = open_(serve(script)).complete([request(str(n)) for n in range(6)])
    assert [json.loads(reply.text)["note"] for reply in replies] == list("012345")


# -- The stream --------------------------------------------------------------------------------------------


def test_forms_can_be_submitted_taken_back_and_collected(serve: Callable[..., Served]) -> None:
    go = Event()

    def script(_: str, body: dict[str, Any]) -> Answer:
        if "slow" in body["messages"][0]["content"][1]["text"]:
            go.wait(60)
        return 200, {}, completion(PIECES, TOLD)

    backend = open_(serve(script))
    assert isinstance(backend, Stream)
    assert isinstance(backend, Backend)
    backend.submit("a", "complete", request("slow"))
    backend.submit("b", "complete", request())
    with pytest.raises(InputError, match="key"):
        backend.submit("b", "complete", request())
    done: list[tuple[str, Reply | ReplyError]] = []
    while not done:
        done = backend.step()
    assert [key for key, _ in done] == ["b"]
    assert backend.pending == 1
    backend.abort("a")
    backend.abort("never heard of")
    assert backend.pending == 0
    go.set()
    assert backend.step() == []
    backend.close()


# -- Start-up ----------------------------------------------------------------------------------------------


def test_a_model_that_is_not_served_is_named_with_those_that_are(serve: Callable[..., Served]) -> None:
    served = serve(models=[{"id": "a/b"}, {"id": "c"}])
    with pytest.raises(BackendError, match="does not serve 'm'; it serves a/b, c"):
        open_(served)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"concurrency": 0}, "concurrency"), ({"timeout": 0}, "timeout"), ({"retries": -1}, "retries")],
)
def test_options_off_their_menu_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        OpenAI("http://127.0.0.1:9", "m", **options)


@pytest.mark.parametrize("address", ["", "localhost:8000", "file:///etc/passwd", "ftp://x/"])
def test_only_web_addresses_are_taken(address: str) -> None:
    with pytest.raises(InputError, match="base_url"):
        OpenAI(address, "m")


def test_lists_and_text_cannot_be_read_at_score_depth(serve: Callable[..., Served]) -> None:
    with pytest.raises(InputError, match="choice blanks"):
        open_(serve()).choose([request()])


def test_score_depth_is_one_answer_of_a_hosted_model(serve: Callable[..., Served]) -> None:
    pieces = [*PIECES[:4], "}"]
    served = serve(lambda *_: (200, {}, completion(pieces, TOLD)))
    reply = one(open_(served).choose([request(form=SCORES)]))
    assert reply.probabilities["score"]["5"] == pytest.approx(0.3)
    assert len(served.chats) == 1


# -- vLLM's dialect ----------------------------------------------------------------------------------------

VLLM = [{"id": "base", "owned_by": "vllm"}, {"id": "m", "owned_by": "vllm", "parent": "base"}]
ITEM = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)), ("box", Box("box", grid=100))))
BOXES = Form(Object((("defects", Repeat("defects", ITEM, 0, 1)), ("score", Choice("score", SCALE)))))


def tokenized(body: dict[str, Any]) -> Answer:
    """Every label a token of its own, numbered by its bytes."""
    number = int.from_bytes(body["prompt"].encode()[:3], "big")
    return 200, {}, {"tokens": [number, 7], "count": 2}


def label(number: int) -> str:
    return number.to_bytes(3, "big").strip(b"\0").decode()


def test_a_vllm_server_is_known_by_its_list_and_asked_in_its_own_terms(serve: Callable[..., Served]) -> None:
    def script(path: str, body: dict[str, Any]) -> Answer:
        return tokenized(body) if path == "/tokenize" else (200, {}, completion(PIECES, TOLD))

    served = serve(script, VLLM)
    backend = open_(served)
    assert (backend.version, backend.adapter) == ("0.32.0", "m")
    reply = one(backend.complete([request()]))
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 7 / 9, "false": 2 / 9})
    assert reply.exact
    (chat,) = served.chats
    assert "response_format" not in chat
    assert chat["structured_outputs"]["grammar"].startswith('root ::= "{\\"elements\\":{\\"a cat\\":" r0')
    assert {label(n) for n in chat["logprob_token_ids"]} == {"tru", "fal", *SCALE}
    assert all(body["add_special_tokens"] is False for path, body, _ in served.asked if path == "/tokenize")


def test_labels_are_tokenised_once(serve: Callable[..., Served]) -> None:
    def script(path: str, body: dict[str, Any]) -> Answer:
        return tokenized(body) if path == "/tokenize" else (200, {}, completion(PIECES, TOLD))

    served = serve(script, VLLM)
    backend = open_(served, concurrency=1)
    backend.complete([request(), request(), request()])
    assert sum(path == "/tokenize" for path, _, _ in served.asked) == 7


def test_on_vllm_score_depth_reads_each_blank_behind_placeholders(serve: Callable[..., Served]) -> None:
    def script(path: str, body: dict[str, Any]) -> Answer:
        if path == "/tokenize":
            return tokenized(body)
        said = body["messages"][-1]
        assert said["role"] == "assistant"
        told = {"true": 0.25, "false": 0.75} if said["content"].endswith('"a cat":') else {"2": 0.9, "5": 0.1}
        told |= dict.fromkeys(set(SCALE) - set(told), 1e-30) if "2" in told else {}
        cut = completion([max(told, key=lambda key: told[key])], {0: told}, finish_reason="length")
        return 200, {}, cut

    served = serve(script, VLLM)
    reply = one(open_(served).choose([request(form=SCORES)]))
    assert reply.text == '{"elements":{"a cat":false},"score":2}'
    assert reply.probabilities["elements.0"] == pytest.approx({"true": 0.25, "false": 0.75})
    assert reply.probabilities["score"]["5"] == pytest.approx(0.1)
    begun = sorted(chat["messages"][-1]["content"] for chat in served.chats)
    assert begun == ['{"elements":{"a cat":', '{"elements":{"a cat":true},"score":']
    for chat in served.chats:
        assert (chat["max_tokens"], chat["continue_final_message"]) == (1, True)
        assert chat["add_generation_prompt"] is False


def test_on_vllm_a_box_that_runs_backwards_is_asked_again_from_its_corner(
    serve: Callable[..., Served],
) -> None:
    first = ['{"defects":[', "{", '"kind":"', "cut", '","box":[', "300", ",", "0", ",", "200", ",", "100"]
    first += ["]}", "]", ',"score":', "1", "}"]

    def script(path: str, body: dict[str, Any]) -> Answer:
        if path == "/tokenize":
            return tokenized(body)
        if body["messages"][-1]["role"] == "user":
            return 200, {}, completion(first, {15: {"1": 1.0}})
        return 200, {}, completion(["400", ",", "100", "]}]", ',"score":', "2"], {5: {"2": 1.0}})

    served = serve(script, VLLM)
    reply = one(open_(served).complete([request(form=BOXES)]))
    assert json.loads(reply.text) == {"defects": [{"kind": "cut", "box": [300, 0, 400, 100]}], "score": 2}
    assert reply.probabilities["score"]["2"] == pytest.approx(1)
    again = served.chats[1]
    assert again["messages"][-1]["content"] == '{"defects":[{"kind":"cut","box":[300,0,'
    assert again["continue_final_message"] is True
    (corner,) = [r for r in again["structured_outputs"]["grammar"].splitlines() if r.startswith("r0 ::=")]
    assert '"400"' in corner
    assert '"300"' not in corner
