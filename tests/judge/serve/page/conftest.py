"""The web page over a scripted service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from page import ScriptedService, running_app

from judge.backends.scripted import Scripted


@pytest.fixture(scope="module")
def scripted_service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture(scope="module")
def scripted_page(scripted_service: ScriptedService) -> Iterator[str]:
    """Address of a page over the scripted service."""
    from judge.serve.page.app import mount

    with running_app(mount(FastAPI(), scripted_service)) as address:  # type: ignore[arg-type]
        yield address


@pytest.fixture
def replies(scripted_service: ScriptedService) -> Iterator[list[Any]]:
    """The model's replies for the next verdicts of `scripted_page`."""
    scripted_service.backend = Scripted()
    yield scripted_service.backend.replies
    scripted_service.state, scripted_service.pause = "ready", 0.0
