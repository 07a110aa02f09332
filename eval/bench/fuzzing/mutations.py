"""Damage to bytes and to JSON values, drawn from a generator: the same generator gives the same damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

EXTREME_BYTES = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00")
"""Runs that sizes, offsets and counts in headers break on."""
HEADER_BYTES = 512
"""Half of the damage is done here, where sizes and offsets are."""
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**63, -(2**70), 1e308, "", " ", "\x00", "\ud800", "x" * 20_001, "a" * 161,
    "data:", "data:image/png;base64,", "data:,", "data:image/png;base64,AAAA", "/etc/passwd",
    "file:///etc/passwd", "http://127.0.0.1/", "https://example.invalid/a.png", [],
    {}, [[]], [None], {"a": None}, [0] * 65, ["a", "a"],
    ["\n"], "auto", "quality", "video", "default", "score", "pairwise", "[1, 2", "NaN", "1e400",
)  # fmt: skip
"""Values that stand in for others in JSON."""


def damage_bytes(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Return bytes with one to four damages.

    Args:
        data: the original.
        rng: draws the damage.
        others: further originals of the kind, to take parts from.
    """
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not damaged:
            break
        reach = min(len(damaged), HEADER_BYTES) if rng.random() < 0.5 else len(damaged)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 65))
        match int(rng.integers(8)):
            case 0:
                damaged[at] ^= 1 << int(rng.integers(8))
            case 1:
                damaged[at] = int(rng.integers(256))
            case 2:
                damaged[at : at + length] = rng.bytes(len(damaged[at : at + length]))
            case 3:
                run = EXTREME_BYTES[int(rng.integers(len(EXTREME_BYTES)))]
                damaged[at : at + len(run)] = run
            case 4:
                del damaged[at : at + length]
            case 5:
                damaged[at:at] = rng.bytes(length)
            case 6:
                del damaged[int(rng.integers(len(damaged))) :]
            case _:
                other = others[int(rng.integers(len(others)))]
                start = int(rng.integers(max(1, len(other))))
                damaged[at : at + 8 * length] = other[start : start + 8 * length]
    return bytes(damaged)


def damage_json(value: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value with one or two of its parts replaced, removed, repeated or renamed."""
    for _ in range(int(rng.integers(1, 3))):
        value = _damage_part(value, rng, is_whole=True)
    return value


def _damage_part(value: Any, rng: np.random.Generator, is_whole: bool = False) -> Any:
    """Return a value with one part damaged, at a random depth; seldom the whole value."""
    is_here = rng.random() < (0.03 if is_whole else 0.3)
    if isinstance(value, dict) and value and not is_here:
        keys = list(value)
        key = keys[int(rng.integers(len(keys)))]
        match int(rng.integers(5)):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, _odd_key(rng): _odd_value(rng)}
            case _:
                return {**value, key: _damage_part(value[key], rng)}
    if isinstance(value, list) and value and not is_here:
        at = int(rng.integers(len(value)))
        match int(rng.integers(4)):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, value[at]]
            case _:
                return [*value[:at], _damage_part(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.3:
        at = int(rng.integers(len(value)))
        return value[:at] + chr(int(rng.integers(0xD7FF))) + value[at + int(rng.integers(3)) :]
    return _odd_value(rng)


def _odd_value(rng: np.random.Generator) -> Any:
    return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]


def _odd_key(rng: np.random.Generator) -> str:
    keys = (
        "rubric",
        "depth",
        "id",
        "looks",
        "max_elements",
        "heat",
        "how",
        "reference",
        "video",
        "Image",
        "",
    )
    return keys[int(rng.integers(len(keys)))]
