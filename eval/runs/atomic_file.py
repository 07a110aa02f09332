"""Write a file in one step: it gets its name when all of it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def open_atomic(
    path: Path, mode: str = "w", *, newline: str | None = None, errors: str | None = None, sync: bool = False
) -> Iterator[Any]:
    """Open a temporary file next to `path`; rename it to `path` when the block ends without an exception.

    The temporary file is removed when the block raises.

    Args:
        path: the file to write; replaced if it exists.
        mode: `w` for text in UTF-8, `wb` for bytes.
        newline: as for `open`.
        errors: as for `open`.
        sync: sync the content to the disk before the file is renamed.

    Yields:
        The open file.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(mode, encoding=encoding, newline=newline, errors=errors) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
