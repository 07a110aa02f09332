"""A function of many items in threads, its results in order: for work that leaves Python's lock to others, as
decoding and scaling pictures does, and waiting for a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from judge.runtime.threads import threads_here

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_map(
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
