"""Fixtures of the client's tests: one running gateway, and no proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Gateway, gateway


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    """A gateway that is ready."""
    with gateway() as started:
        yield started


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
