"""The seam to models: `Backend` with its two verbs, and one module for each way to run a model."""

from __future__ import annotations

from judge.backends.base import Ask, Backend, Reply

__all__ = ["Ask", "Backend", "Reply"]
