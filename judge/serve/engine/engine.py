"""The gateway's side of the engine process: asks go in, replies come back, and a dead one is replaced.

The process is a fresh interpreter in a session of its own, so that Ctrl-C in the terminal reaches the
gateway alone, and so that killing its group takes along whatever the model has started. Its death shows as
the end of the wire between them: then everything in flight fails at once with `Down`, the rest of the group
is killed, and another process is started after a pause that grows with every failure in a row.
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

from judge.backends.base import Rasters, Reply, Request, TraceRequest
from judge.errors import Down, Late, ReplyError
from judge.pipeline.prepared import ModelInfo
from judge.serve.engine.ipc import LENGTH, Recipe, Verb, framed, unframed

State = Literal["loading", "ready", "restarting", "draining", "failed"]
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from judge.serve.engine.worker import main; main(int(sys.argv[2]))"
)
TAIL = 40
"""Lines of the process's own output that are kept, for whoever asks why it failed."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again."""

    attempts: int = 5
    """Starts in a row that may fail before the engine is given up."""
    first_pause: float = 0.5
    """Before the first restart; each further failure in a row doubles it."""
    longest_pause: float = 30.0
    load: float = 1800.0
    """For a process to become ready."""
    stall: float = 600.0
    """Without any reply while asks run out of time, before the process is taken for stuck and killed."""


