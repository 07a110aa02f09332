"""What gateway and engine send each other: pickled messages behind a length of four bytes.

Both ends are this package on one machine, joined by a socket pair that no other process holds, so pickle
is no way in. Messages, first to last:

    gateway: Recipe, then ("ask", key, verb, Ask or Traced), ("abort", key)
    engine:  ("ready", Card, width) or ("failed", reason, hopeless), then
             ("replies", [(key, Reply or Rasters), ...])
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
LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Recipe:
    """How the engine process makes its backend: a function by its place, and what it is called with."""

    factory: str
    """`module:function`; the function returns a `Backend`."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def made(self) -> Backend:
        module, _, name = self.factory.partition(":")
        backend: Backend = getattr(import_module(module), name)(**self.options)
        return backend


def judges(model: str, **options: Any) -> Recipe:
    """The recipe of the backend that `Judge(model, **options)` would use."""
    return Recipe("judge.serve.engine.ipc:_backend_of", {"model": model, **options})


def _backend_of(model: str, **options: Any) -> Backend:
    from judge.judge import Judge

    return Judge(model, **options).backend


def framed(message: Any) -> bytes:
    """A message as it goes over the wire."""
    buffer = io.BytesIO()
    buffer.write(bytes(LENGTH.size))
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    buffer.seek(0)
    buffer.write(LENGTH.pack(buffer.getbuffer().nbytes - LENGTH.size))
    return buffer.getvalue()


def unframed(body: bytes) -> Any:
    """The message of a frame whose length was taken off."""
    return pickle.loads(body)


class _Pickler(pickle.Pickler):
    """Pickle, but pictures go as their bare pixels: Pillow's own way drops `format`, which backends need."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Image.Image):
            return _picture, (thing.mode, thing.size, thing.tobytes())
        return NotImplemented


def _picture(mode: str, size: tuple[int, int], pixels: bytes) -> Image.Image:
    image = Image.frombytes(mode, size, pixels)
    image.format = "PNG"
    return image
