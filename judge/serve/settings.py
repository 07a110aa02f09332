"""What the operator of a gateway decides about its HTTP side."""

from __future__ import annotations

from dataclasses import dataclass, field

from judge.serve.keys import Keys

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Limits and keys; see `judge serve --help`."""

    keys: Keys = field(default_factory=Keys)
    hosts: frozenset[str] | None = None
    """Host names that requests may be addressed to; None: any. A gateway without keys on loopback names the
    loopback's, so that no web page can reach it under a name of its own (DNS rebinding)."""
    max_body: int = 64 * MIB
    """Largest request body in bytes."""
    max_held: int = 1024 * MIB
    """Bytes of all bodies inside at once; further ones are told to come back."""
    body_s: float = 30.0
    """Seconds from the first byte of a request to the last one of its body."""
    max_rows: int = 256
    """Rows of one `/v1/scores`."""
    page: bool = True
    """Whether the page is mounted, if its libraries are there."""


def hosts_of(host: str, closed: bool) -> frozenset[str] | None:
    """`Settings.hosts` for a gateway that listens on `host`; `closed`: it has keys, or is open on purpose."""
    return None if closed else frozenset({*LOOPBACK, host})
