"""Tar shards and clips for the tests of bulk sources."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from batch_rows import png


def write_shard(
    path: Path, members: Mapping[str, bytes | str] | Iterable[tuple[str, bytes | str]], mode: str = "w"
) -> Path:
    """Write a tar file; texts become UTF-8. A list of pairs may hold a name twice."""
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in pairs:
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def image(shade: int = 0) -> bytes:
    """A small PNG whose bytes differ by shade."""
    return png(f"rgb({shade}, 90, 90)")
