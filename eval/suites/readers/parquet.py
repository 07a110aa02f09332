"""Read rows of Parquet files, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judge.errors import InputError

BATCH_ROWS = 64
"""Rows held in memory at once; rows may contain encoded images."""


def read_parquet_rows(
    path: Path, columns: Sequence[str] = (), *, optional: Sequence[str] = (), field: str = "data"
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one file, in order.

    Args:
        path: the file.
        columns: columns to read; all when empty.
        optional: further columns to read where the file has them.
        field: what the caller calls this input.

    Raises:
        InputError: the file does not exist, is not a Parquet file or lacks a column, or pyarrow is not
            installed.
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
            existing = file.schema_arrow.names
            absent = [name for name in columns if name not in existing]
            if absent:
                place = f"{path.name}: columns"
                raise InputError(place, ", ".join(existing), ", ".join(columns), f"{absent[0]} is missing")
            selected = [*columns, *(name for name in optional if name in existing)] if columns else None
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=selected):
                yield from batch.to_pylist()
    except InputError:
        raise
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(field, str(path), "a parquet file", f"{reason}: get it again") from None
