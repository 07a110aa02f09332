"""Gateways that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import KEYS, Gateway, gateway

from judge.serve.settings import MIB, Settings, accepted_hosts


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    """A gateway with default settings, and without the web page."""
    with gateway() as one:
        yield one


@pytest.fixture(scope="module")
def locked() -> Iterator[Gateway]:
    """A gateway that needs a key, with low limits."""
    settings = Settings(keys=KEYS, page=False, max_body=MIB, body_timeout=1.0, max_rows=8)
    with gateway(settings=settings) as one:
        yield one


@pytest.fixture(scope="module")
def unlocked() -> Iterator[Gateway]:
    """A gateway without keys that answers only to the names of loopback, as `judge serve` runs by default."""
    settings = Settings(hosts=accepted_hosts("127.0.0.1", has_access_rule=False), page=False, max_body=MIB)
    with gateway(settings=settings) as one:
        yield one
