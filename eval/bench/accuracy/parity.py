"""Is it the same judge on every backend? Drawn scenes judged in process by transformers, in process by vLLM,
and by a vLLM server behind the openai backend; each compared with the first, scene by scene.

Defects are the same when there are as many, of the same kinds and severities in the same order, and no edge
of a box lies more than a hundredth of the picture's side from where it was.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from eval.bench.accuracy.scenes import Judging
from judge.errors import BackendError
from judge.types import Sample, Verdict

ALIKE = 0.02
"""Scores closer than this are the same."""
EDGE = 0.01
"""Edges of boxes that are closer than this share of the picture's side are the same."""


def run(
    contenders: Sequence[tuple[str, Callable[[], Any], int]],
    samples: Sequence[Sample],
    *,
    batch: int = 32,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Compare contenders with the first of them.

    Args:
        contenders: name; what opens a context manager that gives a judge; how many of the samples it is
            asked, the first ones.
        samples: what all of them judge.
        batch: samples judged at once.
        tick: called for each sample judged.
    """
    result: dict[str, Any] = {"scenes": len(samples), "alike_within": ALIKE}
    truth: dict[str, list[Verdict]] = {}
    for name, opened, count in contenders:
        with opened() as judge:
            for depth in ("verdict", "score"):
                found = [verdict for verdict in _judged(judge, samples[:count], depth, batch, tick)]
                if depth not in truth:
                    truth[depth] = found
                else:
                    result.setdefault(name, {})[depth] = compared(truth[depth][: len(found)], found)
    return result


def _judged(
    judge: Judging, samples: Sequence[Sample], depth: str, batch: int, tick: Callable[[], None]
) -> Iterator[Verdict]:
    for verdict in judge.many(samples, depth=depth, batch=batch):
        tick()
        yield verdict


def compared(truth: Sequence[Verdict], found: Sequence[Verdict]) -> dict[str, Any]:
    """Shares of scenes on which two backends agree, and how far apart their scores are."""
    pairs = list(zip(truth, found, strict=True))
    scored = [(a.score, b.score) for a, b in pairs if a.score is not None and b.score is not None]
    apart = np.abs([a - b for a, b in scored] or [np.nan])
    alike = [_same(a, b) for a, b in pairs]
    return {
        "scenes": len(pairs),
        "same_status": _share([a.status == b.status for a, b in pairs]),
        "same_elements": _share([_elements(a) == _elements(b) for a, b in pairs]),
        "same_defects": _share([_same_defects(a, b) for a, b in pairs]),
        "scores_alike": _share([abs(a - b) <= ALIKE for a, b in scored]),
        "same_verdict": _share(alike),
        "score_difference": {
            **{f"p{q}": float(np.quantile(apart, q / 100)) for q in (50, 90, 99)},
            "max": float(apart.max()),
        },
        "differing": [a.id for (a, _), same in zip(pairs, alike, strict=True) if not same],
    }


def _same(a: Verdict, b: Verdict) -> bool:
    if a.score is None or b.score is None:
        return a.status == b.status
    return abs(a.score - b.score) <= ALIKE and _elements(a) == _elements(b) and _same_defects(a, b)


def _elements(verdict: Verdict) -> list[tuple[str, bool]]:
    return [(element.name, element.present) for element in verdict.elements]


def _same_defects(a: Verdict, b: Verdict) -> bool:
    if len(a.defects) != len(b.defects):
        return False
    width, height = a.size or (1, 1)
    sides = np.array([width, height, width, height])
    return all(
        (one.kind, one.severity) == (other.kind, other.severity)
        and bool((np.abs(np.subtract(one.box, other.box)) <= EDGE * sides).all())
        for one, other in zip(a.defects, b.defects, strict=True)
    )


def _share(told: Sequence[bool]) -> float | None:
    return sum(told) / len(told) if told else None


# -- The contenders --------------------------------------------------------------------------------------


@contextmanager
def in_process(name: str, model: str, adapter: str | None, **options: Any) -> Iterator[Any]:
    """A judge on a backend of this process, which is closed in the end where it can be."""
    from judge import Judge

    judge = Judge(model, adapter=adapter, backend=name, **options)
    try:
        yield judge
    finally:
        getattr(judge.backend, "close", lambda: None)()


@contextmanager
def behind_server(folder: Path, *, threads: int = 0, **options: Any) -> Iterator[Any]:
    """A judge on the openai backend, asking a vLLM server of the embedded judge, which lies in the folder."""
    from judge import Judge
    from judge.backends.openai.backend import OpenAI

    with served(folder, threads=threads) as url:
        backend = OpenAI(url, "embedded", timeout=600, **options)
        try:
            yield Judge(backend=backend)
        finally:
            backend.close()


@contextmanager
def served(folder: Path, *, threads: int = 0, patience: float = 600, replicas: int = 1) -> Iterator[str]:
    """Run vLLM's server on `base/`, with `adapter/` as `embedded`, on a free port of this machine;
    gives its address. The server ends with the context.

    Args:
        folder: holds `base/` and `adapter/`.
        threads: CPU threads of its kernels; 0: as many as vLLM takes.
        patience: seconds that it may take to start.
        replicas: engines behind it, each with the whole model (`--data-parallel-size`).

    Raises:
        BackendError: it does not start.
    """
    from judge.backends.torchvision_compat import environment
    from judge.backends.vllm.backend import most_rank, sees

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if threads:
        own |= {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # The `vllm` command looks for its own package's metadata, which vllm-cpu does not carry.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder / "base")]
    command += ["--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port)]
    named = json.loads((folder / "judge.json").read_text("utf-8")).get("adapters", {})
    adapters = {"embedded": folder / "adapter"} | {f"embedded-{r}": folder / n for r, n in named.items()}
    command += ["--enable-lora", "--max-loras", str(len(adapters))]
    command += ["--max-lora-rank", str(most_rank(list(adapters.values())))]
    command += ["--enable-tower-connector-lora"] * any(map(sees, adapters.values()))
    command += ["--lora-modules", *(f"{name}={place}" for name, place in adapters.items())]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "32"]
    command += ["--block-size", "32", "--limit-mm-per-prompt", '{"image":8,"video":0}']
    command += ["--mm-processor-cache-gb", "0.2", "--gpu-memory-utilization", "0.3"]
    command += ["--data-parallel-size", str(replicas)] * (replicas > 1)
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, env=environment(os.environ) | own, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, patience, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], patience: float, log: Any) -> None:
    start = time.monotonic()
    while server.poll() is None and time.monotonic() - start < patience:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    log.seek(0)
    last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    raise BackendError(f"vllm serve: did not start ({' '.join(last)[:300]})")
