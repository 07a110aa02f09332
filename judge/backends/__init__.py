"""Run models that fill forms: the interface `Backend`, and a module or package for each way to run a model.

- `base`: `Backend` with its two methods, `Request`, `Reply`, the optional protocols `Tracer` and `Stream`.
- `transformers`: a Qwen-VL checkpoint in this process, with gradients.
- `vllm`: a Qwen-VL checkpoint in this process on vLLM.
- `openai`: a model behind an OpenAI-compatible server.
- `student`: a small distilled vision network, run by onnxruntime.
- `scripted`: queued replies, for tests.
- `decoding`: forms to tokens and token probabilities to labels, shared by the packages above.
- `models`: what is known of each model family, such as how it writes boxes.
- `checkpoints`: locate a model and its adapters, and identify its weights.
- `image_inputs`, `video_inputs`: images and videos as Qwen-VL's processors take them.
- `torchvision_compat`, `hook`: make transformers and vLLM importable when torchvision does not match torch.

It imports `judge.rubrics`, `judge.media`, `judge.runtime`, `judge.types` and `judge.errors`. Importing it
loads no model library.
"""

from __future__ import annotations

from typing import Any

from judge.backends import student
from judge.backends.base import Backend, Reply, Request, Stream
from judge.errors import InputError

__all__ = ["Backend", "Reply", "Request", "Stream", "load"]


def load(
    name: str, model: str, *, adapter: str | None = None, base_url: str | None = None, **options: Any
) -> Backend:
    """Load a model.

    Args:
        name: `auto`, `transformers`, `vllm` or `openai`. `auto` is onnxruntime for a student, else
            transformers.
        model: as that backend takes it.
        adapter: LoRA adapter to put on the model.
        base_url: address of the server, for `openai` only.
        options: passed on to the backend.

    Returns:
        The backend.

    Raises:
        InputError: an argument is not usable.
        BackendError: the model cannot be loaded or reached.
    """
    if name != "openai" and student.find_student(model) is not None:
        for field, value in (("backend", None if name == "auto" else name), ("adapter", adapter)):
            if value is not None:
                raise InputError(field, value, "none with a student", "leave it out")
        return student.Student(model, **options)
    if name == "openai":
        from judge.backends.openai.backend import OpenAI

        if adapter is not None:
            raise InputError(
                "adapter", adapter, "none with openai", "pass the name that the server has for it as model"
            )
        return OpenAI(base_url or "", model, **options)
    if name == "vllm":
        from judge.backends.vllm.backend import VLLM

        return VLLM(model, adapter=adapter, **options)
    from judge.backends.transformers.backend import Transformers

    return Transformers(model, adapter=adapter, **options)
