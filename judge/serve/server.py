"""`judge serve`: run a gateway with the given options, and report its state on the terminal.

Standard output gets the log, one JSON object per line. Standard error gets messages for people: a line that
is updated while the model loads, and one line when it is ready.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from judge.rubrics.files import list_rubric_names
from judge.serve.engine.ipc import judge_backend_spec
from judge.serve.engine.supervisor import Engine
from judge.serve.fetcher import Fetcher
from judge.serve.http.app import build_app
from judge.serve.keys import Keys
from judge.serve.log import Log, LoggingBridge
from judge.serve.sample_judge import DEFAULT_MAX_LOOKS
from judge.serve.service import Service
from judge.serve.settings import Settings, accepted_hosts

SHUTDOWN_SECONDS = 30
"""Seconds that requests get to finish after SIGTERM."""
PIPELINE_OPTIONS = ("max_pixels", "seed")
"""Options that the gateway itself uses, besides its engine."""
PROGRESS_SECONDS = 10.0
"""Seconds between two lines of progress if standard error is not a terminal."""


@dataclass(frozen=True)
class ServeOptions:
    """Options of `judge serve`; see `judge serve --help`."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = EMBEDDED
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keyword arguments of `Judge`: options of the backend and its engine, `max_pixels`, `seed`."""
    rubrics: Sequence[str] = ()
    keys: Path | None = None
    queue: int = 256
    deadline: float = 60.0
    looks: int = DEFAULT_MAX_LOOKS
    elements: str = "auto"
    allow_hosts: Sequence[str] = ()
    page: bool = True
    open: bool = False
    """Listen on an address other than loopback without keys, on purpose."""


def serve(options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT; then accept no more requests, answer the accepted ones, and return.

    Raises:
        InputError: an option is not usable, or the address cannot be used to listen.
    """
    keys = Keys.read(options.keys)
    check_access(options, keys)
    log = Log()
    service = build_service(options, log)
    settings = Settings(
        keys=keys, hosts=accepted_hosts(options.host, bool(keys) or options.open), page=options.page
    )
    with _bind_socket(options.host, options.port) as listening_socket:
        options = replace(options, port=listening_socket.getsockname()[1])
        app = build_app(service, settings, log)
        for name in ("uvicorn", "asyncio"):
            logging.getLogger(name).addHandler(LoggingBridge(log))
            logging.getLogger(name).propagate = False
        # uvicorn raises the signal again after its shutdown; without these handlers, that would kill the
        # process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        _Server(config, service, options).run(sockets=[listening_socket])


def build_service(options: ServeOptions, log: Callable[..., None]) -> Service:
    """Build the service for the given options. The model is not loaded yet.

    Args:
        options: options of `judge serve`.
        log: called with the name of an event and its fields.

    Raises:
        InputError: an option is not usable.
    """
    if is_address(options.model):
        mend = "a gateway runs its own model; give an endpoint as --base-url"
        raise InputError("model", options.model, "embedded, or the name or folder of a checkpoint", mend)
    if "max_defects" in options.options:
        mend = "the rubrics say it: leave it out"
        raise InputError("option", "max_defects", "no max_defects with a gateway", mend)
    backend_options: dict[str, Any] = {
        "adapter": options.adapter,
        "backend": options.backend,
        "base_url": options.base_url,
        **options.options,
    }
    # This checks the arguments; nothing is loaded here.
    Judge(options.model, elements=options.elements, **backend_options)
    return Service(
        Engine(judge_backend_spec(options.model, **backend_options), log=log),
        rubrics=[*list_rubric_names(), *options.rubrics],
        queue=options.queue,
        deadline=options.deadline,
        looks=options.looks,
        **{name: options.options[name] for name in PIPELINE_OPTIONS if name in options.options},
        elements=options.elements,
        embedded=options.model == EMBEDDED,
        user_adapter=options.adapter is not None,
        fetcher=Fetcher(options.allow_hosts),
        calibration_for=lambda rubric: calibration.resolve_calibration(
            True, options.model, options.adapter, rubric
        ),
    )


def check_access(options: ServeOptions, keys: Keys) -> None:
    """Check that a gateway on a public address has keys, or is open on purpose.

    Raises:
        InputError: anybody who reaches the address could use the gateway.
    """
    if keys or options.open or _is_loopback(options.host):
        return
    mend = "anybody who reaches it could use it: add --keys FILE (--new-key NAME makes one), or --open"
    raise InputError("host", options.host, "127.0.0.1, ::1 or localhost without keys", mend)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. It is bound here, so that a port in use gives one clear line."""
    if not 0 <= port <= 65535:
        raise InputError("port", port, "0 to 65535", "0 picks a free one")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("port", f"{host}:{port}", "a free port of this machine", reason) from None


class _Server(uvicorn.Server):
    """A server that reports the engine's state on the terminal, and drains the service before it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, options: ServeOptions) -> None:
        super().__init__(config)
        self._service, self._options = service, options
        self._reporting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        report = _report_state(self._service, self._options, Console(stderr=True))
        self._reporting = asyncio.create_task(report)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)


# -- Messages on the terminal --------------------------------------------------------------------------


async def _report_state(service: Service, options: ServeOptions, console: Console) -> None:
    """Print a line whenever the engine's state changes, and progress while it is not ready."""
    engine = service.engine
    while True:
        start = time.monotonic()
        await _report_loading(engine, options, console, start)
        if engine.state == "failed":
            _print(console, f"the engine gave up: {engine.reason}")
            return
        _print(console, _format_ready(service, options, time.monotonic() - start))
        while engine.state == "ready":
            await asyncio.sleep(0.2)
        _print(console, "the engine ended; starting another one")


async def _report_loading(engine: Engine, options: ServeOptions, console: Console, start: float) -> None:
    """Report progress until the engine is ready or has failed."""

    def message() -> str:
        last_output = f" · {engine.output[-1][:80]}" if engine.output else ""
        failure = f" · the last one failed: {engine.reason[:120]}" if engine.reason else ""
        seconds = f"{time.monotonic() - start:.0f} s"
        return f"loading {options.model} ({options.backend}) · {seconds}{failure or last_output}"

    if console.is_terminal:
        with console.status(escape(message())) as status:
            while engine.state not in ("ready", "failed"):
                await asyncio.sleep(0.2)
                status.update(escape(message()))
        return
    next_line_at = start
    while engine.state not in ("ready", "failed"):
        if time.monotonic() >= next_line_at:
            _print(console, message())
            next_line_at += PROGRESS_SECONDS
        await asyncio.sleep(0.1)


def _format_ready(service: Service, options: ServeOptions, seconds: float) -> str:
    info = service.engine.model_info
    host = f"[{options.host}]" if ":" in options.host else options.host
    model = f"{info.model} on {info.name} {info.version}" if info else options.model
    return f"ready in {seconds:.1f} s: {model} at http://{host}:{options.port}"


def _print(console: Console, text: str) -> None:
    console.print(f"judge serve: {text}", markup=False, highlight=False, soft_wrap=True)
