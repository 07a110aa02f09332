"""Threads of a process: how many it uses, and what they do while they wait for each other.

OpenMP's threads, which make a model's products, meet at the end of each one, and whoever comes first spins
for a while before it sleeps. Beside other work on the same processors the others come late: their turn is
another's, and may be the spinning one's. A verdict has thousands of such meetings, and beside two busy
processes took 6 to 13 times its time (`python -m eval.bench busy`). So small steps are made by one thread,
which costs nothing, and what spins, spins shortly. Both change the whole process: they are for those that
run nothing but a judge, the command line and a gateway's engine, which say so by `own_process`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MOST = 8
"""Threads that decode and scale at most: beyond, what still holds Python's lock is the limit."""
SMALL = 1 << 25
"""Multiplications of a model's step up to which a second thread saves no more time than meeting it takes."""
SPINS = "1000"
"""Looks at a lock before a thread sleeps, microseconds in all; GNU's OpenMP has 300,000, a millisecond."""

_own = False


def own_process() -> None:
    """Say that only a judge runs in this process, and all of its models in one thread. Counts from the
    moment torch is loaded, so say it before; what the environment says about waiting stands."""
    global _own
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    _own = True


@contextmanager
def worth(multiplications: int) -> Iterator[None]:
    """One thread for a small step, where the process is the judge's own; it costs a microsecond."""
    import torch

    usual = torch.get_num_threads()
    if not _own or usual == 1 or multiplications >= SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


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
