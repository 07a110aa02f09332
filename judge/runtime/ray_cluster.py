"""Connecting to a Ray cluster, or starting one. Needs the extra `ray`."""

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

CONNECT_TIMEOUT_SECONDS = 5.0
"""Time within which an address must accept a connection."""
OBJECT_STORE_BYTES = 1 << 30
"""Size of the object store of a cluster that is started here."""


@contextmanager
def connect_to_ray(address: str = "auto") -> Iterator[None]:
    """Connect this process to a Ray cluster while the block runs.

    If the process is already connected to a cluster, that one is used, and it stays connected afterwards.

    Args:
        address: HOST:PORT or ray://HOST:PORT of a cluster; "local" to start one on this machine; "auto" for
            the cluster in the variable RAY_ADDRESS, otherwise the one that runs on this machine, otherwise a
            new one.

    Raises:
        InputError: there is no cluster at that address.
    """
    if ray.is_initialized():
        yield
        return
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "") or "auto"
    _check_reachable(address)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    local: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        if address == "local":
            ray.init("local", **local, **options)
        elif address == "auto":
            try:
                ray.init("auto", **options)
            except ConnectionError:
                ray.init("local", **local, **options)
        else:
            ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError("ray", address, "the address of a Ray cluster", reason) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that something accepts connections at an address. Ray itself takes minutes to report that."""
    match = re.fullmatch(r"(?:ray://)?(?P<host>[^/:]+|\[[^]]+\]):(?P<port>\d+)", address)
    if address in ("auto", "local"):
        return
    allowed = "auto, local, HOST:PORT or ray://HOST:PORT"
    if not match:
        raise InputError("ray", address, allowed, "`ray status` prints it on the cluster")
    try:
        endpoint = match["host"].strip("[]"), int(match["port"])
        socket.create_connection(endpoint, CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("ray", address, allowed, f"nobody answers there: {reason}") from None
