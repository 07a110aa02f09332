"""Many clients at once at a gateway over a stand-in for the model: what they get, and what memory remains.

Every client sends requests one after the other, for scores of four images and for verdicts in turn. The
gateway has room for half of the clients, so some requests are refused with 429; these are repeated after the
pause that the server asks for, as the package's own client does.
"""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from eval.bench.fuzzing import originals
from judge.serve.engine.ipc import BackendSpec
from judge.serve.engine.supervisor import Engine
from judge.serve.http.app import build_app
from judge.serve.log import Log
from judge.serve.service import Service
from judge.serve.settings import Settings

START_SECONDS = 120.0
WARM_UP_REQUESTS = 8
UNSCORED, BROKEN = 1, 2
NAMES = {UNSCORED: "unscored", BROKEN: "broken connection"}
"""Stand for a status where a reply lacks a score, or where there is none."""
LONGEST_PAUSE = 2.0
"""Seconds that a client waits after a refusal, at most."""


def measure_load(clients: int, seconds: float, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Send requests from many clients.

    Args:
        clients: number of clients.
        seconds: time during which they begin new requests.
        tick: called after each answer.

    Returns:
        Answers per status, `failed` (anything but 200 and 429, a broken connection, or a reply without a
        score for every image), seconds per answer, and the memory of the gateway's process before and after.
    """
    with run_gateway(queue=max(1, clients // 2)) as url:
        asyncio.run(_send(url, 1, WARM_UP_REQUESTS, 60.0, lambda: None))
        gc.collect()
        before = _memory()
        start = time.monotonic()
        statuses, durations = asyncio.run(_send(url, clients, None, seconds, tick))
        elapsed = time.monotonic() - start
        gc.collect()
        after = _memory()
    failed = sum(count for status, count in statuses.items() if status not in (200, 429))
    return {
        "clients": clients,
        "answers": {NAMES.get(status, str(status)): count for status, count in sorted(statuses.items())},
        "failed": failed,
        "requests_per_s": statuses[200] / elapsed,
        "seconds_median": float(np.median(durations)),
        "seconds_p99": float(np.quantile(durations, 0.99)),
        "mebibytes": {"before": round(before, 1), "after": round(after, 1)},
    }


@contextmanager
def run_gateway(queue: int) -> Iterator[str]:
    """Run a gateway in a thread on a free port of this machine, and yield its address."""
    log = Log(io.StringIO())
    spec = BackendSpec("eval.bench.fuzzing.stand_in:FormFiller")
    service = Service(Engine(spec, log=log), queue=queue)
    app = build_app(service, Settings(page=False), lambda *_, **__: None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        limit = time.monotonic() + START_SECONDS
        while not (server.started and service.state in ("ready", "failed")) and time.monotonic() < limit:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


async def _send(
    url: str, clients: int, count: int | None, seconds: float, tick: Callable[[], None]
) -> tuple[Counter[int], list[float]]:
    """Let clients send requests for some seconds, or `count` requests each; return statuses and durations."""
    scores = dict(originals.requests())["/v1/scores"]
    row = {name: scores["rows"][0][name] for name in ("image", "prompt")}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/scores", {"rows": [row] * 4}),
        ("/v1/verdicts", {**row, "depth": "verdict"}),
    ]
    statuses, durations = Counter[int](), list[float]()
    end = time.monotonic() + seconds

    async def send_all(client: httpx.AsyncClient, first: int) -> None:
        number = first
        while time.monotonic() < end and (count is None or number - first < count):
            route, body = bodies[number % 2]
            start, pause, status = time.monotonic(), 0.0, 0
            try:
                response = await client.post(route, json=body)
                status, pause = response.status_code, float(response.headers.get("retry-after", 0))
                if status == 200 and None in response.json().get("scores", [0]):
                    status = UNSCORED
            except httpx.HTTPError:
                status = BROKEN
            statuses[status] += 1
            durations.append(time.monotonic() - start)
            tick()
            if status == 429:
                await asyncio.sleep(min(LONGEST_PAUSE, pause))
            else:
                number += 1

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False) as client:
        await asyncio.gather(*(send_all(client, number) for number in range(clients)))
    return statuses, durations


def _memory() -> float:
    """Return the memory that this process holds, in MiB; 0 where that cannot be read."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0
    )
