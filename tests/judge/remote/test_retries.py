"""The client sends a request again while the server is full or restarting, and accepts other responses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from judge import Client
from judge.errors import BackendError, DeadlineError, EngineDownError, InputError, OverloadedError
from judge.remote import retries

Response = tuple[int, dict[str, str], str]
"""Status, headers and body."""


class ScriptedHandler(BaseHTTPRequestHandler):
    """Gives scripted responses in order, and repeats the last one."""

    responses: list[Response] = []
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        status, headers, body = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    ScriptedHandler.requests = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def error_response(status: int, **headers: str) -> Response:
    error = {
        "field": "f", "value": "v", "allowed": "a", "mend": "m", "message": "no room", "request_id": "1",
    }  # fmt: skip
    header_names = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, header_names, json.dumps({"error": error})


OK = (200, {}, '{"rubrics": []}')


def test_a_full_or_restarting_server_is_asked_again(server_url: str) -> None:
    ScriptedHandler.responses = [
        error_response(429, Retry_After="0"),
        error_response(503, Retry_After="0"),
        OK,
    ]
    assert Client(server_url).rubrics() == []
    assert ScriptedHandler.requests == 3
    ScriptedHandler.responses = [error_response(429), error_response(429), OK]
    assert asyncio.run(Client(server_url).arubrics()) == []


def test_retries_are_limited(server_url: str) -> None:
    ScriptedHandler.responses = [error_response(429, Retry_After="0")]
    with pytest.raises(OverloadedError, match="no room"):
        Client(server_url, retries=2).rubrics()
    assert ScriptedHandler.requests == 3


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (error_response(503), EngineDownError),
        (error_response(503, Retry_After="3600"), EngineDownError),
        (error_response(504), DeadlineError),
        (error_response(500), BackendError),
        (error_response(400), InputError),
        (error_response(401), InputError),
        ((502, {}, "<html>Bad gateway</html>"), BackendError),
        ((404, {}, "nothing"), BackendError),
        ((307, {"Location": "http://127.0.0.1:9/"}, ""), BackendError),
        ((200, {}, "<html>"), BackendError),
    ],
)
def test_other_responses_are_final(server_url: str, response: Response, error: type[Exception]) -> None:
    ScriptedHandler.responses = [response]
    with pytest.raises(error) as caught:
        Client(server_url).rubrics()
    assert type(caught.value) is error
    assert ScriptedHandler.requests == 1


def test_no_pause_goes_beyond_the_timeout(server_url: str) -> None:
    ScriptedHandler.responses = [error_response(429, Retry_After="20")]
    with pytest.raises(OverloadedError):
        Client(server_url, timeout=5.0).rubrics()
    assert ScriptedHandler.requests == 1
