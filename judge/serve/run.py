"""`judge serve`: options into a running gateway, and what the terminal is told meanwhile.

Standard output gets the log, one JSON object a line; standard error what people read: a line that moves
while the model loads, and one when it is ready.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from rich.console import Console
from rich.markup import escape

from judge.errors import InputError
from judge.judge import EMBEDDED, Judge
from judge.pipeline import calibration
from judge.pipeline.validation import is_address
from judge.rubrics.files import known
from judge.serve.engine.engine import Engine
from judge.serve.engine.ipc import judges
from judge.serve.fetch import Fetcher
from judge.serve.http.app import build
from judge.serve.keys import Keys
from judge.serve.log import Log, Relay
from judge.serve.service import LOOKS, Service
from judge.serve.settings import Settings, hosts_of

GRACE = 30
"""Seconds that requests get to finish after SIGTERM."""
_EVERY = 10.0
"""Seconds between two lines of progress where standard error is no terminal."""


@dataclass(frozen=True)
class Options:
    """The options of `judge serve`."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = EMBEDDED
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    rubrics: Sequence[str] = ()
    keys: Path | None = None
    queue: int = 256
    deadline: float = 60.0
    looks: int = LOOKS
    allow_hosts: Sequence[str] = ()
    page: bool = True
    open: bool = False
    """Listen beyond loopback without keys, on purpose."""


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; then let nobody in, finish what is inside, and return.

    Raises:
        InputError: an option is unusable, or the address cannot be listened on.
    """
    keys = Keys.read(options.keys)
    check_openness(options, keys)
    log = Log()
    service = service_of(options, log)
    settings = Settings(
        keys=keys, hosts=hosts_of(options.host, bool(keys) or options.open), page=options.page
    )
    with _listening(options.host, options.port) as listening:
        options = replace(options, port=listening.getsockname()[1])
        app = build(service, settings, log)
        for name in ("uvicorn", "asyncio"):
            logging.getLogger(name).addHandler(Relay(log))
            logging.getLogger(name).propagate = False
        # uvicorn raises the signal again once it has drained; without these that would end us by it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE,
        )
        _Server(config, service, options).run(sockets=[listening])


def service_of(options: Options, log: Callable[..., None]) -> Service:
    """The service that the options ask for. Raises `InputError`."""
    if is_address(options.model):
        mend = "a gateway runs its own model; give an endpoint as --base-url"
        raise InputError("model", options.model, "embedded, or the name or folder of a checkpoint", mend)
    chosen: dict[str, Any] = {
        "adapter": options.adapter,
        "backend": options.backend,
        "base_url": options.base_url,
    }
    Judge(options.model, **chosen)  # the checks of its arguments; nothing is loaded here
    return Service(
        Engine(judges(options.model, **chosen), log=log),
        rubrics=[*known(), *options.rubrics],
        queue=options.queue,
        deadline=options.deadline,
        looks=options.looks,
        embedded=options.model == EMBEDDED,
        fetcher=Fetcher(options.allow_hosts),
        calibrated=lambda rubric: calibration.chosen(True, options.model, options.adapter, rubric),
    )


def check_openness(options: Options, keys: Keys) -> None:
    """Raises `InputError` where anybody who reaches the address could use it and nobody said they may."""
    if keys or options.open or _is_loopback(options.host):
        return
    mend = "anybody who reaches it could use it: add --keys FILE (--new-key NAME makes one), or --open"
    raise InputError("host", options.host, "127.0.0.1, ::1 or localhost without keys", mend)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Bound here, so that a taken port is one clear line."""
    if not 0 <= port <= 65535:
        raise InputError("port", port, "0 to 65535", "0 takes a free one")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("port", f"{host}:{port}", "a free port of this machine", reason) from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, options: Options) -> None:
        super().__init__(config)
        self._service, self._options = service, options
        self._teller: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._teller = asyncio.create_task(_tell(self._service, self._options, Console(stderr=True)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._teller is not None:
            self._teller.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)


# -- What the terminal is told -------------------------------------------------------------------------


async def _tell(service: Service, options: Options, console: Console) -> None:
    """A line whenever the engine's state changes, and signs of life while it is not ready."""
    engine = service.engine
    while True:
        start = time.monotonic()
        await _until_settled(engine, options, console, start)
        if engine.state == "failed":
            _say(console, f"the engine is given up: {engine.reason}")
            return
        _say(console, _ready(service, options, time.monotonic() - start))
        while engine.state == "ready":
            await asyncio.sleep(0.2)
        _say(console, "the engine ended; starting another")


async def _until_settled(engine: Engine, options: Options, console: Console, start: float) -> None:
    def told() -> str:
        last = f" · {engine.output[-1][:80]}" if engine.output else ""
        failed = f" · the last one failed: {engine.reason[:120]}" if engine.reason else ""
        seconds = f"{time.monotonic() - start:.0f} s"
        return f"loading {options.model} ({options.backend}) · {seconds}{failed or last}"

    if console.is_terminal:
        with console.status(escape(told())) as status:
            while engine.state not in ("ready", "failed"):
                await asyncio.sleep(0.2)
                status.update(escape(told()))
        return
    due = start
    while engine.state not in ("ready", "failed"):
        if time.monotonic() >= due:
            _say(console, told())
            due += _EVERY
        await asyncio.sleep(0.1)


def _ready(service: Service, options: Options, seconds: float) -> str:
    card = service.engine.card
    host = f"[{options.host}]" if ":" in options.host else options.host
    model = f"{card.model} on {card.name} {card.version}" if card else options.model
    return f"ready in {seconds:.1f} s: {model} at http://{host}:{options.port}"


def _say(console: Console, text: str) -> None:
    console.print(f"judge serve: {text}", markup=False, highlight=False, soft_wrap=True)
