"""What is done with a damaged input of each kind, and its limits of time and memory."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from eval.bench.fuzzing import mutations, originals
from judge.errors import InputError

Try = Callable[[np.random.Generator], bool]
"""Makes an input, and takes it. Returns whether it was read; raises `InputError` if it was refused. The
originals were taken before, so that no input pays for what is loaded once."""
SIDE = 224
"""Side of the images that a model would be shown, in pixels."""


class CrashError(Exception):
    """An answer that no input may get."""


@dataclass(frozen=True)
class Target:
    """One kind of input."""

    open: Callable[[], Any]
    """Returns a context manager that yields a `Try`."""
    seconds: float
    """CPU time that an input may take."""
    mebibytes: float
    """Memory that it may take, above what the process held before."""


def _try_damaged(samples: Sequence[bytes], load: Callable[[bytes], None]) -> Try:
    """Load the samples, and return what damages one of them and loads it."""
    for sample in samples:
        load(sample)

    def attempt(rng: np.random.Generator) -> bool:
        load(mutations.damage_bytes(samples[int(rng.integers(len(samples)))], rng, samples))
        return True

    return attempt


@contextmanager
def open_images() -> Iterator[Try]:
    """Load images, and resize them to what a model is shown."""
    from judge.media.image import load_image, resize_to_fit

    samples = originals.images()

    def load(data: bytes) -> None:
        resize_to_fit(load_image(data), side=SIDE)

    yield _try_damaged(samples, load)


@contextmanager
def open_videos() -> Iterator[Try]:
    """Load videos, and measure their motion."""
    import av.logging

    from judge.evidence.motion import measure_motion
    from judge.media.video import load_video

    av.logging.set_level(None)
    samples = originals.videos()

    def load(data: bytes) -> None:
        measure_motion(load_video(data, side=SIDE))

    yield _try_damaged(samples, load)


@contextmanager
def open_tables() -> Iterator[Try]:
    """Read files of rows; every row of a file that is read must be a sample, or say why not."""
    from judge.pipeline.rows import BadRow, check_text_rows, count_text_rows, read_text_rows

    samples = originals.tables()

    def attempt(rng: np.random.Generator) -> bool:
        name, original = samples[int(rng.integers(len(samples)))]
        data, path = mutations.damage_bytes(original, rng, [sample for _, sample in samples]), PurePath(name)
        check_text_rows(lambda: io.BytesIO(data), path)
        rows = list(read_text_rows(lambda: io.BytesIO(data), path))
        if len(rows) != count_text_rows(lambda: io.BytesIO(data), path):
            raise CrashError("the rows were counted otherwise than they were read")
        if any(isinstance(row, BadRow) and not row.reason for row in rows):
            raise CrashError("a row is not used, without a reason")
        return True

    yield attempt


@contextmanager
def open_requests() -> Iterator[Try]:
    """Send requests to a gateway in this process, over a stand-in for the model."""
    import httpx

    from judge.serve.engine.ipc import BackendSpec
    from judge.serve.engine.supervisor import Engine
    from judge.serve.http.app import build_app
    from judge.serve.log import Log
    from judge.serve.service import Service
    from judge.serve.settings import Settings

    samples, errors, log = originals.requests(), list[str](), Log(io.StringIO())
    service = Service(Engine(BackendSpec("eval.bench.fuzzing.stand_in:FormFiller"), log=log))

    def note(event: str, **fields: Any) -> None:
        if event == "error":
            errors.append(f"{fields.get('error')} at {fields.get('where', [''])[-1]}")

    app = build_app(service, Settings(page=False), note)
    with asyncio.Runner() as runner:
        runner.run(service.__aenter__())
        runner.run(service.engine.wait_until_settled())
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=60
        )

        def post(route: str, content: bytes, content_type: str) -> bool:
            headers = {"content-type": content_type}
            response = runner.run(client.post(route, content=content, headers=headers))
            _check_answer(response, errors)
            return bool(response.status_code == 200)

        def attempt(rng: np.random.Generator) -> bool:
            route, original = samples[int(rng.integers(len(samples)))]
            return post(route, *_encode_request(original, rng, bodies))

        bodies = [json.dumps(body).encode() for _, body in samples]
        for (route, _), body in zip(samples, bodies, strict=True):
            post(route, body, "application/json")
        try:
            yield attempt
        finally:
            runner.run(client.aclose())
            runner.run(service.__aexit__())


def _encode_request(body: Any, rng: np.random.Generator, others: list[bytes]) -> tuple[bytes, str]:
    """Return a damaged body and its content type: JSON with other values, or damaged bytes, or a form."""
    choice = rng.random()
    if choice < 0.7:
        # Half a character is valid in JSON's escapes only.
        return json.dumps(mutations.damage_json(body, rng)).encode(), "application/json"
    if choice < 0.85 or "rows" in body:
        return mutations.damage_bytes(json.dumps(body).encode(), rng, others), "application/json"
    parts = []
    damaged = mutations.damage_json(body, rng)
    for name, value in damaged.items() if isinstance(damaged, dict) else ():
        text = value if isinstance(value, str) else json.dumps(value)
        parts.append(f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n')
    form = "".join([*parts, "--limit--\r\n"]).encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        form = mutations.damage_bytes(form, rng, others)
    return form, "multipart/form-data; boundary=limit"


def _check_answer(response: Any, errors: list[str]) -> None:
    """Raise `InputError` for a refusal in the usual shape, `CrashError` for anything but an answer."""
    if errors or response.status_code >= 500:
        raise CrashError(f"{response.status_code}: {errors.pop() if errors else response.text[:200]}")
    body = response.json()
    if response.status_code == 200:
        verdicts = body.get("verdicts", [])
        if any(verdict["status"] == "unscored" and not verdict["reason"] for verdict in verdicts):
            raise CrashError("a row is unscored without a reason")
        return
    error = body.get("error", {})
    if not (400 <= response.status_code < 500 and error.get("message") and error.get("mend")):
        raise CrashError(f"{response.status_code} without the usual error: {response.text[:200]}")
    raise InputError(error["field"] or "request", "", error["allowed"], error["mend"])


TARGETS = {
    "images": Target(open_images, seconds=5.0, mebibytes=1024),
    "videos": Target(open_videos, seconds=20.0, mebibytes=1024),
    "tables": Target(open_tables, seconds=2.0, mebibytes=128),
    "requests": Target(open_requests, seconds=5.0, mebibytes=512),
}
"""Kinds of inputs."""
