"""How many threads a process uses, and how OpenMP's threads wait for each other.

OpenMP's threads compute the matrix products of a model and meet at the end of each one. A thread that arrives
first spins for a while before it sleeps. On a busy machine the other threads arrive late: another process has
their processor, or the spinning thread has it. A verdict has thousands of such meetings, and with two busy
processes on the same machine it took 6 to 13 times as long (`python -m eval.bench busy`).

Two measures prevent this: one thread computes small steps, which costs nothing, and threads spin only for a
short time. Both change the whole process. So they only apply in a process that runs nothing but a judge, such
as the command line and the engine of a gateway, which call `dedicate_process`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MAX_THREADS = 8
"""Largest number of threads that decode and resize. Above it, the global interpreter lock is the limit."""
SMALL_STEP_MULTIPLICATIONS = 1 << 25
"""Multiplications in a step of a model below which a second thread saves no more time than it costs."""
SPIN_COUNT = "1000"
"""How often a thread checks a lock before it sleeps; this takes microseconds. The default of GNU's OpenMP is
300,000, about a millisecond."""

_is_dedicated = False


def dedicate_process() -> None:
    """Declare that this process runs nothing but a judge, and calls all its models from one thread.

    Call it before torch is loaded: it sets an environment variable that is read then. Variables that the user
    has set (OMP_WAIT_POLICY, GOMP_SPINCOUNT) are not changed.
    """
    global _is_dedicated
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    _is_dedicated = True


@contextmanager
def limit_threads(multiplications: int) -> Iterator[None]:
    """Use one thread for a small step of a model, if the process is dedicated to a judge.

    This takes about a microsecond.

    Args:
        multiplications: number of multiplications in the step.
    """
    import torch

    usual = torch.get_num_threads()
    if not _is_dedicated or usual == 1 or multiplications >= SMALL_STEP_MULTIPLICATIONS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def default_thread_count() -> int:
    """Return how many threads this process should use to decode and resize, 1 to `MAX_THREADS`.

    This is OMP_NUM_THREADS if it is set, as clusters do for workers that share a machine. Otherwise it is the
    number of processors that the process may use.
    """
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value.isdecimal() and int(value):
        return min(MAX_THREADS, int(value))
    try:
        return min(MAX_THREADS, len(os.sched_getaffinity(0)))
    except AttributeError:  # not available on macOS
        return min(MAX_THREADS, os.cpu_count() or 1)
