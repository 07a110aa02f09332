"""A scripted model server on a free port, for tests of the backend for OpenAI-compatible servers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from PIL import Image

from judge.backends.base import Reply, Request
from judge.backends.openai.backend import OpenAI
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object, Text
from judge.rubrics.schema import SCORE_LABELS

Response = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: JSON, or bytes."""
Script = Callable[[str, dict[str, Any]], Response]
"""What a server answers, from the path and the JSON of a request."""

FORM = Form(
    Object(
        (
            ("elements", Object((("a cat", Choice("elements.0", ("true", "false"))),))),
            ("score", Choice("score", SCORE_LABELS)),
            ("note", Text("note", 20)),
        )
    )
)
SCORE_FORM = FORM.at_depth("score")
TOKENS = ['{"elements":{"a cat":', "true", '},"score":', "4", ',"note":"', "fine", '"', "}"]
"""The tokens of an answer to `FORM`."""
ALTERNATIVES = {1: {"true": 0.7, "false": 0.2}, 3: {"4": 0.5, "5": 0.3, "3": 0.2}}
"""Index of a token of `TOKENS` -> the possible tokens there and their probabilities."""


def plain_image(colour: str = "red", side: int = 8) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def build_request(text: str = "Judge the picture.", form: Form = FORM, images: int = 1) -> Request:
    content: list[dict[str, Any]] = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    return Request([plain_image() for _ in range(images)], messages, form)


def completion(
    tokens: list[str], alternatives: dict[int, dict[str, float]] | None, **choice: Any
) -> dict[str, Any]:
    """The JSON of a chat completion.

    Args:
        tokens: tokens of the answer.
        alternatives: as `ALTERNATIVES`; None: the server reports no tokens.
        choice: further fields of the choice.
    """
    logprobs = None
    if alternatives is not None:
        entries = [
            {
                "token": token,
                "bytes": list(token.encode()),
                "logprob": math.log(alternatives.get(index, {}).get(token, 1.0)),
                "top_logprobs": [
                    {"token": other, "bytes": list(other.encode()), "logprob": math.log(probability)}
                    for other, probability in alternatives.get(index, {}).items()
                ],
            }
            for index, token in enumerate(tokens)
        ]
        logprobs = {"content": entries}
    message = {"role": "assistant", "content": "".join(tokens)}
    return {"choices": [{"message": message, "logprobs": logprobs, "finish_reason": "stop", **choice}]}


class ModelServer:
    """A server on a free port of this machine, which records its requests.

    Args:
        script: what it answers to POST requests.
        models: entries of its list of models; None: it has no list.
    """

    def __init__(self, script: Script, models: Any = None) -> None:
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        """Path, JSON and headers of every POST request."""
        self.script, self.models = script, models
        server = self

        class RequestHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("/models") and server.models is not None:
                    self.respond(200, {}, {"data": server.models})
                elif self.path == "/version":
                    self.respond(200, {}, {"version": "0.32.0"})
                else:
                    self.respond(404, {}, {"error": {"message": "no such page"}})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append((self.path, body, dict(self.headers)))
                self.respond(*server.script(self.path, body))

            def respond(self, status: int, headers: dict[str, str], body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler)
        self.http.daemon_threads = True
        Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The JSON of every chat completion that was requested."""
        return [body for path, body, _ in self.requests if path == "/v1/chat/completions"]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def connect(server: ModelServer, **options: Any) -> OpenAI:
    return OpenAI(server.url, "m", **{"api_key": "", "retries": 3, **options})


def single_reply(replies: list[Reply | ReplyError]) -> Reply:
    (reply,) = replies
    assert isinstance(reply, Reply), reply
    return reply
