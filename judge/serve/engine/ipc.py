"""Messages between the gateway and the engine process: pickled, each after its length in four bytes.

Both ends are this package on one machine. They are joined by a socket pair that no other process holds, so
nobody else can send a pickle. Messages, in order:

    gateway: BackendSpec, then ("request", key, verb, Request or TraceRequest) and ("abort", key)
    engine:  ("ready", ModelInfo, concurrency) or ("failed", reason, is_fatal), then
             ("replies", [(key, Reply or RelevanceMaps), ...])
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

if TYPE_CHECKING:
    from judge.backends.base import Backend

Verb = Literal["choose", "complete", "trace"]
"""Method of the backend that answers a request."""
LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class BackendSpec:
    """How the engine process builds its backend: the path of a function, and its arguments."""

    factory: str
    """`module:function`; the function returns a `Backend`."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Backend:
        """Import the factory and call it."""
        module, _, name = self.factory.partition(":")
        backend: Backend = getattr(import_module(module), name)(**self.options)
        return backend


def judge_backend_spec(model: str, **options: Any) -> BackendSpec:
    """Return the spec of the backend that `Judge(model, **options)` would use."""
    return BackendSpec("judge.serve.engine.ipc:_load_judge_backend", {"model": model, **options})


def _load_judge_backend(model: str, **options: Any) -> Backend:
    from judge.judge import Judge

    return Judge(model, **options).backend


def encode_frame(message: Any) -> bytes:
    """Pickle a message and put its length in front."""
    buffer = io.BytesIO()
    buffer.write(bytes(LENGTH.size))
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    buffer.seek(0)
    buffer.write(LENGTH.pack(buffer.getbuffer().nbytes - LENGTH.size))
    return buffer.getvalue()


def decode_frame(body: bytes) -> Any:
    """Unpickle the body of a frame, which follows its length."""
    return pickle.loads(body)


class _Pickler(pickle.Pickler):
    """Pickle images as their bare pixels: Pillow's own pickling drops `format`, which backends need."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Image.Image):
            return _unpickle_image, (value.mode, value.size, value.tobytes())
        return NotImplemented


def _unpickle_image(mode: str, size: tuple[int, int], pixels: bytes) -> Image.Image:
    image = Image.frombytes(mode, size, pixels)
    image.format = "PNG"
    return image
