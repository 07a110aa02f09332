"""Judges for comparisons: on a backend in this process, and on a vLLM server in a child process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from judge.errors import BackendError


@contextmanager
def judge_in_process(backend: str, model: str, adapter: str | None, **options: Any) -> Iterator[Any]:
    """Create a judge on a backend in this process; close the backend at the end.

    Args:
        backend: name of the backend.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        options: further arguments of `Judge`.
    """
    from judge import Judge

    judge = Judge(model, adapter=adapter, backend=backend, **options)
    try:
        yield judge
    finally:
        getattr(judge.backend, "close", lambda: None)()


@contextmanager
def judge_on_server(folder: Path, *, threads: int = 0, **options: Any) -> Iterator[Any]:
    """Start a vLLM server with the embedded judge and create a judge on it.

    Args:
        folder: folder of the embedded judge, see `run_vllm_server`.
        threads: CPU threads of the server; 0: the default of vLLM.
        options: further arguments of the `openai` backend.
    """
    with run_vllm_server(folder, threads=threads) as url, judge_at(url, **options) as judge:
        yield judge


@contextmanager
def judge_at(url: str, **options: Any) -> Iterator[Any]:
    """Create a judge on a running server of the embedded judge; close its connections at the end.

    Args:
        url: address of the server, as `run_vllm_server` yields it.
        options: further arguments of the `openai` backend.
    """
    from judge import Judge
    from judge.backends.openai.backend import OpenAI

    backend = OpenAI(url, "embedded", timeout=600, **options)
    try:
        yield Judge(backend=backend)
    finally:
        backend.close()


@contextmanager
def run_vllm_server(
    folder: Path, *, threads: int = 0, timeout: float = 600, replicas: int = 1
) -> Iterator[str]:
    """Run a vLLM server on a free local port.

    Args:
        folder: folder with `base/`, `adapter/` and `judge.json`, which names further adapters: its base is
            the model `base`, with the adapter it is `embedded`. Or a checkpoint, which is served as `model`.
        threads: CPU threads of the server; 0: the default of vLLM.
        timeout: seconds that the server may take to start.
        replicas: number of engines, each with the whole model (`--data-parallel-size`).

    Yields:
        The address of the server's API.

    Raises:
        BackendError: the server does not start.
    """
    from judge.backends.torchvision_compat import child_environment

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if threads:
        variables |= {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            _server_command(folder, port, replicas),
            env=child_environment(os.environ) | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health", server, timeout, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _server_command(folder: Path, port: int, replicas: int) -> list[str]:
    from judge.backends.vllm.engine import adapts_vision, max_lora_rank

    # The `vllm` command needs the metadata of the package vllm, which vllm-cpu does not have.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    if (folder / "judge.json").is_file():
        command += ["--model", str(folder / "base"), "--served-model-name", "base"]
        others = json.loads((folder / "judge.json").read_text("utf-8")).get("adapters", {})
        adapters = {"embedded": folder / "adapter"} | {f"embedded-{r}": folder / n for r, n in others.items()}
        command += ["--enable-lora", "--max-loras", str(len(adapters))]
        command += ["--max-lora-rank", str(max_lora_rank(list(adapters.values())))]
        command += ["--enable-tower-connector-lora"] * any(map(adapts_vision, adapters.values()))
        command += ["--lora-modules", *(f"{name}={path}" for name, path in adapters.items())]
    else:
        command += ["--model", str(folder), "--served-model-name", "model"]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "32"]
    command += ["--block-size", "32", "--limit-mm-per-prompt", '{"image":8,"video":0}']
    command += ["--mm-processor-cache-gb", "0.2", "--gpu-memory-utilization", "0.3"]
    command += ["--data-parallel-size", str(replicas)] * (replicas > 1)
    return command


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], timeout: float, log: Any) -> None:
    start = time.monotonic()
    while server.poll() is None and time.monotonic() - start < timeout:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    log.seek(0)
    last_line = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    raise BackendError(f"vllm serve: did not start ({' '.join(last_line)[:300]})")
