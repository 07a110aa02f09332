"""`thread_map`: results in order, a bounded number of items in work, exceptions in place of results."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Event, Thread, current_thread

import pytest

from judge.runtime.thread_map import thread_map


def test_results_come_in_the_order_of_the_items() -> None:
    later_item_done = Event()

    def wait_for_later_item(number: int) -> int:
        if number == 0:
            assert later_item_done.wait(60)
        else:
            later_item_done.set()
        return number

    assert list(thread_map(wait_for_later_item, range(5), 5, threads=2)) == [0, 1, 2, 3, 4]


def test_items_are_processed_at_the_same_time() -> None:
    both = Barrier(2, timeout=60)  # only two threads at once pass it
    assert list(thread_map(lambda _: both.wait() >= 0, range(4), 4, threads=2)) == [True] * 4


@pytest.mark.parametrize(("max_pending", "threads"), [(3, 2), (1, 2), (3, 1)])
def test_no_more_items_are_taken_than_max_pending(max_pending: int, threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for done, _ in enumerate(thread_map(str, items(), max_pending, threads), 1):
        assert len(taken) <= done + max_pending
    assert taken == list(range(20))


def test_an_exception_is_raised_in_place_of_its_result() -> None:
    results = thread_map(lambda number: 6 // (3 - number), range(6), 6, threads=2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results, None) is None


def test_items_are_consumed_by_the_thread_of_the_caller() -> None:
    consumers: list[Thread] = []

    def items() -> Iterator[int]:
        for number in range(4):
            consumers.append(current_thread())
            yield number

    assert list(thread_map(str, items(), 2, threads=2)) == ["0", "1", "2", "3"]
    assert set(consumers) == {current_thread()}


def test_items_are_not_started_after_the_results_are_closed() -> None:
    started = []
    results = thread_map(started.append, range(1000), 4, threads=2)
    next(results)
    results.close()
    assert len(started) <= 6
