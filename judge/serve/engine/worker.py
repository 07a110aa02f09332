"""The engine process: loads one backend and answers asks until its gateway is gone.

One thread reads the wire; the main thread alone runs the model. Whatever leaves the process unable to
answer ends it, and the gateway starts another: a dead process is easier to reason about than a sick one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, NoReturn

from judge.backends.base import Backend, Request, Stream, TraceRequest
from judge.errors import BackendError, InputError, JudgeError, ReplyError
from judge.pipeline.prepared import ModelInfo
from judge.runtime.threads import own_process
from judge.serve.engine.ipc import LENGTH, Recipe, Verb, framed, unframed

BATCH = 16
"""Asks that a backend without a continuous engine is given at once, unless it has a `batch` of its own."""
STREAM = 128
"""Asks that a continuous engine is taken to work on at once, unless it has a `batch` of its own."""
SICK = 8
"""Rows in a row that failed on the model's side, each asked alone, before the process gives itself up."""


def main(number: int) -> None:
    """Serve the gateway at the other end of socket `number`."""
    own_process()
    os.set_inheritable(number, False)  # a process of the model's own must not keep the wire open
    wire = socket.socket(fileno=number)
    source = wire.makefile("rb")
    recipe: Recipe = _received(source)
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, inbox), daemon=True).start()
    backend = _loaded(recipe, wire)
    width = int(getattr(backend, "batch", STREAM if isinstance(backend, Stream) else BATCH))
    stream = backend if isinstance(backend, Stream) else Batches(backend, width)
    _watch(wire)
    wire.sendall(framed(("ready", ModelInfo.of(backend), width)))
    try:
        _serve(stream, inbox, wire)
    except Exception as error:
        _give_up(wire, _brief(error))


def _serve(stream: Stream | Batches, inbox: SimpleQueue[Any], wire: socket.socket) -> NoReturn:
    while True:
        refused = []
        for kind, key, *rest in _arrived(inbox, patient=not stream.pending):
            if kind == "abort":
                stream.abort(key)
                continue
            try:
                stream.submit(key, *rest)
            except InputError as error:
                refused.append((key, ReplyError(str(error))))
        finished = refused + (stream.step() if stream.pending else [])
        if finished:
            wire.sendall(framed(("replies", finished)))


def _arrived(inbox: SimpleQueue[Any], patient: bool) -> Iterator[Any]:
    """What has come over the wire by now; waits for a first message when there is nothing else to do."""
    if patient:
        yield inbox.get()
    with suppress(Empty):
        while True:
            yield inbox.get_nowait()


class Batches:
    """Makes a `Stream` of a backend that has none: each step is one batch of the same verb."""

    def __init__(self, backend: Backend, width: int) -> None:
        self.backend, self.width = backend, width
        self._waiting: OrderedDict[str, tuple[Verb, Request | TraceRequest]] = OrderedDict()
        self._failures = 0

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, key: str, verb: Verb, request: Request | TraceRequest) -> None:
        self._waiting[key] = (verb, request)

    def abort(self, key: str) -> None:
        self._waiting.pop(key, None)

    def step(self) -> list[tuple[str, Any]]:
        verb, _ = next(iter(self._waiting.values()))
        keys = [key for key, (asked, _) in self._waiting.items() if asked == verb][: self.width]
        requests = [self._waiting.pop(key)[1] for key in keys]
        return list(zip(keys, self._replies(verb, requests), strict=True))

    def _replies(self, verb: Verb, requests: list[Request | TraceRequest]) -> list[Any]:
        """Replies to a batch. A row that the model fails on must not take the others with it."""
        try:
            replies = getattr(self.backend, verb)(requests)
            if len(replies) != len(requests):
                raise BackendError(f"{len(replies)} replies to {len(requests)} questions")
            self._failures = 0
            return list(replies)
        except Exception as error:
            if len(requests) > 1:
                return [reply for request in requests for reply in self._replies(verb, [request])]
            self._failures += 1
            if self._failures >= SICK:
                raise BackendError(f"{self._failures} asks failed in a row: {_brief(error)}") from error
            return [ReplyError(_brief(error))]


# -- Life and death ------------------------------------------------------------------------------------


def _loaded(recipe: Recipe, wire: socket.socket) -> Backend:
    try:
        return recipe.made()
    except InputError as error:
        _give_up(wire, str(error), hopeless=True)
    except Exception as error:
        _give_up(wire, _brief(error))


def _give_up(wire: socket.socket, reason: str, hopeless: bool = False) -> NoReturn:
    """Tell the gateway why and end, with every process the model has started."""
    print(f"engine: {reason}", file=sys.stderr, flush=True)
    with suppress(OSError):
        wire.sendall(framed(("failed", reason, hopeless)))
    _die()


def _die() -> NoReturn:
    if os.getpgrp() == os.getpid():  # the gateway starts it as the leader of a group of its own
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _listen(source: BinaryIO, inbox: SimpleQueue[Any]) -> None:
    """Hand on what arrives. When the gateway is gone there is nobody to answer."""
    try:
        while True:
            inbox.put(_received(source))
    except (EOFError, OSError):
        _die()


def _watch(wire: socket.socket) -> None:
    """End with the first of the processes that the model runs in, if it runs in any of its own."""
    children = multiprocessing.active_children()
    if not children:
        return

    def watch() -> None:
        ended = wait([child.sentinel for child in children])
        names = [child.name for child in children if child.sentinel in ended]
        _give_up(wire, f"its process {', '.join(names)} ended")

    threading.Thread(target=watch, daemon=True).start()


def _received(source: BinaryIO) -> Any:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    body = source.read(length)
    if len(body) < length:
        raise EOFError
    return unframed(body)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, JudgeError) and text else f"{type(error).__name__}: {text}"
