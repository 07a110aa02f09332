"""Processes that share the work of drawing and measuring."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def clean_pool(count: int | None = None) -> ProcessPoolExecutor:
    """A pool of `count` processes, by default one for every CPU.

    They begin clean: a fork of a process whose OpenCV or torch has threads waits for ever for those that were
    not copied.
    """
    return ProcessPoolExecutor(count or os.cpu_count(), multiprocessing.get_context("forkserver"))
