"""Examples out of TFRecord files, without TensorFlow.

A TFRecord file is a row of records: length (8 bytes), its checksum (4), the bytes, their checksum (4). Each
is a `tf.train.Example`: a protocol buffer that maps names to lists of bytes, floats or integers. Checksums
are not verified; lengths are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judge.errors import InputError

MOST_BYTES = 1 << 28
"""Largest record that is read."""


def examples(path: Path, field: str = "data") -> Iterator[dict[str, list[Any]]]:
    """Name -> values of each example of a file, in order.

    Raises:
        InputError: no such file, a record that is cut off, or no example.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while head := file.read(12):
                number += 1
                where = f"{path.name} record {number}"
                length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else MOST_BYTES + 1
                if length > MOST_BYTES:
                    raise InputError(where, length, "a record", "it is damaged: get the file again")
                data = file.read(length + 4)
                if len(data) < length + 4:
                    raise InputError(where, len(data), f"{length} bytes", "it is cut off: get the file again")
                try:
                    yield _example(data[:length])
                except (IndexError, ValueError, struct.error):
                    raise InputError(
                        where, length, "an example", "it is damaged: get the file again"
                    ) from None
    except OSError as error:
        raise InputError(field, str(path), "a readable file", error.strerror or str(error)) from None


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of the fields of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("cut off")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _example(data: bytes) -> dict[str, list[Any]]:
    """Example {1: Features {1: entries {1: name, 2: Feature}}}."""
    found: dict[str, list[Any]] = {}
    for features in _parts(data, 1):
        for entry in _parts(features, 1):
            names, values = _parts(entry, 1), _parts(entry, 2)
            if names and values:
                found[names[0].decode("utf-8")] = _feature(values[0])
    return found


def _parts(data: bytes, wanted: int) -> list[bytes]:
    return [value for number, kind, value in _fields(data) if number == wanted and kind == 2]


def _feature(data: bytes) -> list[Any]:
    """Feature {1: bytes, 2: floats, 3: integers}, numbers packed or one by one."""
    for number, kind, value in _fields(data):
        if kind != 2:
            continue
        if number == 1:
            return _parts(value, 1)
        if number == 2:
            return [
                f for _, k, v in _fields(value) for f in struct.unpack(f"<{len(v) // 4}f", v) if k in (2, 5)
            ]
        if number == 3:
            return [n for _, k, v in _fields(value) for n in ([v] if k == 0 else _varints(v))]
    return []


def _varints(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found
