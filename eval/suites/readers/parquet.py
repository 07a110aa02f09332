"""Rows of parquet files, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judge.errors import InputError


def rows(
    path: Path, columns: Sequence[str] = (), *, optional: Sequence[str] = (), field: str = "data"
) -> Iterator[dict[str, Any]]:
    """The rows of one file, in order.

    Args:
        path: of the file.
        columns: those wanted; all when empty.
        optional: further ones, where the file has them.
        field: what the caller calls this input.

    Raises:
        InputError: no such file, not parquet, a wanted column is missing, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            field, str(path), "a file that can be read here", "pip install pyarrow (in judge[train])"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            held = file.schema_arrow.names
            absent = [name for name in columns if name not in held]
            if absent:
                raise InputError(
                    f"{path.name}: columns", ", ".join(held), ", ".join(columns), f"{absent[0]} is missing"
                )
            wanted = [*columns, *(name for name in optional if name in held)] if columns else None
            for batch in file.iter_batches(batch_size=64, columns=wanted):
                yield from batch.to_pylist()
    except InputError:
        raise
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(field, str(path), "a parquet file", f"{reason}: get it again") from None
