"""`judge serve` as a process of its own, asked by many clients at once over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from PIL import Image

from eval.bench.speed.contenders import CannotRun, Lap, fresh
from judge.types import Depth, Sample

NAMES = ("gateway",)
LOAD = 600.0
"""Seconds the engine may take to be ready."""
DEADLINE = 600.0
"""Seconds a request may take: a slow machine is measured, not failed."""


class Gateway:
    """See the module.

    Args:
        model, adapter, backend: as `judge serve` takes them.
        samples: what is judged; their pictures are arrays.
        clients: how many ask at once, one picture a request.
    """

    def __init__(
        self, model: str, adapter: str | None, backend: str, samples: Sequence[Sample], clients: int
    ) -> None:
        self.samples, self.clients = samples, clients
        adapted = ["--adapter", adapter] if adapter else []
        self.command = [sys.executable, "-m", "judge", "serve", "--model", model, *adapted]
        self.command += ["--backend", backend, "--no-page", "--deadline", str(DEADLINE)]
        self.command += ["--queue", str(4 * clients)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, dict[str, Any]]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*self.command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=self._said
        )
        until = time.monotonic() + LOAD
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise CannotRun(f"judge serve was not ready: {self._last_words()}")
            time.sleep(0.5)
        return {"gateway": {"clients": self.clients}}

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self._address}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        return " ".join(line.strip() for line in lines if line.strip())[-300:] or "it said nothing"

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def lap(self, name: str, depth: Depth, visit: int, count: int) -> Lap:
        bodies = [_body(sample, depth) for sample in fresh(self.samples[:count], visit)]
        return asyncio.run(self._asked(bodies))

    async def _asked(self, bodies: Sequence[bytes]) -> Lap:
        waiting, latencies, statuses = iter(bodies), list[float](), list[str]()
        limits = httpx.Limits(max_connections=self.clients, max_keepalive_connections=self.clients)
        async with httpx.AsyncClient(base_url=self._address, timeout=DEADLINE, limits=limits) as web:
            start = time.perf_counter()
            await asyncio.gather(*(_client(web, waiting, latencies, statuses) for _ in range(self.clients)))
            seconds = time.perf_counter() - start
        usable, errors = statuses.count("scored"), statuses.count("error")
        return Lap(seconds, len(bodies), usable, latencies, errors)


async def _client(
    web: httpx.AsyncClient, waiting: Iterator[bytes], latencies: list[float], statuses: list[str]
) -> None:
    """Ask one question after the other, as long as there are any."""
    for body in waiting:
        start = time.perf_counter()
        try:
            reply = await web.post("/v1/verdicts", content=body, headers={"content-type": "application/json"})
            statuses.append(reply.json()["status"] if reply.status_code == 200 else "error")
        except httpx.HTTPError:
            statuses.append("error")
        latencies.append(time.perf_counter() - start)


def _body(sample: Sample, depth: Depth) -> bytes:
    file = io.BytesIO()
    Image.fromarray(sample.image).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    asked = {"image": url, "prompt": sample.prompt, "elements": sample.elements, "depth": depth}
    return json.dumps(asked).encode()
