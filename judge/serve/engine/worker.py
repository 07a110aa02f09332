"""The engine process: loads one backend and answers requests until its gateway is gone.

One thread reads the socket; only the main thread runs the model. Anything that leaves the process unable to
answer ends it, and the gateway starts another one: a dead process is easier to reason about than a broken
one.
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
from judge.pipeline.model_info import ModelInfo
from judge.runtime.threads import dedicate_process
from judge.serve.engine.ipc import LENGTH, BackendSpec, Verb, decode_frame, encode_frame

DEFAULT_BATCH = 16
"""Requests per batch for a backend without continuous batching and without a `batch` of its own."""
DEFAULT_STREAM_CONCURRENCY = 128
"""Requests that a backend with continuous batching works on at once, if it has no `batch` of its own."""
MAX_FAILURES = 8
"""Requests in a row that may fail inside the model, each run alone, before the process ends itself."""


def main(fd: int) -> None:
    """Serve the gateway at the other end of a socket, until one of the two ends.

    Args:
        fd: file descriptor of the socket, inherited from the gateway.
    """
    dedicate_process()
    os.set_inheritable(fd, False)  # a child process of the model must not keep the socket open
    connection = socket.socket(fileno=fd)
    source = connection.makefile("rb")
    spec: BackendSpec = _read_message(source)
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive_messages, args=(source, inbox), daemon=True).start()
    backend = _load_backend(spec, connection)
    default = DEFAULT_STREAM_CONCURRENCY if isinstance(backend, Stream) else DEFAULT_BATCH
    concurrency = int(getattr(backend, "batch", default))
    stream = backend if isinstance(backend, Stream) else BatchStream(backend, concurrency)
    _watch_children(connection)
    connection.sendall(encode_frame(("ready", ModelInfo.from_backend(backend), concurrency)))
    try:
        _serve(stream, inbox, connection)
    except Exception as error:
        _fail(connection, _summarize(error))


def _serve(stream: Stream | BatchStream, inbox: SimpleQueue[Any], connection: socket.socket) -> NoReturn:
    """Submit the requests that arrive, run the model step by step, and send the replies. Never returns."""
    while True:
        rejected = []
        for kind, key, *rest in _take_messages(inbox, block=not stream.pending):
            if kind == "abort":
                stream.abort(key)
                continue
            try:
                stream.submit(key, *rest)
            except InputError as error:
                rejected.append((key, ReplyError(str(error))))
        finished = rejected + (stream.step() if stream.pending else [])
        if finished:
            connection.sendall(encode_frame(("replies", finished)))


def _take_messages(inbox: SimpleQueue[Any], block: bool) -> Iterator[Any]:
    """Yield the messages received so far; with `block`, wait for the first one."""
    if block:
        yield inbox.get()
    with suppress(Empty):
        while True:
            yield inbox.get_nowait()


class BatchStream:
    """A `Stream` over a backend without continuous batching: each step is one batch of the same verb.

    Args:
        backend: runs the batches.
        max_batch: largest number of requests in a batch.
    """

    def __init__(self, backend: Backend, max_batch: int) -> None:
        self.backend, self.max_batch = backend, max_batch
        self._waiting: OrderedDict[str, tuple[Verb, Request | TraceRequest]] = OrderedDict()
        self._failures = 0

    @property
    def pending(self) -> int:
        """Number of requests that are not answered yet."""
        return len(self._waiting)

    def submit(self, key: str, verb: Verb, request: Request | TraceRequest) -> None:
        """Queue a request."""
        self._waiting[key] = (verb, request)

    def abort(self, key: str) -> None:
        """Drop a request, if it is still queued."""
        self._waiting.pop(key, None)

    def step(self) -> list[tuple[str, Any]]:
        """Run one batch: the oldest request, and later ones of the same verb.

        Returns:
            Key and reply of each request in the batch.
        """
        verb, _ = next(iter(self._waiting.values()))
        keys = [key for key, (waiting, _) in self._waiting.items() if waiting == verb][: self.max_batch]
        requests = [self._waiting.pop(key)[1] for key in keys]
        return list(zip(keys, self._run(verb, requests), strict=True))

    def _run(self, verb: Verb, requests: list[Request | TraceRequest]) -> list[Any]:
        """Run a batch. If it fails, run its requests one by one, so that a bad one fails alone."""
        try:
            replies = getattr(self.backend, verb)(requests)
            if len(replies) != len(requests):
                raise BackendError(f"the model gave {len(replies)} replies to {len(requests)} requests")
            self._failures = 0
            return list(replies)
        except Exception as error:
            if len(requests) > 1:
                return [reply for request in requests for reply in self._run(verb, [request])]
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                raise BackendError(
                    f"{self._failures} requests failed in a row: {_summarize(error)}"
                ) from error
            return [ReplyError(_summarize(error))]


# -- Start and end of the process ----------------------------------------------------------------------


def _load_backend(spec: BackendSpec, connection: socket.socket) -> Backend:
    try:
        return spec.build()
    except InputError as error:
        _fail(connection, str(error), is_fatal=True)
    except Exception as error:
        _fail(connection, _summarize(error))


def _fail(connection: socket.socket, reason: str, is_fatal: bool = False) -> NoReturn:
    """Tell the gateway the reason and end, together with every process the model has started.

    Args:
        connection: socket to the gateway.
        reason: one line.
        is_fatal: another start would fail in the same way.
    """
    print(f"engine: {reason}", file=sys.stderr, flush=True)
    with suppress(OSError):
        connection.sendall(encode_frame(("failed", reason, is_fatal)))
    _kill_own_group()


def _kill_own_group() -> NoReturn:
    if os.getpgrp() == os.getpid():  # the gateway starts this process as the leader of its own group
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _receive_messages(source: BinaryIO, inbox: SimpleQueue[Any]) -> None:
    """Put incoming messages into the inbox. End the process when the gateway is gone."""
    try:
        while True:
            inbox.put(_read_message(source))
    except (EOFError, OSError):
        _kill_own_group()


def _watch_children(connection: socket.socket) -> None:
    """End this process as soon as a child process ends in which the model runs, if there are any."""
    children = multiprocessing.active_children()
    if not children:
        return

    def watch() -> None:
        ended = wait([child.sentinel for child in children])
        names = [child.name for child in children if child.sentinel in ended]
        _fail(connection, f"its process {', '.join(names)} ended")

    threading.Thread(target=watch, daemon=True).start()


def _read_message(source: BinaryIO) -> Any:
    """Read one message. Raises `EOFError` when the other end is closed."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    body = source.read(length)
    if len(body) < length:
        raise EOFError
    return decode_frame(body)


def _summarize(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, JudgeError) and text else f"{type(error).__name__}: {text}"
