"""Settings of the gateway's HTTP side: keys, allowed host names and limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from judge.serve.keys import Keys

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Keys and limits of the HTTP routes; see `judge serve --help`."""

    keys: Keys = field(default_factory=Keys)
    hosts: frozenset[str] | None = None
    """Values of the Host header that are accepted; None: any. A gateway without keys on loopback accepts only
    the names of loopback, so that no web page can reach it under a name of its own (DNS rebinding)."""
    max_body: int = 64 * MIB
    """Largest request body in bytes."""
    max_buffered: int = 1024 * MIB
    """Largest number of bytes in all request bodies at once; further requests get 429."""
    body_timeout: float = 30.0
    """Seconds from the start of a request to the end of its body."""
    max_rows: int = 256
    """Largest number of rows in one `POST /v1/scores`."""
    page: bool = True
    """Whether to mount the web page, if its libraries are installed."""


def accepted_hosts(host: str, has_access_rule: bool) -> frozenset[str] | None:
    """Return `Settings.hosts` for a gateway that listens on `host`.

    Args:
        host: address to listen on.
        has_access_rule: the gateway has keys, or is open on purpose (`--open`).
    """
    return None if has_access_rule else frozenset({*LOOPBACK_HOSTS, host})
