"""Reading pickles from untrusted sources, such as challenge submissions and reward requests.

A pickle is a program. This reader runs it without anything to call. Every global is rejected, except for the
few that arrays are written with. These few are replaced by classes that only collect their arguments, so no
byte of the file reaches numpy's own reconstruction. The arrays are built afterwards, from checked shapes,
plain number types, and exactly as many bytes as they need.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np

from judge.errors import InputError

MAX_ITEMS = 1 << 33
"""Largest number of items of one array."""
_NUMBER_KINDS = "biufc"
"""Kinds of numpy types that are read: booleans, integers, floats, complex numbers."""
_TEXT_KIND = "U"
"""Kind of numpy type that is read on request: text of a fixed length."""


class UnsafePickle(Exception):
    """The pickle asks for something that plain data does not need."""


def parse_pickle(data: bytes, source: str, *, field: str = "pred", allow_text: bool = False) -> Any:
    """Return the value in a pickle: None, booleans, numbers, text, bytes, containers and arrays of numbers.

    Args:
        data: the bytes of the pickle.
        source: description of the pickle for errors, for example the path of its file.
        field: the caller's name of this input; errors name it.
        allow_text: also read arrays of text.

    Raises:
        InputError: the data is not a pickle, is damaged, or asks for anything else.
    """
    allowed = "a pickle of plain containers and numpy arrays of numbers"
    kinds = _NUMBER_KINDS + _TEXT_KIND * allow_text
    try:
        return _build_arrays(_Reader(io.BytesIO(data)).load(), {}, kinds)
    except UnsafePickle as error:
        raise InputError(field, source, allowed, f"it asks for {error}, which is never run") from None
    except RecursionError:
        raise InputError(field, source, allowed, "it is nested too deeply") from None
    except (MemoryError, OverflowError):
        raise InputError(field, source, allowed, "it asks for more memory than there is") from None
    except Exception as error:  # a damaged pickle can make the reader raise nearly anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError(field, source, allowed, f"{reason}: write the file again") from None


class _CollectedType:
    """Stands for `numpy.dtype` and collects its arguments."""

    def __init__(self, code: object = None, *_: object) -> None:
        if not isinstance(code, str | bytes):
            raise UnsafePickle(f"the array type {code!r}")
        self.code, self.byte_order = code if isinstance(code, str) else code.decode("ascii"), "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or any(part is not None for part in state[2:5]):
            raise UnsafePickle("a structured array type")
        self.byte_order = state[1]

    def build(self, kinds: str) -> np.dtype[Any]:
        try:
            plain = np.dtype(self.code)
        except TypeError:
            raise UnsafePickle(f"the array type {self.code!r}") from None
        if plain.kind not in kinds or plain.fields or plain.shape:
            raise UnsafePickle(f"an array of type {self.code!r}")
        return plain.newbyteorder(">") if self.byte_order == ">" else plain


class _CollectedArray:
    """Stands for an array that `_reconstruct` creates and that is filled afterwards."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickle("an array in an unknown layout")
        self.state = state

    def build(self, kinds: str) -> Any:
        if self.state is None:
            raise UnsafePickle("an array without content")
        _, shape, kind, is_fortran, data = self.state
        return _build_array(data, kind, shape, "F" if is_fortran else "C", kinds)


class _CollectedScalar:
    """Stands for a numpy number and collects its arguments."""

    def __init__(self, kind: Any, data: Any) -> None:
        self.kind, self.data = kind, data

    def build(self, kinds: str) -> Any:
        return _build_array(self.data, self.kind, (), "C", kinds).item()


class _CollectedBuffer:
    """Stands for an array of pickle protocol 5 and collects its arguments."""

    def __init__(self, data: Any, kind: Any, shape: Any, order: Any, *_: object) -> None:
        self.parts = data, kind, shape, order

    def build(self, kinds: str) -> Any:
        data, kind, shape, order = self.parts
        return _build_array(data, kind, shape, order, kinds)


