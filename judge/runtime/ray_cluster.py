"""Connect to a Ray cluster, or start one. Needs the extra `ray`."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from judge.errors import InputError

KNOCK = 5.0
"""Seconds within which an address must take a connection."""
STORE = 1 << 30
"""Bytes of the object store of a cluster that is started here."""


@contextmanager
def cluster(address: str = "auto") -> Iterator[None]:
    """Be a driver of a cluster for as long as the block runs.

    Args:
        address: HOST:PORT or ray://HOST:PORT; "local" starts one on this machine; "auto" takes the one of
            the variable RAY_ADDRESS or the one that runs here, and else starts one. Within a process that
            is a driver already, that cluster is used.

    Raises:
        InputError: there is none at that address.
    """
    if ray.is_initialized():
        yield
        return
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "") or "auto"
    _knock(address)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    own: dict[str, Any] = {"object_store_memory": STORE, "include_dashboard": False}
    try:
        if address == "local":
            ray.init("local", **own, **options)
        elif address == "auto":
            try:
                ray.init("auto", **options)
            except ConnectionError:
                ray.init("local", **own, **options)
        else:
            ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError("ray", address, "the address of a Ray cluster", reason) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself takes minutes to say that nobody is there."""
    found = re.fullmatch(r"(?:ray://)?(?P<host>[^/:]+|\[[^]]+\]):(?P<port>\d+)", address)
    if address in ("auto", "local"):
        return
    allowed = "auto, local, HOST:PORT or ray://HOST:PORT"
    if not found:
        raise InputError("ray", address, allowed, "ray status prints it on the cluster")
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), KNOCK).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("ray", address, allowed, f"nobody answers there: {reason}") from None
