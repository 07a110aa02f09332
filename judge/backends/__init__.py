"""The seam to models: `Backend` with its two verbs, and one module for each way to run a model."""

from __future__ import annotations

from typing import Any

from judge.backends import student
from judge.backends.base import Backend, Reply, Request, Stream
from judge.errors import InputError

__all__ = ["Request", "Backend", "Reply", "Stream", "load"]


def load(
    name: str, model: str, *, adapter: str | None = None, base_url: str | None = None, **options: Any
) -> Backend:
    """Load a model.

    Args:
        name: auto, transformers, vllm or openai; auto is transformers, and onnxruntime for a student.
        model: as that backend takes it.
        adapter: LoRA adapter to put on the model.
        base_url: address of the server, for openai only.
        options: passed on to the backend.

    Raises:
        InputError: an argument is unusable.
        BackendError: the model cannot be loaded or reached.
    """
    if name != "openai" and student.found(model) is not None:
        for field, given in (("backend", None if name == "auto" else name), ("adapter", adapter)):
            if given is not None:
                raise InputError(field, given, "none with a student", "leave it out")
        return student.Student(model, **options)
    if name == "openai":
        from judge.backends.openai.backend import OpenAI

        if adapter is not None:
            raise InputError(
                "adapter", adapter, "none with openai", "give the name it is served under as model"
            )
        return OpenAI(base_url or "", model, **options)
    if name == "vllm":
        from judge.backends.vllm.backend import VLLM

        return VLLM(model, adapter=adapter, **options)
    from judge.backends.transformers.backend import Transformers

    return Transformers(model, adapter=adapter, **options)
