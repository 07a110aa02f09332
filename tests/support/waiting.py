"""A backend that tells how its process waits."""

from __future__ import annotations

import os

from serving import Sleepy

from judge.runtime import threads


def waiting() -> Sleepy:
    """A backend whose version says how its process waits."""
    backend = Sleepy()
    backend.version = f"{threads._own} {os.environ.get('GOMP_SPINCOUNT')}"
    return backend
