"""What the gateway's tests share: backends for the engine process, and a gateway on a free port."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from filler import Filler
from PIL import Image

from judge.backends.base import Reply, Request
from judge.errors import BackendError, InputError, ReplyError
from judge.serve.engine.engine import Engine, Patience
from judge.serve.engine.ipc import Recipe
from judge.serve.http.app import build
from judge.serve.log import Log
from judge.serve.service import Service
from judge.serve.settings import Settings

QUICK = Patience(attempts=3, first_pause=0.05, longest_pause=0.2, load=120.0)


class Sleepy(Filler):
    """A scripted model: waits before each batch, and fails where the words of the prompt say so.

    Args:
        seconds: to sleep over each batch.
        batch: asks in one batch at most.
        gate: a file; batches wait until it is there.
        child: run an idle process beside, as engines do that compute elsewhere; `revision` is its id.
        fork: the same by a fork, which holds all that this process has open.
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
        words = [request.messages[0]["content"][1]["text"] for request in requests]
        if any("broken" in text for text in words):
            raise BackendError("it broke over this row")
        return [
            Reply("no JSON at all") if "unreadable" in text else self._fill(request)
            for request, text in zip(requests, words, strict=True)
        ]

    complete = choose


class Streaming(Sleepy):
    """The same as a continuous engine: each step finishes one ask."""

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


def sleepy(**options: Any) -> Sleepy:
    return Sleepy(**options)


def streaming(**options: Any) -> Streaming:
    return Streaming(**options)


def slow_to_load(seconds: float) -> Sleepy:
    time.sleep(seconds)
    return Sleepy()


def broken(**_: Any) -> Sleepy:
    raise BackendError("the weights are not there")


def hopeless(**_: Any) -> Sleepy:
    raise InputError("bits", 3, "4 or 8", "choose one")


def recipe(name: str = "sleepy", **options: Any) -> Recipe:
    return Recipe(f"serving:{name}", options)


def png(width: int = 40, height: int = 30, color: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes | None = None) -> str:
    return "data:image/png;base64," + base64.b64encode(data or png()).decode()


@dataclass
class Gateway:
    """A running gateway."""

    url: str
    service: Service
    written: io.StringIO

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, trust_env=False, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False, **options)

    def verdict(self, prompt: str = "a red circle", **options: Any) -> httpx.Response:
        return self.post("/v1/verdicts", files={"image": png()}, data={"prompt": prompt}, **options)


@contextmanager
def gateway(
    made: Recipe | None = None,
    settings: Settings | None = None,
    patience: Patience = QUICK,
    ready: bool = True,
    **options: Any,
) -> Iterator[Gateway]:
    """A gateway under a real uvicorn in a thread of its own, over an engine process."""
    written = io.StringIO()
    log = Log(written)
    service = Service(Engine(made or recipe(), patience, log), **options)
    app = build(service, settings or Settings(page=False), log)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Gateway(f"http://127.0.0.1:{port}", service, written)
        if ready:
            until(lambda: service.state in ("ready", "failed"))
        yield running
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the gateway did not end"


def until(happened: Any, seconds: float = 120.0) -> None:
    """Wait until something has happened; the limit only keeps a broken test from hanging."""
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.01)


PROCESS = """
import sys
import judge.serve.run as run
from serving import recipe
run.judges = lambda *_, **__: recipe(**{made!r})
run.serve(run.Options(port=0, page=False, **{options!r}))
print("loaded:", *sorted({{"torch", "vllm", "transformers"}} & set(sys.modules)), file=sys.stderr)
"""


@contextmanager
def gateway_process(made: dict[str, Any], **options: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A gateway as `judge serve` runs it, in a process of its own, over a scripted engine; its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS.format(made=made, options=options)],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        told = ""
        while "ready in" not in told:
            told = process.stderr.readline()
            assert told, "the gateway ended before it was ready"
        (url,) = re.findall(r"http://\S+", told)
        yield url, process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
