"""`Engine`, the gateway's side of the engine process: sends requests, returns replies, restarts the process.

The process is a fresh interpreter in a session of its own. So Ctrl-C in the terminal reaches only the
gateway, and killing the process group also ends everything that the model has started. When the process dies,
the socket between the two closes. Then all requests in flight fail at once with `EngineDownError`, the rest
of the group is killed, and another process is started after a pause that grows with every failure in a row.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from judge.backends.base import RelevanceMaps, Reply, Request, TraceRequest
from judge.errors import DeadlineError, EngineDownError, ReplyError
from judge.pipeline.model_info import ModelInfo
from judge.serve.engine.ipc import LENGTH, BackendSpec, Verb, decode_frame, encode_frame

State = Literal["loading", "ready", "restarting", "draining", "failed"]
BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from judge.serve.engine.worker import main; main(int(sys.argv[2]))"
)
OUTPUT_LINES = 40
"""Last lines printed by the process that are kept, to explain a failure."""
MAX_DOUBLINGS = 20
"""Doublings of the pause between restarts; a bound keeps the number in the range of a float."""


@dataclass(frozen=True)
class RestartPolicy:
    """Time limits of the engine process, and how often it is started again. Times are in seconds."""

    max_attempts: int = 5
    """Starts in a row that may fail before the engine gives up."""
    first_pause: float = 0.5
    """Pause before the first restart; it doubles with every further failure in a row."""
    longest_pause: float = 30.0
    load_timeout: float = 1800.0
    """Time for a process to become ready."""
    stall_timeout: float = 600.0
    """Time without any reply, while requests reach their deadlines, after which the process is killed."""


class Engine:
    """A supervised process that runs one backend.

    Args:
        spec: how the process builds its backend.
        policy: time limits and restarts.
        log: called with the name of an event and its fields.
    """

    def __init__(
        self,
        spec: BackendSpec,
        policy: RestartPolicy | None = None,
        log: Callable[..., None] = lambda event, **fields: None,
    ) -> None:
        self.spec, self.policy = spec, policy or RestartPolicy()
        self.state: State = "loading"
        self.reason = ""
        """Why the last process ended; empty while the first one runs."""
        self.restarts = 0
        """Number of processes started after the first one."""
        self.model_info: ModelInfo | None = None
        """What the process reported about its model; None until the first process is ready."""
        self.concurrency = 1
        """How many requests the process works on at once."""
        self.pid: int | None = None
        self.output: deque[str] = deque(maxlen=OUTPUT_LINES)
        """Last lines that the process printed."""
        self._log = log
        self._keys = map(str, count())
        self._pending: dict[str, asyncio.Future[Reply | ReplyError]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._state_changed = asyncio.Event()
        self._last_message_at = self._started_at = time.monotonic()
        self._load_seconds = 5.0
        self._is_fatal = False

    @property
    def in_flight(self) -> int:
        """Number of requests sent and not yet answered."""
        return len(self._pending)

    async def start(self) -> None:
        """Start the process and its supervision, without waiting for the model."""
        self._task = asyncio.create_task(self._supervise(), name="engine")

    async def wait_until_settled(self) -> None:
        """Wait until the engine is ready, or has given up."""
        while self.state not in ("ready", "failed"):
            await self._state_changed.wait()

    async def stop(self) -> None:
        """End the process. Requests in flight fail."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def retry_after(self) -> float:
        """Estimate in how many seconds (1 to 60) a restarted engine is ready, from the last loading time."""
        return max(1.0, min(60.0, self._started_at + self._load_seconds - time.monotonic()))

    async def infer(self, verb: Verb, request: Request, deadline: float) -> Reply | ReplyError:
        """Run one request on the model.

        Args:
            verb: `choose` or `complete`, as in `Backend`.
            request: the messages and the form to fill.
            deadline: time of the running event loop's clock, in seconds.

        Returns:
            The reply; a `ReplyError` if the model failed on this request.

        Raises:
            EngineDownError: the engine is not ready, or died while it worked on this request.
            DeadlineError: the deadline passed; the engine was told to drop the request.
        """
        reply: Reply | ReplyError = await self._send(verb, request, deadline)
        return reply

    async def trace(self, request: TraceRequest, deadline: float) -> RelevanceMaps | ReplyError:
        """Trace numbers of an answer back to the image, if `model_info` says that the model can do it.

        Args:
            request: the answer, and which of its numbers to trace.
            deadline: as in `infer`.

        Returns:
            The relevance maps; a `ReplyError` if the model failed on this request.

        Raises:
            EngineDownError: as in `infer`.
            DeadlineError: as in `infer`.
        """
        maps: RelevanceMaps | ReplyError = await self._send("trace", request, deadline)
        return maps

    async def _send(self, verb: Verb, request: Request | TraceRequest, deadline: float) -> Any:
        if self.state != "ready" or self._writer is None:
            raise EngineDownError(f"the engine is {self.state}", self.retry_after())
        if self._writer.is_closing():  # broken, but its end is not read yet: in uvloop a write would raise
            raise EngineDownError("the engine ended", self.retry_after())
        key, loop = next(self._keys), asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._pending[key] = reply
        writer = self._writer
        try:
            async with asyncio.timeout_at(deadline):
                writer.write(encode_frame(("request", key, verb, request)))
                await writer.drain()
                return await reply
        except TimeoutError:
            raise DeadlineError("the deadline passed before the model had answered") from None
        except OSError:
            raise EngineDownError("the engine ended", self.retry_after()) from None
        finally:
            self._pending.pop(key, None)
            if reply.done() and not reply.cancelled():
                reply.exception()  # marks it as retrieved, in case the socket broke before `await reply`
            if (not reply.done() or reply.cancelled()) and not writer.is_closing():
                writer.write(encode_frame(("abort", key)))
                if loop.time() >= deadline:  # also if the caller's own timeout ended first
                    self._kill_if_stalled()

    def _kill_if_stalled(self) -> None:
        """Kill a process that lets requests reach their deadlines and never answers any."""
        if time.monotonic() - max(self._last_message_at, self._started_at) > self.policy.stall_timeout:
            self.reason = f"no reply for {self.policy.stall_timeout:.0f} s"
            self._kill_group()

    # -- Supervision -----------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Start processes one after the other until too many fail in a row."""
        # Processes in a row that never became ready, and that never answered a request.
        never_ready = never_answered = 0
        while True:
            was_ready, has_answered = await self._run_process()
            never_ready = 0 if was_ready else never_ready + 1
            never_answered = 0 if has_answered else never_answered + 1
            if self._is_fatal or never_ready >= self.policy.max_attempts:
                self._set_state("failed")
                return
            doublings = min(max(0, never_answered - 1), MAX_DOUBLINGS)
            pause = min(self.policy.longest_pause, self.policy.first_pause * 2**doublings)
            self._set_state("restarting" if self.model_info else "loading")
            self._started_at = time.monotonic() + pause
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _run_process(self) -> tuple[bool, bool]:
        """Run one process until it ends.

        Returns:
            Whether it ever became ready, and whether it ever answered a request.
        """
        near, far = socket.socketpair()
        near.setblocking(False)
        with far:
            process = _start_process(far)
        self.pid, self._started_at = process.pid, time.monotonic()
        exit_code = asyncio.create_task(asyncio.to_thread(_wait_for_exit, process))
        reason, was_ready, has_answered = "", False, False
        try:
            reader, self._writer = await asyncio.open_connection(sock=near)
            threading.Thread(target=self._read_output, args=(process,), daemon=True).start()
            self._writer.write(encode_frame(self.spec))
            async with asyncio.timeout(self.policy.load_timeout) as load_timeout:
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    kind, *rest = decode_frame(await reader.readexactly(length))
                    self._last_message_at = time.monotonic()
                    match kind:
                        case "ready":
                            load_timeout.reschedule(None)
                            was_ready = True
                            self._on_ready(*rest)
                        case "replies":
                            has_answered = True
                            self._on_replies(*rest)
                        case "failed":
                            reason, self._is_fatal = rest
        except TimeoutError:
            reason = f"not ready within {self.policy.load_timeout:.0f} s"
        except (asyncio.IncompleteReadError, OSError, pickle.UnpicklingError):
            pass  # the process is dead, or of no more use
        finally:
            self._end_process()
            code = await exit_code
        self.reason = reason or self.reason or f"the process ended with {_describe_exit(code)}"
        # Once the process has seen prompts, its output may quote them: log only the output of a failed start.
        output = {} if was_ready else {"output": list(self.output)[-5:]}
        self._log("engine_ended", reason=self.reason, pid=process.pid, **output)
        return was_ready, has_answered

    def _on_ready(self, model_info: ModelInfo, concurrency: int) -> None:
        self.model_info, self.concurrency, self.reason = model_info, concurrency, ""
        self._load_seconds = time.monotonic() - self._started_at
        seconds = round(self._load_seconds, 1)
        self._log("engine_ready", model=model_info.model, backend=model_info.name, seconds=seconds)
        self._set_state("ready")

    def _on_replies(self, replies: list[tuple[str, Reply | ReplyError]]) -> None:
        for key, reply in replies:
            future = self._pending.get(key)
            if future is not None and not future.done():
                future.set_result(reply)

    def _end_process(self) -> None:
        """Kill the process group, and fail the requests in flight."""
        self._kill_group()
        self.pid = None
        if self.state == "ready":
            self._started_at = time.monotonic()
            self._set_state("restarting")
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(
                    EngineDownError("the engine ended while it worked on this", self.retry_after())
                )

    def _kill_group(self) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _set_state(self, state: State) -> None:
        self.state = state
        self._state_changed.set()
        self._state_changed = asyncio.Event()

    def _read_output(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the last lines that the process prints. Progress bars end theirs with a carriage return."""
        assert process.stdout is not None
        with io.TextIOWrapper(process.stdout, "utf-8", errors="replace") as lines, suppress(ValueError):
            for line in lines:
                if text := " ".join(line.split())[:300]:
                    self.output.append(text)


def _start_process(connection: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path), str(connection.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[connection.fileno()],
        start_new_session=True,
    )


def _wait_for_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process ends, kill what is left of its group, and return its exit code.

    A surviving fork would hold the socket open, and the death would stay unnoticed. Until the process is
    reaped, no other process can get its number, so the kill cannot hit a stranger.
    """
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
