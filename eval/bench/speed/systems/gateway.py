"""The gateway: `judge serve` in a child process, with concurrent clients over HTTP."""

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

from eval.bench.speed.systems.base import SystemUnavailableError, TimedRun, with_unique_images
from judge.types import Depth, Sample

START_TIMEOUT = 600.0
"""Seconds that the engine may take to be ready."""
REQUEST_TIMEOUT = 600.0
"""Seconds that a request may take; long, so that requests do not fail on a slow machine."""
JSON_HEADERS = {"content-type": "application/json"}


class GatewayGroup:
    """A `SystemGroup` with the system `gateway`.

    Args:
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        backend: backend of the gateway.
        samples: samples that are judged; their images are arrays.
        clients: number of concurrent clients; each request has one image.
    """

    def __init__(
        self, model: str, adapter: str | None, backend: str, samples: Sequence[Sample], clients: int
    ) -> None:
        self.samples, self.clients = samples, clients
        adapter_options = ["--adapter", adapter] if adapter else []
        self.command = [sys.executable, "-m", "judge", "serve", "--model", model, *adapter_options]
        self.command += ["--backend", backend, "--no-page", "--deadline", str(REQUEST_TIMEOUT)]
        self.command += ["--queue", str(4 * clients)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, dict[str, Any]]:
        """Start the gateway and wait until it is ready."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*self.command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=self._log
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemUnavailableError(f"judge serve was not ready: {self._end_of_log()}")
            time.sleep(0.5)
        return {"gateway": {"clients": self.clients}}

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._address}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def _end_of_log(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        return " ".join(line.strip() for line in lines if line.strip())[-300:] or "it printed nothing"

    def stop(self) -> None:
        """End the gateway."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def run(self, name: str, depth: Depth, run_id: int, count: int) -> TimedRun:
        """Judge the first `count` samples once."""
        samples = with_unique_images(self.samples[:count], run_id)
        return asyncio.run(self._send([_encode_request(sample, depth) for sample in samples]))

    async def _send(self, bodies: Sequence[bytes]) -> TimedRun:
        remaining, latencies, statuses = iter(bodies), list[float](), list[str]()
        limits = httpx.Limits(max_connections=self.clients, max_keepalive_connections=self.clients)
        async with httpx.AsyncClient(base_url=self._address, timeout=REQUEST_TIMEOUT, limits=limits) as http:
            start = time.perf_counter()
            clients = (_run_client(http, remaining, latencies, statuses) for _ in range(self.clients))
            await asyncio.gather(*clients)
            seconds = time.perf_counter() - start
        usable, errors = statuses.count("scored"), statuses.count("error")
        return TimedRun(seconds, len(bodies), usable, latencies, errors)


async def _run_client(
    http: httpx.AsyncClient, remaining: Iterator[bytes], latencies: list[float], statuses: list[str]
) -> None:
    """Send one request after the other until none remains."""
    for body in remaining:
        start = time.perf_counter()
        try:
            response = await http.post("/v1/verdicts", content=body, headers=JSON_HEADERS)
            statuses.append(response.json()["status"] if response.status_code == 200 else "error")
        except httpx.HTTPError:
            statuses.append("error")
        latencies.append(time.perf_counter() - start)


def _encode_request(sample: Sample, depth: Depth) -> bytes:
    file = io.BytesIO()
    Image.fromarray(sample.image).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    request = {"image": url, "prompt": sample.prompt, "elements": sample.elements, "depth": depth}
    return json.dumps(request).encode()
