"""Work in threads: results in order, a bounded number ahead, errors where they belong."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Event, Thread, current_thread

import pytest

from judge.runtime.thread_map import thread_map


def test_results_come_in_the_order_of_the_items() -> None:
    later = Event()

    def slowly(number: int) -> int:
        if number == 0:
            assert later.wait(60)  # until one that comes after it is done
        else:
            later.set()
        return number

    assert list(thread_map(slowly, range(5), 5, threads=2)) == [0, 1, 2, 3, 4]


def test_items_are_worked_on_side_by_side() -> None:
    both = Barrier(2, timeout=60)  # passed only by two at once
    assert list(thread_map(lambda _: both.wait() >= 0, range(4), 4, threads=2)) == [True] * 4


@pytest.mark.parametrize(("ahead", "threads"), [(3, 2), (1, 2), (3, 1)])
def test_no_more_is_taken_ahead_than_asked(ahead: int, threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for done, _ in enumerate(thread_map(str, items(), ahead, threads), 1):
        assert len(taken) <= done + ahead
    assert taken == list(range(20))


def test_an_error_is_raised_in_its_items_place() -> None:
    results = thread_map(lambda number: 6 // (3 - number), range(6), 6, threads=2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results, None) is None


def test_items_are_taken_by_the_caller_itself() -> None:
    takers: list[Thread] = []

    def items() -> Iterator[int]:
        for number in range(4):
            takers.append(current_thread())
            yield number

    assert list(thread_map(str, items(), 2, threads=2)) == ["0", "1", "2", "3"]
    assert set(takers) == {current_thread()}


def test_what_is_not_fetched_is_not_begun() -> None:
    begun = []
    results = thread_map(begun.append, range(1000), 4, threads=2)
    next(results)
    results.close()
    assert len(begun) <= 6
