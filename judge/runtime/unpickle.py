"""Read pickles of numpy arrays and plain containers from strangers: challenge submissions, reward requests.

A pickle is a program. This reader runs it without giving it anything to call: every global but the few that
arrays are written with is refused, and those few are stand-ins that only collect their arguments, so that
no byte of the file reaches numpy's own reconstruction. Arrays are built afterwards, from checked shapes,
plain number types and exactly as many bytes as they need.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np

from judge.errors import InputError

MOST_ITEMS = 1 << 33
"""Items of one array at most."""
_KINDS = "biufc"
"""Kinds of numpy type that are read: booleans, integers, floats, complex numbers."""
_TEXT = "U"
"""And where text is asked for: text of a fixed length."""


class Refused(Exception):
    """The pickle asks for something that data does not need."""


def loads(data: bytes, shown: str, *, field: str = "pred", text: bool = False) -> Any:
    """The value in a pickle: None, booleans, numbers, text, bytes, containers and arrays of numbers.

    Args:
        data: the pickle's bytes.
        shown: what errors call them, for example the file's path.
        field: what the caller calls this input.
        text: take arrays of text, too.

    Raises:
        InputError: no pickle, damaged, or a pickle that asks for anything else.
    """
    allowed = "a pickle of plain containers and numpy arrays of numbers"
    try:
        return _finished(_Reader(io.BytesIO(data)).load(), {}, _KINDS + _TEXT * text)
    except Refused as error:
        raise InputError(field, shown, allowed, f"it asks for {error}, which is never run") from None
    except RecursionError:
        raise InputError(field, shown, allowed, "it is nested too deeply") from None
    except (MemoryError, OverflowError):
        raise InputError(field, shown, allowed, "it asks for more memory than there is") from None
    except Exception as error:  # a damaged pickle can make the reader raise nearly anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError(field, shown, allowed, f"{reason}: write the file again") from None


class _Type:
    """`numpy.dtype`, collected."""

    def __init__(self, code: object = None, *_: object) -> None:
        if not isinstance(code, str | bytes):
            raise Refused(f"the array type {code!r}")
        self.code, self.order = code if isinstance(code, str) else code.decode("ascii"), "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or any(part is not None for part in state[2:5]):
            raise Refused("a structured array type")
        self.order = state[1]

    def real(self, kinds: str) -> np.dtype[Any]:
        try:
            plain = np.dtype(self.code)
        except TypeError:
            raise Refused(f"the array type {self.code!r}") from None
        if plain.kind not in kinds or plain.fields or plain.shape:
            raise Refused(f"an array of type {self.code!r}")
        return plain.newbyteorder(">") if self.order == ">" else plain


class _Array:
    """`numpy.ndarray`, collected; nobody can call the name itself, see `_Name`."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("an array in an unknown layout")
        self.state = state

    def real(self, kinds: str) -> Any:
        if self.state is None:
            raise Refused("an array without content")
        _, shape, kind, fortran, data = self.state
        return _build(data, kind, shape, "F" if fortran else "C", kinds)


class _Name:
    """A class that may be named as an argument and not called."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Scalar:
    """A numpy number, collected."""

    def __init__(self, kind: Any, data: Any) -> None:
        self.kind, self.data = kind, data

    def real(self, kinds: str) -> Any:
        return _build(self.data, self.kind, (), "C", kinds).item()


class _Buffer:
    """An array of pickle protocol 5, collected."""

    def __init__(self, data: Any, kind: Any, shape: Any, order: Any, *_: object) -> None:
        self.parts = data, kind, shape, order

    def real(self, kinds: str) -> Any:
        data, kind, shape, order = self.parts
        return _build(data, kind, shape, order, kinds)


def _reconstruct(name: object, *_: object) -> _Array:
    if not isinstance(name, _Name):
        raise Refused("a reconstruction of something else than an array")
    return _Array()


def _encode(text: object, coding: object = "utf-8") -> bytes:
    # How protocols before 3 write bytes.
    if not isinstance(text, str) or coding != "latin1":
        raise Refused("_codecs.encode of something else than bytes")
    return text.encode("latin1")


def _given_bytes(data: object = b"", *_: object) -> bytes:
    # bytearray(10**12) would be a demand for memory.
    if not isinstance(data, bytes | bytearray):
        raise Refused("a buffer of a given size")
    return bytes(data)


def _build(data: Any, kind: Any, shape: Any, order: Any, kinds: str) -> Any:
    if isinstance(data, str):  # bytes of a pickle that Python 2 wrote
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Type):
        raise Refused("an array of objects")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
        raise Refused(f"an array of shape {shape!r}")
    real, items = kind.real(kinds), math.prod(shape)
    if items > MOST_ITEMS or items * real.itemsize != len(data) or order not in ("C", "F"):
        raise Refused(f"an array of shape {shape} out of {len(data)} bytes")
    return np.frombuffer(bytes(data), real).reshape(shape, order=order)


_ARRAYS = {"_reconstruct": _reconstruct, "scalar": _Scalar}
_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Name("ndarray"),
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    **{(f"numpy.{c}.multiarray", name): found for c in ("core", "_core") for name, found in _ARRAYS.items()},
    **{(f"numpy.{c}.numeric", "_frombuffer"): _Buffer for c in ("core", "_core")},
    **{(m, name): found for m in ("builtins", "__builtin__") for name, found in (
        ("set", set), ("frozenset", frozenset), ("complex", complex), ("bytearray", _given_bytes),
        ("bytes", _given_bytes))},
}  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            found = _NAMES[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}") from None
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("an object outside the file")


def _finished(value: Any, done: dict[int, Any], kinds: str) -> Any:
    """The value with real arrays in place of collected ones; shared parts stay shared."""
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, dict):
        found: Any = {}
        done[id(value)] = value, found  # before its parts: a container may hold itself
        found.update((_finished(k, done, kinds), _finished(v, done, kinds)) for k, v in value.items())
    elif isinstance(value, list):
        found = []
        done[id(value)] = value, found
        found.extend(_finished(v, done, kinds) for v in value)
    elif isinstance(value, tuple):
        found = tuple(_finished(v, done, kinds) for v in value)
        done[id(value)] = value, found
    elif isinstance(value, _Array | _Scalar | _Buffer):
        found = value.real(kinds)
        done[id(value)] = value, found
    elif isinstance(value, _Name | _Type):
        raise Refused("a type in place of a value")
    else:
        found = value
    return found
