"""Read examples of TFRecord files, without TensorFlow.

A TFRecord file is a sequence of records: length (8 bytes), its checksum (4), the bytes, their checksum (4).
Each record is a `tf.train.Example`: a protocol buffer that maps names to lists of bytes, floats or integers.
Lengths are verified, checksums are not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judge.errors import InputError

MAX_RECORD_BYTES = 1 << 28
"""Largest record that is read."""


def read_tfrecord_examples(path: Path, field: str = "data") -> Iterator[dict[str, list[Any]]]:
    """Yield each example of a file, in order, as a mapping from names to values.

    Args:
        path: the file.
        field: what the caller calls this input.

    Raises:
        InputError: the file does not exist, a record is cut off, or a record is not an example.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while header := file.read(12):
                number += 1
                if number == 1 and header == b"version http":
                    what = "a Git LFS pointer, the clone holds no data"
                    raise InputError(field, str(path), f"a TFRecord file; it is {what}", "run `git lfs pull`")
                place = f"{path.name} record {number}"
                length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else MAX_RECORD_BYTES + 1
                if length > MAX_RECORD_BYTES:
                    raise InputError(place, length, "a record", "it is damaged: get the file again")
                data = file.read(length + 4)
                if len(data) < length + 4:
                    mend = "it is cut off: get the file again"
                    raise InputError(place, len(data), f"{length} bytes", mend)
                try:
                    yield _parse_example(data[:length])
                except (IndexError, ValueError, struct.error):
                    mend = "it is damaged: get the file again"
                    raise InputError(place, length, "an example", mend) from None
    except OSError as error:
        raise InputError(field, str(path), "a readable file", error.strerror or str(error)) from None


def _parse_example(data: bytes) -> dict[str, list[Any]]:
    """Parse Example {1: Features {1: entries {1: name, 2: Feature}}}."""
    example: dict[str, list[Any]] = {}
    for features in _submessages(data, 1):
        for entry in _submessages(features, 1):
            names, values = _submessages(entry, 1), _submessages(entry, 2)
            if names and values:
                example[names[0].decode("utf-8")] = _parse_feature(values[0])
    return example


def _parse_feature(data: bytes) -> list[Any]:
    """Parse Feature {1: bytes, 2: floats, 3: integers}; numbers may be packed or stand one by one."""
    for number, wire_type, value in _iterate_fields(data):
        if wire_type != 2:
            continue
        if number == 1:
            return _submessages(value, 1)
        if number == 2:
            return [
                f
                for _, kind, v in _iterate_fields(value)
                for f in struct.unpack(f"<{len(v) // 4}f", v)
                if kind in (2, 5)
            ]
        if number == 3:
            return [
                n for _, kind, v in _iterate_fields(value) for n in ([v] if kind == 0 else _read_varints(v))
            ]
    return []


def _submessages(data: bytes, number: int) -> list[bytes]:
    """Return the length-delimited fields with this number."""
    return [value for n, wire_type, value in _iterate_fields(data) if n == number and wire_type == 2]


def _iterate_fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield (field number, wire type, value) of the fields of a message."""
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _read_varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == 2:
            size, position = _read_varint(data, position)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + size > len(data):
            raise ValueError("cut off")
        yield number, wire_type, data[position : position + size]
        position += size


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _read_varints(data: bytes) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _read_varint(data, position)
        values.append(value)
    return values
