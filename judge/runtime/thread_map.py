"""Apply a function to many items in threads, with the results in order.

This helps for work that releases Python's global interpreter lock, such as decoding and resizing images, or
waiting for a server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from judge.runtime.threads import default_thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_map(
    function: Callable[[Item], Result], items: Iterable[Item], max_pending: int, threads: int | None = None
) -> Iterator[Result]:
    """Yield the results of a function, in the order of the items.

    An exception of the function is raised in place of its result.

    Args:
        function: called from several threads at the same time.
        items: consumed by the thread of the caller.
        max_pending: largest number of items that are in work or whose results wait to be fetched, 1 or more.
        threads: number of threads; with 1, no thread is started. Default: `default_thread_count`.

    Yields:
        The result of each item.
    """
    remaining, threads = iter(items), threads or default_thread_count()
    if threads < 2 or max_pending < 2:
        yield from map(function, remaining)
        return
    with ThreadPoolExecutor(threads, "thread_map") as pool:
        pending: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(remaining, max_pending)
        )
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
