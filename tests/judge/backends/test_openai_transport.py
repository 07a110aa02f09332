"""Temporary failures of a server are retried, the others are errors at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from threading import Event
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    TOKENS,
    ModelServer,
    Response,
    Script,
    build_request,
    completion,
    connect,
    single_reply,
)

from judge.backends.openai.backend import OpenAI
from judge.errors import BackendError, ReplyError

Serve = Callable[..., ModelServer]


def failing_first(failures: list[Response]) -> Script:
    """Answer with these failures, one after the other, then normally."""
    remaining = list(failures)
    return lambda *_: remaining.pop(0) if remaining else (200, {}, completion(TOKENS, ALTERNATIVES))


def test_a_server_error_is_retried_with_growing_pauses(serve: Serve, pauses: list[float]) -> None:
    server = serve(failing_first([(500, {}, b"oops"), (503, {}, b""), (502, {}, b"")]))
    single_reply(connect(server).complete([build_request()]))
    assert len(server.chats) == 4
    assert len(pauses) == 3
    for pause, longest in zip(pauses, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_the_retry_after_header_is_obeyed(serve: Serve, pauses: list[float]) -> None:
    date = formatdate(time.time() + 20, usegmt=True)
    failures = [(429, {"Retry-After": "7"}, b""), (429, {"Retry-After": date}, b""), (429, {}, b"")]
    single_reply(connect(serve(failing_first(failures))).complete([build_request()]))
    assert pauses[0] == 7
    assert 0 <= pauses[1] <= 20
    assert pauses[2] <= 2


def test_a_server_that_asks_for_a_very_long_pause_is_not_retried(serve: Serve, pauses: list[float]) -> None:
    server = serve(lambda *_: (429, {"Retry-After": "3600"}, {"error": "slow down"}))
    (reply,) = connect(server).complete([build_request()])
    assert isinstance(reply, ReplyError)
    assert "429" in str(reply)
    assert "slow down" in str(reply)
    assert (len(server.chats), pauses) == (1, [])


def test_the_number_of_retries_is_limited(serve: Serve, pauses: list[float]) -> None:
    server = serve(lambda *_: (503, {}, b"down"))
    (reply,) = connect(server, retries=2).complete([build_request()])
    assert "HTTP 503 (down)" in str(reply)
    assert len(server.chats) == 3


def test_a_broken_connection_is_retried(serve: Serve, pauses: list[float]) -> None:
    server = serve()
    handler = server.http.RequestHandlerClass
    respond, breaks = handler.do_POST, iter([True])  # type: ignore[attr-defined]

    def hang_up_once(self: Any) -> None:
        if next(breaks, False):
            self.connection.close()
        else:
            respond(self)

    handler.do_POST = hang_up_once  # type: ignore[attr-defined]
    single_reply(connect(server).complete([build_request()]))
    assert len(pauses) == 1


def test_an_address_where_nothing_listens_is_a_backend_error(pauses: list[float]) -> None:
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:9/v1: cannot be reached"):
        OpenAI("http://127.0.0.1:9/v1", "m", retries=1)
    assert len(pauses) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_status_that_every_request_gets_is_a_backend_error(
    serve: Serve, status: int, pauses: list[float]
) -> None:
    server = serve(lambda *_: (status, {}, {"error": {"message": "no"}}))
    with pytest.raises(BackendError, match=f"HTTP {status}"):
        connect(server).complete([build_request()])
    assert pauses == []


def test_a_timeout_is_a_reply_error_and_is_not_retried(serve: Serve, pauses: list[float]) -> None:
    go = Event()

    def script(*_: Any) -> Response:
        go.wait(60)
        return 200, {}, completion(TOKENS, ALTERNATIVES)

    server = serve(script)
    (reply,) = connect(server, timeout=0.2).complete([build_request()])
    go.set()
    assert "no answer in 0.2 s" in str(reply)
    assert (len(server.chats), pauses) == (1, [])
