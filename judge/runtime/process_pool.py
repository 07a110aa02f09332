"""A pool of processes that share the work of drawing and measuring."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def create_process_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Create a pool of processes.

    The processes are started by a fork server. A direct fork of a process whose OpenCV or torch has threads
    would wait forever for the threads that were not copied.

    Args:
        workers: number of processes; default: one for each CPU.
    """
    return ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("forkserver"))
