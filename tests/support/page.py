"""Helpers for tests of the web page: a service with scripted answers, and an app that runs in a thread."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from PIL import Image

from judge.backends.scripted import Scripted
from judge.judge import Judge
from judge.serve.sample_judge import VERDICT_OPTIONS, JudgeOptions
from judge.types import Comparison, Sample, Verdict

TIMEOUT_MS = 240_000
"""Milliseconds that a browser waits for anything. It only keeps a broken test from hanging."""
TIMEOUT = TIMEOUT_MS / 1000
"""The same for a request, in seconds."""
FILE_ON_DISK = "/etc/passwd"
ANSWER: dict[str, Any] = {
    "elements": {"red car": True, "blue house": False},
    "degradation": "blur",
    "defects": [
        {
            "kind": "erased",
            "box": [100, 200, 400, 600],
            "severity": "moderate",
            "explanation": "a wheel is gone",
        },
        {
            "kind": "tint",
            "box": [500, 500, 980, 990],
            "severity": "critical",
            "explanation": "the roof is green",
        },
    ],
    "alignment": 3,
    "structure": 2,
    "score": 3,
    "explanation": "half of it is there",
}
"""A reply of the model about "a red car and a blue house"."""


class ScriptedService:
    """The interface of `Service` over a scripted backend, so that a test chooses the answers."""

    def __init__(self) -> None:
        self.state, self.pause = "ready", 0.0
        self.backend: Any = Scripted()
        self.looks = 60

    def rubrics(self) -> list[dict[str, Any]]:
        return [{"name": name, "description": f"the {name} one"} for name in ("default", "quality")]

    async def verdict(self, sample: Sample, options: JudgeOptions = VERDICT_OPTIONS) -> Verdict:
        judge = Judge(backend=self.backend, rubric=options.rubric, looks=options.looks)
        fields = sample.model_dump(include={"prompt", "negative_prompt", "elements"})
        await asyncio.sleep(self.pause)
        call = partial(judge, sample.image, depth=options.depth, heat=options.heat, **fields)
        return await asyncio.to_thread(call)

    async def compare(self, a: Sample, b: Sample, options: JudgeOptions = VERDICT_OPTIONS) -> Comparison:
        judge = Judge(backend=self.backend, rubric=options.rubric, looks=options.looks)
        fields = a.model_dump(include={"prompt", "negative_prompt", "elements"}) | {"how": "pointwise"}
        return await asyncio.to_thread(judge.compare, a.image, b.image, **fields)


@contextmanager
def running_app(app: FastAPI) -> Iterator[str]:
    """Run an app in a thread, and yield its address."""
    config = uvicorn.Config(app, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def encoded_image(size: tuple[int, int] = (200, 100), kind: str = "PNG", **options: Any) -> bytes:
    """Encode a grey gradient."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind, **options)
    return file.getvalue()
