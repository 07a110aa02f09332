"""A function of many items in threads, its results in order: for work that leaves Python's lock to others, as
decoding and scaling pictures does, and waiting for a server."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 8
"""Threads at most: beyond, what still holds Python's lock is the limit."""


def threads_here() -> int:
    """How many threads a process like this one should use: as many as OpenMP was told to, as clusters tell
    the workers that share a machine; else one for each processor that it may run on."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told):
        return min(MOST, int(told))
    try:
        return min(MOST, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on macOS
        return min(MOST, os.cpu_count() or 1)


def abreast(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int, threads: int | None = None
) -> Iterator[Result]:
    """The function's results, in the order of the items. What it raises, the iterator raises in its place.

    Args:
        function: called from several threads at once.
        items: taken by the caller's thread.
        ahead: items in work or waiting to be fetched at most, 1 or more.
        threads: how many; with one nothing is started. Default: `threads_here`.
    """
    rest, threads = iter(items), threads or threads_here()
    if threads < 2 or ahead < 2:
        yield from map(function, rest)
        return
    with ThreadPoolExecutor(threads, "abreast") as pool:
        waiting: deque[Future[Result]] = deque(pool.submit(function, item) for item in islice(rest, ahead))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
