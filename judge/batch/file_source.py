"""Files of rows, and folders of images, as a source: local or at any address that fsspec knows."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from judge.batch.sources import Row, parse_row_with_image
from judge.batch.webdataset import TAR_SUFFIXES, read_tar_keys, read_tar_rows
from judge.errors import InputError
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.pipeline.rows import (
    ROW_KEYS,
    TEXT_ROW_SUFFIXES,
    BadRow,
    check_text_rows,
    count_text_rows,
    read_text_rows,
)
from judge.pipeline.validation import replace_surrogates
from judge.types import Sample

ROW_SUFFIXES = (*TEXT_ROW_SUFFIXES, ".parquet", *TAR_SUFFIXES)
READ_ERRORS = (OSError, ValueError, EOFError, tarfile.TarError, zlib.error)
"""What readers raise for damaged files."""
PARQUET_BATCH = 64
"""Rows of a parquet file that are in memory at once."""


@dataclass(frozen=True)
class FileSource:
    """Files of rows, or folders of images, in one file system. Each file or folder is a piece.

    Images of rows are named relative to their file, as in `judge.pipeline.rows`. `judge.batch.webdataset`
    describes tar files. An image of a folder has its relative path as id; `NAME.txt` beside it holds its
    prompt.
    """

    protocol: str
    """Protocol of fsspec; "file" for this machine."""
    pieces: tuple[str, ...]
    """Paths within the file system."""
    sizes: tuple[int, ...]
    """Size of each piece in bytes; 0 for a folder."""

    @property
    def is_local(self) -> bool:
        """Whether the files are on this machine."""
        return self.protocol == "file"

    @property
    def system(self) -> Any:
        """The fsspec file system."""
        import fsspec

        return fsspec.filesystem(self.protocol)

    def read(self, piece: int) -> Iterator[Row]:
        """Yield the rows of a piece. If it cannot be read on, the last row is a `BadRow` with the reason."""
        path, number = self.pieces[piece], 0
        try:
            for row in self._reader(path)(path):
                yield row
                number += 1
        except READ_ERRORS as error:
            name = PurePosixPath(path).name
            row_id = f"{name}#{number + 1}"
            yield BadRow(row_id, f"rows: {name} cannot be read from row {number + 1} on: {_reason(error)}")

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its image and reference on this machine.

        Raises:
            InputError: an image cannot be fetched.
        """
        if self.is_local:
            return row
        fetched = {}
        for field in ("image", "reference"):
            path = getattr(row, field)
            if not isinstance(path, PurePath):
                continue
            try:
                fetched[field] = self.system.cat_file(str(path))
            except READ_ERRORS as error:
                raise InputError(field, str(path), "an image that can be fetched", _reason(error)) from None
        return row.model_copy(update=fetched)

    def count(self) -> int | None:
        """Count the rows of all pieces, or return None where that would need a download.

        The count can differ slightly from the rows that are read if the files are damaged.
        """
        if not self.is_local:
            return None
        try:
            return sum(sum(1 for _ in self._reader(path, count=True)(path)) for path in self.pieces)
        except READ_ERRORS:
            return None

    def _reader(self, path: str, count: bool = False) -> Callable[[str], Iterator[Any]]:
        """Return the function that reads a path's rows or, if `count`, one item per row in less time."""
        name = path.lower()
        if name.endswith(TEXT_ROW_SUFFIXES):
            return self._read_places if count else self._read_text
        if name.endswith(".parquet"):
            return partial(self._read_parquet, count=count)
        if name.endswith(TAR_SUFFIXES):
            return read_tar_keys if count else self._read_tar
        return self._read_folder

    def _to_path(self, path: str) -> PurePath:
        """Return a path of the file system: a real path on this machine, else a POSIX one."""
        return Path(path) if self.is_local else PurePosixPath(path)

    def _read_text(self, path: str) -> Iterator[Row]:
        """Yield the rows of a file of JSON rows, or of a table."""
        return read_text_rows(partial(self.system.open, path, "rb"), self._to_path(path))

    def _read_places(self, path: str) -> Iterator[int]:
        """Yield a number for each row of a file of JSON rows, or of a table."""
        return iter(range(count_text_rows(partial(self.system.open, path, "rb"), self._to_path(path))))

    def check_text(self) -> None:
        """Read the tables and JSON lists among the pieces once, without judging anything.

        Raises:
            InputError: one cannot be read as it was meant, for example because a quote is not closed.
        """
        for path in self.pieces:
            if path.lower().endswith(TEXT_ROW_SUFFIXES):
                check_text_rows(partial(self.system.open, path, "rb"), self._to_path(path))

    def _read_parquet(self, path: str, count: bool = False) -> Iterator[Any]:
        """Yield the rows of a parquet file or, if `count`, their numbers."""
        from pyarrow.parquet import ParquetFile

        with self.system.open(path, "rb") as file:
            table = ParquetFile(file)
            if count:
                yield from range(table.metadata.num_rows)
                return
            names = [name for name in table.schema_arrow.names if name.strip().casefold() in ROW_KEYS]
            number = 0
            for batch in table.iter_batches(batch_size=PARQUET_BATCH, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield parse_row_with_image(row, number, self._to_path(path))

    def _read_tar(self, path: str) -> Iterator[Row]:
        """Yield the rows of a WebDataset shard."""
        with self.system.open(path, "rb") as file:
            yield from read_tar_rows(file, self._to_path(path))

    def _read_folder(self, path: str) -> Iterator[Row]:
        """Yield the images in a folder and the folders below it, with their prompts."""
        system, root = self.system, self._to_path(path)
        files = [str(file) for file in sorted(system.find(path))]
        text_files = {file for file in files if file.lower().endswith(".txt")}
        for file in files:
            if not file.lower().endswith(IMAGE_SUFFIXES):
                continue
            image = self._to_path(file)
            prompt, prompt_file = "", str(image.with_suffix(".txt"))
            if prompt_file in text_files:
                prompt = system.cat_file(prompt_file).decode("utf-8", "replace").strip()
            yield Sample(id=replace_surrogates(image.relative_to(root)), image=image, prompt=prompt)


def open_source(location: str) -> FileSource:
    """Find the rows at a location.

    Args:
        location: a path, an fsspec URL, or a glob pattern. A folder stands for all files of rows in it or,
            if it has none, for the images in it and below it.

    Raises:
        InputError: nothing is there, nothing of a known kind, or the location cannot be reached.
    """
    import fsspec

    allowed = f"{', '.join(ROW_SUFFIXES)}, or a folder of them or of images"
    try:
        system, path = fsspec.core.url_to_fs(location)
        if isinstance(system.protocol, str):
            protocol = system.protocol
        else:
            protocol = "file" if "file" in system.protocol else str(system.protocol[0])
        if any(mark in path for mark in "*?["):
            pieces = sorted(str(match) for match in system.glob(path))
        elif system.isdir(path):
            entries = sorted(str(entry) for entry in system.ls(path, detail=False))
            pieces = [entry for entry in entries if entry.lower().endswith(ROW_SUFFIXES)] or [path]
        else:
            pieces = [path] if system.exists(path) else []
        unknown = [
            piece for piece in pieces if not piece.lower().endswith(ROW_SUFFIXES) and not system.isdir(piece)
        ]
        sizes = tuple(0 if system.isdir(piece) else int(system.size(piece) or 0) for piece in pieces)
    except ImportError as error:
        raise InputError("rows", location, allowed, f"{error}") from None
    except Exception as error:  # every file system has errors of its own
        raise InputError("rows", location, allowed, f"it cannot be reached: {_reason(error)}") from None
    if not pieces:
        raise InputError("rows", location, allowed, "nothing is there: check the path")
    if unknown:
        raise InputError("rows", unknown[0], allowed, "give the file such a name")
    return FileSource(protocol, tuple(pieces), sizes)


def _reason(error: Exception) -> str:
    """Return an error as one short line."""
    return " ".join(str(error).split())[:150] or type(error).__name__
