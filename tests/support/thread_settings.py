"""A backend that reports the thread settings of its process."""

from __future__ import annotations

import os

from serving import SlowBackend

from judge.runtime import threads


def create_backend() -> SlowBackend:
    """Create a backend whose version says whether its process is dedicated, and how often threads spin."""
    backend = SlowBackend()
    backend.version = f"{threads._is_dedicated} {os.environ.get('GOMP_SPINCOUNT')}"
    return backend