def _new_array(shape: object, kind: object = None, data: object = None, *rest: object) -> _CollectedBuffer:
    """Stand for `numpy.ndarray`, called with a shape, a type's name and bytes."""
    if rest:
        raise UnsafePickle("an array with strides or an offset")
    return _CollectedBuffer(
        data, kind if isinstance(kind, _CollectedType) else _CollectedType(kind), shape, "C"
    )


def _reconstruct(name: object, *_: object) -> _CollectedArray:
    if name is not _new_array:
        raise UnsafePickle("a reconstruction of something else than an array")
    return _CollectedArray()


def _encode_latin1(text: object, encoding: object = "utf-8") -> bytes:
    # This is how protocols before 3 write bytes.
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickle("_codecs.encode of something else than bytes")
    return text.encode("latin1")


def _copy_bytes(data: object = b"", *_: object) -> bytes:
    # bytearray(10**12) would allocate that much memory.
    if not isinstance(data, bytes | bytearray):
        raise UnsafePickle("a buffer of a given size")
    return bytes(data)


def _build_array(data: Any, kind: Any, shape: Any, order: Any, kinds: str) -> Any:
    """Build an array from checked parts."""
    if isinstance(data, str):  # bytes in a pickle that Python 2 wrote
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _CollectedType):
        raise UnsafePickle("an array of objects")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
        raise UnsafePickle(f"an array of shape {shape!r}")
    dtype, items = kind.build(kinds), math.prod(shape)
    if items > MAX_ITEMS or items * dtype.itemsize != len(data) or order not in ("C", "F"):
        raise UnsafePickle(f"an array of shape {shape} out of {len(data)} bytes")
    return np.frombuffer(bytes(data), dtype).reshape(shape, order=order)


_MULTIARRAY = {"_reconstruct": _reconstruct, "scalar": _CollectedScalar}
_BUILTINS = {
    "set": set,
    "frozenset": frozenset,
    "complex": complex,
    "bytearray": _copy_bytes,
    "bytes": _copy_bytes,
}
_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _new_array,
    ("numpy", "dtype"): _CollectedType,
    ("_codecs", "encode"): _encode_latin1,
    ("collections", "OrderedDict"): dict,
    **{(f"numpy.{c}.multiarray", name): v for c in ("core", "_core") for name, v in _MULTIARRAY.items()},
    **{(f"numpy.{c}.numeric", "_frombuffer"): _CollectedBuffer for c in ("core", "_core")},
    **{(m, name): value for m in ("builtins", "__builtin__") for name, value in _BUILTINS.items()},
}
"""(module, name) that a pickle may ask for -> what it gets."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise UnsafePickle(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickle("an object outside the file")


def _build_arrays(value: Any, done: dict[int, Any], kinds: str) -> Any:
    """Replace collected arrays by real ones.

    Args:
        value: the value that the reader returned.
        done: id of each finished part -> the part and its result, so that shared parts stay shared.
        kinds: kinds of numpy types that are allowed.
    """
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, dict):
        result: Any = {}
        done[id(value)] = value, result  # before its parts, because a container may contain itself
        result.update(
            (_build_arrays(k, done, kinds), _build_arrays(v, done, kinds)) for k, v in value.items()
        )
    elif isinstance(value, list):
        result = []
        done[id(value)] = value, result
        result.extend(_build_arrays(v, done, kinds) for v in value)
    elif isinstance(value, tuple):
        result = tuple(_build_arrays(v, done, kinds) for v in value)
        done[id(value)] = value, result
    elif isinstance(value, _CollectedArray | _CollectedScalar | _CollectedBuffer):
        result = value.build(kinds)
        done[id(value)] = value, result
    elif isinstance(value, _CollectedType) or value is _new_array:
        raise UnsafePickle("a type in place of a value")
    else:
        result = value
    return result
