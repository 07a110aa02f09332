"""Tiny random checkpoints of every model family, and scripted model servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from model_server import ALTERNATIVES, TOKENS, ModelServer, Script, completion

from judge.backends.openai.transport import HttpTransport
from judge.backends.transformers.backend import Transformers

CHECKPOINTS = [(family, number_tokens) for family in tiny.FAMILIES for number_tokens in (False, True)]
"""Model families, with numbers digit by digit and as single tokens."""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    """(family, whether numbers are single tokens) -> folder of a checkpoint."""
    folder = tmp_path_factory.mktemp("tiny")
    return {
        (family, number_tokens): tiny.write_checkpoint(
            folder / f"{family}-{number_tokens}", family, number_tokens=number_tokens
        )
        for family, number_tokens in CHECKPOINTS
    }


@pytest.fixture(scope="session", params=CHECKPOINTS, ids=lambda case: f"{case[0]}-{'numbers' * case[1]}")
def backend(request: pytest.FixtureRequest, checkpoints: dict[tuple[str, bool], Path]) -> Transformers:
    """A backend of each checkpoint."""
    return Transformers(checkpoints[request.param], boxes="grid")


@pytest.fixture(scope="session", params=CHECKPOINTS, ids=lambda case: f"{case[0]}-{'numbers' * case[1]}")
def pieces_backend(request: pytest.FixtureRequest, checkpoints: dict[tuple[str, bool], Path]) -> Transformers:
    """A backend of each checkpoint, which gets forms in pieces as the embedded judge does."""
    return Transformers(checkpoints[request.param], tokens="pieces")


@pytest.fixture(scope="session")
def qwen3(checkpoints: dict[tuple[str, bool], Path]) -> Transformers:
    """A backend of a Qwen3-VL with numbers as single tokens."""
    return Transformers(checkpoints["qwen3_vl", True], boxes="grid")


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Start scripted model servers. Default: the answer of `model_server.TOKENS`."""
    started: list[ModelServer] = []

    def start(script: Script | None = None, models: Any = None) -> ModelServer:
        script = script or (lambda *_: (200, {}, completion(TOKENS, ALTERNATIVES)))
        started.append(ModelServer(script, models))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the seconds that would be slept between tries, without sleeping."""
    slept: list[float] = []
    original = HttpTransport.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options, sleep=slept.append)

    monkeypatch.setattr(HttpTransport, "__init__", init)
    return slept
