"""Helpers for tests of the gateway: backends for the engine process, and a gateway on a free port."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from PIL import Image
from random_backend import RandomBackend

from judge.backends.base import Reply, Request
from judge.errors import BackendError, InputError, ReplyError
from judge.serve.engine.ipc import BackendSpec
from judge.serve.engine.supervisor import Engine, RestartPolicy
from judge.serve.http.app import build_app
from judge.serve.keys import Keys, create_key
from judge.serve.log import Log
from judge.serve.service import Service
from judge.serve.settings import Settings

FAST_RESTARTS = RestartPolicy(max_attempts=3, first_pause=0.05, longest_pause=0.2, load_timeout=120.0)


class SlowBackend(RandomBackend):
    """A scripted backend that waits before each batch, and fails on prompts with "broken".

    Args:
        seconds: time to sleep before each batch.
        batch: largest number of requests in a batch.
        gate: path of a file; batches wait until it exists.
        child: start an idle child process, as engines do that compute elsewhere; `revision` is its id.
        fork: fork an idle process, which inherits everything that this process has open.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        batch: int = 16,
        gate: str | None = None,
        child: bool = False,
        fork: bool = False,
    ) -> None:
        super().__init__()
        self.seconds, self.batch, self.gate = seconds, batch, gate
        if child:
            process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(3600,))
            process.start()
            self.revision = str(process.pid)
        if fork and os.fork() == 0:
            time.sleep(3600)
            os._exit(0)

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        time.sleep(self.seconds)
        while self.gate and not Path(self.gate).exists():
            time.sleep(0.005)
        texts = [request.messages[0]["content"][1]["text"] for request in requests]
        if any("broken" in text for text in texts):
            raise BackendError("it broke over this row")
        return [
            Reply("no JSON at all") if "unreadable" in text else self._fill(request)
            for request, text in zip(requests, texts, strict=True)
        ]

    complete = choose


class StreamingBackend(SlowBackend):
    """The same with continuous batching: each step finishes one request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.waiting: dict[str, Request] = {}

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def submit(self, key: str, verb: str, request: Request) -> None:
        self.waiting[key] = request

    def abort(self, key: str) -> None:
        self.waiting.pop(key, None)

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        key = next(iter(self.waiting))
        return [(key, self.choose([self.waiting.pop(key)])[0])]


# -- Factories for the engine process, by name ---------------------------------------------------------


def slow(**options: Any) -> SlowBackend:
    return SlowBackend(**options)


def streaming(**options: Any) -> StreamingBackend:
    return StreamingBackend(**options)


def slow_to_load(seconds: float) -> SlowBackend:
    time.sleep(seconds)
    return SlowBackend()


def fails_to_load(**_: Any) -> SlowBackend:
    raise BackendError("the weights are missing")


def has_a_bad_option(**_: Any) -> SlowBackend:
    raise InputError("bits", 3, "4 or 8", "choose one")


def backend_spec(name: str = "slow", **options: Any) -> BackendSpec:
    """Return the spec of one of the backends above."""
    return BackendSpec(f"serving:{name}", options)


# -- Inputs --------------------------------------------------------------------------------------------


def png(width: int = 40, height: int = 30, color: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes | None = None) -> str:
    return "data:image/png;base64," + base64.b64encode(data or png()).decode()


# -- Keys ----------------------------------------------------------------------------------------------

KEY, KEY_LINE = create_key("alice", None)
"""A key that the gateways of these tests accept, and the line of the keys file about it."""
OTHER_KEY, _ = create_key("mallory", None)
KEYS = Keys(dict([KEY_LINE.split(":")]))


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()}


# -- Gateways ------------------------------------------------------------------------------------------


@dataclass
class Gateway:
    """A running gateway, and a client for it."""

    url: str
    service: Service
    log_stream: io.StringIO

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_stream.getvalue().splitlines()]

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, trust_env=False, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False, **options)

    def verdict(self, prompt: str = "a red circle", **options: Any) -> httpx.Response:
        return self.post("/v1/verdicts", files={"image": png()}, data={"prompt": prompt}, **options)


@contextmanager
def gateway(
    spec: BackendSpec | None = None,
    settings: Settings | None = None,
    policy: RestartPolicy = FAST_RESTARTS,
    wait: bool = True,
    **options: Any,
) -> Iterator[Gateway]:
    """Run a gateway with a real uvicorn in a thread, over an engine process.

    Args:
        spec: the engine's backend; default: a `SlowBackend`.
        settings: of the HTTP side; default: without the web page.
        policy: restarts of the engine.
        wait: wait until the engine is ready or has failed.
        **options: of `Service`.
    """
    log_stream = io.StringIO()
    log = Log(log_stream)
    service = Service(Engine(spec or backend_spec(), policy, log), **options)
    app = build_app(service, settings or Settings(page=False), log)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Gateway(f"http://127.0.0.1:{port}", service, log_stream)
        if wait:
            wait_until(lambda: service.state in ("ready", "failed"))
        yield running
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the gateway did not stop"


def send_raw(gateway: Gateway, data: bytes, more: bytes = b"") -> bytes:
    """Send bytes that no client library would send, and return the response as bytes."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(data)
        try:
            if more:
                connection.sendall(more)
            response = b""
            while part := connection.recv(65536):
                response += part
        except ConnectionError:
            pass
        return response


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def post_verdicts(url: str, count: int) -> list[httpx.Response]:
    """Send requests for verdicts all at once, and return their responses."""

    async def post_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
            form: dict[str, Any] = {
                "files": {"image": png()},
                "data": {"prompt": "a red circle and two cats"},
            }
            return await asyncio.gather(*(client.post("/v1/verdicts", **form) for _ in range(count)))

    return asyncio.run(post_all())


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until a condition holds; the limit only keeps a broken test from hanging."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "the condition never became true"
        time.sleep(0.01)


GATEWAY_SCRIPT = """
import sys
import judge.serve.server as server
from serving import backend_spec
server.judge_backend_spec = lambda *_, **__: backend_spec(**{backend!r})
server.serve(server.ServeOptions(port=0, page=False, **{options!r}))
print("loaded:", *sorted({{"torch", "vllm", "transformers"}} & set(sys.modules)), file=sys.stderr)
"""


@contextmanager
def gateway_process(backend: dict[str, Any], **options: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a gateway as `judge serve` does, in its own process, over a scripted engine.

    Args:
        backend: options of the `SlowBackend`.
        **options: of `ServeOptions`.

    Yields:
        The gateway's address, and its process.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY_SCRIPT.format(backend=backend, options=options)],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = ""
        while "ready in" not in line:
            line = process.stderr.readline()
            assert line, "the gateway ended before it was ready"
        (url,) = re.findall(r"http://\S+", line)
        yield url, process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