class Engine:
    """A supervised process that runs one backend.

    Args:
        recipe: how that process makes its backend.
        patience: limits of waiting and retrying.
        log: called with the name of an event and its fields.
    """

    def __init__(
        self,
        recipe: Recipe,
        patience: Patience | None = None,
        log: Callable[..., None] = lambda event, **fields: None,
    ) -> None:
        self.recipe, self.patience = recipe, patience or Patience()
        self.state: State = "loading"
        self.reason = ""
        """Why the last process ended; empty while the first one lives."""
        self.restarts = 0
        """Processes started after the first."""
        self.card: ModelInfo | None = None
        """What the process said of its model; None until the first one is ready."""
        self.width = 1
        """How many asks the process works on at once."""
        self.pid: int | None = None
        self.output: deque[str] = deque(maxlen=TAIL)
        self._log = log
        self._keys = map(str, count())
        self._pending: dict[str, asyncio.Future[Reply | ReplyError]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._heard = self._started = time.monotonic()
        self._loading = 5.0
        self._hopeless = False

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    async def start(self) -> None:
        """Start the process and its supervision; does not wait for the model."""
        self._task = asyncio.create_task(self._supervise(), name="engine")

    async def settled(self) -> None:
        """Wait until the engine is ready, or given up."""
        while self.state not in ("ready", "failed"):
            await self._changed.wait()

    async def stop(self) -> None:
        """End the process; what is in flight fails."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def retry_after(self) -> float:
        """Seconds in which a restarted engine may be ready again, as long as the last start took."""
        return max(1.0, min(60.0, self._started + self._loading - time.monotonic()))

    async def request(self, verb: Verb, request: Request, deadline: float) -> Reply | ReplyError:
        """Put one ask to the model.

        Args:
            verb: `choose` or `complete`, as in `Backend`.
            ask: the form to fill.
            deadline: by the clock of the running event loop, in seconds.

        Raises:
            Down: the engine is not ready, or died over this ask.
            Late: the deadline passed; the engine was told to drop the ask.
        """
        reply: Reply | ReplyError = await self._put(verb, request, deadline)
        return reply

    async def trace(self, request: TraceRequest, deadline: float) -> Rasters | ReplyError:
        """Have numbers traced back to the pictures, if the card says that the model can. Raises as `ask`."""
        rasters: Rasters | ReplyError = await self._put("trace", request, deadline)
        return rasters

    async def _put(self, verb: Verb, request: Request | TraceRequest, deadline: float) -> Any:
        if self.state != "ready" or self._writer is None:
            raise Down(f"the engine is {self.state}", self.retry_after())
        if self._writer.is_closing():  # broken, its end not yet read: to uvloop a write now is a RuntimeError
            raise Down("the engine ended", self.retry_after())
        key, loop = next(self._keys), asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._pending[key] = reply
        writer = self._writer
        try:
            async with asyncio.timeout_at(deadline):
                writer.write(framed(("ask", key, verb, request)))
                await writer.drain()
                return await reply
        except TimeoutError:
            raise Late("the deadline passed before the model had answered") from None
        except OSError:
            raise Down("the engine ended", self.retry_after()) from None
        finally:
            self._pending.pop(key, None)
            if reply.done() and not reply.cancelled():
                reply.exception()  # taken note of, where the wire broke before it was waited for
            if (not reply.done() or reply.cancelled()) and not writer.is_closing():
                writer.write(framed(("abort", key)))
                if loop.time() >= deadline:  # also where the caller's own timer was the first to ring
                    self._suspect()

    def _suspect(self) -> None:
        """A process that lets asks run out of time and never answers any is stuck."""
        if time.monotonic() - max(self._heard, self._started) > self.patience.stall:
            self.reason = f"no reply for {self.patience.stall:.0f} s"
            self._kill()

    # -- Supervision -----------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        unready = idle = 0  # lives in a row that never became ready, and that never answered anything
        while True:
            was_ready, answered = await self._life()
            unready = 0 if was_ready else unready + 1
            idle = 0 if answered else idle + 1
            if self._hopeless or unready >= self.patience.attempts:
                self._turn("failed")
                return
            pause = min(self.patience.longest_pause, self.patience.first_pause * 2 ** max(0, idle - 1))
            self._turn("restarting" if self.card else "loading")
            self._started = time.monotonic() + pause
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _life(self) -> tuple[bool, bool]:
        """Run one process until it ends. Returns whether it was ever ready, and ever answered."""
        near, far = socket.socketpair()
        near.setblocking(False)
        with far:
            process = _launched(far)
        self.pid, self._started = process.pid, time.monotonic()
        reaped = asyncio.create_task(asyncio.to_thread(_reaped, process))
        reason, was_ready, answered = "", False, False
        try:
            reader, self._writer = await asyncio.open_connection(sock=near)
            threading.Thread(target=self._overhear, args=(process,), daemon=True).start()
            self._writer.write(framed(self.recipe))
            async with asyncio.timeout(self.patience.load) as loading:
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    kind, *rest = unframed(await reader.readexactly(length))
                    self._heard = time.monotonic()
                    match kind:
                        case "ready":
                            loading.reschedule(None)
                            was_ready = True
                            self._begin(*rest)
                        case "replies":
                            answered = True
                            self._settle(*rest)
                        case "failed":
                            reason, self._hopeless = rest
        except TimeoutError:
            reason = f"not ready within {self.patience.load:.0f} s"
        except (asyncio.IncompleteReadError, OSError, pickle.UnpicklingError):
            pass  # it is dead, or as good as dead
        finally:
            self._end()
            code = await reaped
        self.reason = reason or self.reason or f"the process ended with {_meaning(code)}"
        # What it prints may quote prompts once it has seen some: only of a failed start it is logged.
        output = {} if was_ready else {"output": list(self.output)[-5:]}
        self._log("engine_ended", reason=self.reason, pid=process.pid, **output)
        return was_ready, answered

    def _begin(self, card: ModelInfo, width: int) -> None:
        self.card, self.width, self.reason = card, width, ""
        self._loading = time.monotonic() - self._started
        self._log("engine_ready", model=card.model, backend=card.name, seconds=round(self._loading, 1))
        self._turn("ready")

    def _settle(self, replies: list[tuple[str, Reply | ReplyError]]) -> None:
        for key, reply in replies:
            waiting = self._pending.get(key)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    def _end(self) -> None:
        """Kill what is left of the process's group, and fail what it had in hand."""
        self._kill()
        self.pid = None
        if self.state == "ready":
            self._started = time.monotonic()
            self._turn("restarting")
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(Down("the engine ended while it worked on this", self.retry_after()))

    def _kill(self) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _turn(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    def _overhear(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the last lines that the process prints; progress bars end theirs with a carriage return."""
        assert process.stdout is not None
        with io.TextIOWrapper(process.stdout, "utf-8", errors="replace") as lines, suppress(ValueError):
            for line in lines:
                if text := " ".join(line.split())[:300]:
                    self.output.append(text)


def _launched(far: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", BOOT, json.dumps(sys.path), str(far.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[far.fileno()],
        start_new_session=True,
    )


def _reaped(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process, and kill what it leaves behind: a fork of it would hold the wire open,
    and its death would not show. Until it is reaped, nobody else can get its number."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _meaning(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
