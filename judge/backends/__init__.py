"""The seam to models: `Backend` with its two verbs, and how to get one by name."""

from __future__ import annotations

from typing import Any

from judge.backends.base import Ask, Backend, Reply
from judge.errors import InputError

__all__ = ["NAMES", "Ask", "Backend", "Reply", "load"]

NAMES = ("transformers",)


def load(
    model: str = "embedded", adapter: str | None = None, backend: str | Backend = "auto", **options: Any
) -> Backend:
    """A backend by name, loaded; a `Backend` is given back as it is.

    Args:
        model: `embedded`, a hub name or a folder.
        adapter: LoRA adapter, hub name or folder.
        backend: `auto` or one of `NAMES`.
        options: what the backend's class takes.

    Raises:
        InputError: no such backend.
        BackendError: the model cannot be loaded.
    """
    if not isinstance(backend, str):
        return backend
    if backend not in ("auto", *NAMES):
        raise InputError("backend", backend, f"auto, {', '.join(NAMES)}", "or give a Backend object")
    from judge.backends.transformers import Transformers

    return Transformers(model, adapter, **options)
