"""Files of rows, and folders of media, as a source: local or at any address that fsspec knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from judge.batch.media_folder import MediaFolder
from judge.batch.sources import MEDIA_FIELDS, Row, parse_row_with_media
from judge.batch.webdataset.tar_rows import DAMAGE_ERRORS, TAR_SUFFIXES, open_tar, read_tar_rows
from judge.errors import InputError
from judge.explain.plain_text import describe_counts
from judge.media.decoding import VIDEO_SUFFIXES
from judge.media.file_names import MediaKind, is_hidden, media_kind
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.pipeline.rows import (
    ROW_KEYS,
    TEXT_ROW_SUFFIXES,
    BadRow,
    check_text_rows,
    count_text_rows,
    read_text_rows,
)
from judge.types import Sample

ROW_SUFFIXES = (*TEXT_ROW_SUFFIXES, ".parquet", *TAR_SUFFIXES)
READ_ERRORS = (ValueError, *DAMAGE_ERRORS)
"""What readers raise for damaged files."""
PARQUET_BATCH = 64
"""Rows of a parquet file that are in memory at once."""
MAX_LISTED = 8


@dataclass(frozen=True)
class FileSource:
    """Files of rows, or folders of images and videos, in one file system. Each file or folder is a piece.

    Images of rows are named relative to their file, as in `judge.pipeline.rows`. `judge.batch.webdataset`
    describes tar files, `judge.batch.media_folder` folders.
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

    def read(self, piece: int, unused: Counter[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a piece. If it cannot be read on, the last row is a `BadRow` with the reason.

        Args:
            piece: number of the piece, from 0.
            unused: counts what of the piece is not used, by what it is.
        """
        path, number = self.pieces[piece], 0
        try:
            for row in self._reader(path)(path, Counter[str]() if unused is None else unused):
                yield row
                number += 1
        except READ_ERRORS as error:
            name = PurePosixPath(path).name
            row_id = f"{name}#{number + 1}"
            yield BadRow(row_id, f"rows: {name} cannot be read from row {number + 1} on: {_reason(error)}")

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its image, video and reference on this machine.

        Raises:
            InputError: one cannot be fetched.
        """
        if self.is_local:
            return row
        fetched = {}
        for field in MEDIA_FIELDS:
            source = getattr(row, field)
            is_url = isinstance(source, str) and source.startswith(self._url_starts())
            if not (is_url or isinstance(source, PurePath)):
                continue
            try:
                fetched[field] = self.system.cat_file(_to_system_path(source))
            except READ_ERRORS as error:
                allowed = f"{'a video' if field == 'video' else 'an image'} that can be fetched"
                mend = "no such file" if isinstance(error, FileNotFoundError) else _reason(error)
                raise InputError(field, _to_system_path(source), allowed, mend) from None
        return row.model_copy(update=fetched)

    def _url_starts(self) -> tuple[str, ...]:
        """Return the beginnings of URLs in this file system."""
        protocols = ("http", "https") if self.protocol in ("http", "https") else (self.protocol,)
        return tuple(f"{protocol}://" for protocol in protocols)

    def count(self, unused: Counter[str] | None = None) -> int | None:
        """Count the rows of all pieces, or return None where that would need a download.

        The count can differ slightly from the rows that are read if the files are damaged.

        Args:
            unused: counts the files that are not used.
        """
        if not self.is_local:
            return None
        unused = Counter[str]() if unused is None else unused
        try:
            return sum(self._count_piece(path, unused) for path in self.pieces)
        except READ_ERRORS:
            return None

    def _count_piece(self, path: str, unused: Counter[str]) -> int:
        name = path.lower()
        if name.endswith(TEXT_ROW_SUFFIXES):
            return count_text_rows(self._opener(path), self._to_path(path))
        if name.endswith(".parquet"):
            return self._parquet_rows(path)
        if name.endswith(TAR_SUFFIXES):
            with self._opener(path)() as file, open_tar(file, unused, is_local=True) as tar:
                return len(tar.rows) + (tar.error is not None)
        return sum(1 for _ in self._read_folder(path, unused))

    def media_kinds(self) -> set[MediaKind]:
        """Return which of "image" and "video" the rows are, as far as the first one of each piece says.

        All files of a folder and all members of a local tar file are looked at. Of remote tar files nothing
        is read.
        """
        kinds = set[MediaKind]()
        for piece, path in enumerate(self.pieces):
            try:
                if path.lower().endswith(TAR_SUFFIXES):
                    if self.is_local:
                        with self._opener(path)() as file, open_tar(file, Counter(), is_local=True) as tar:
                            kinds |= {media_kind(row.media) for row in tar.rows if row.media}
                elif path.lower().endswith(ROW_SUFFIXES):
                    samples = (row for row in self.read(piece) if isinstance(row, Sample))
                    kinds |= {"image" if row.video is None else "video" for row in islice(samples, 1)}
                else:
                    kinds |= set(self._folder(path).media().values())
            except READ_ERRORS:  # reported when the rows are read
                continue
        return kinds

    def _reader(self, path: str) -> Callable[[str, Counter[str]], Iterator[Row]]:
        """Return the function that reads a path's rows."""
        name = path.lower()
        if name.endswith(TEXT_ROW_SUFFIXES):
            return self._read_text
        if name.endswith(".parquet"):
            return self._read_parquet
        return self._read_tar if name.endswith(TAR_SUFFIXES) else self._read_folder

    def _opener(self, path: str) -> Callable[[], Any]:
        """Return a function that opens a file for reading bytes."""
        return partial(self.system.open, path, "rb")

    def _to_path(self, path: str) -> PurePath:
        """Return a path of the file system: a real path on this machine, else a POSIX one."""
        return Path(path) if self.is_local else PurePosixPath(path)

    def check(self) -> None:
        """Read the tables, JSON lists and headers of parquet files among the pieces once; judge nothing.

        Raises:
            InputError: one cannot be read as it was meant, for example because a quote is not closed, or
                has no column of images or videos.
        """
        for path in self.pieces:
            if path.lower().endswith(TEXT_ROW_SUFFIXES):
                check_text_rows(self._opener(path), self._to_path(path))
            elif path.lower().endswith(".parquet"):
                self._check_parquet(path)

    def _check_parquet(self, path: str) -> None:
        """Raise `InputError` if a parquet file has no column of images or videos."""
        from pyarrow.parquet import ParquetFile

        try:
            with self._opener(path)() as file:
                columns = ParquetFile(file).schema_arrow.names
        except READ_ERRORS:  # its rows are unscored with the reason
            return
        if not {"image", "video"} & {name.strip().casefold() for name in columns}:
            listing = ", ".join(columns[:MAX_LISTED])
            mend = "rename the column of the images, or of the videos"
            name = PurePosixPath(path).name
            raise InputError("rows", f"{name}: {listing}", "a column image or video", mend)

    def _parquet_rows(self, path: str) -> int:
        from pyarrow.parquet import ParquetFile

        with self._opener(path)() as file:
            return int(ParquetFile(file).metadata.num_rows)

    def _read_text(self, path: str, unused: Counter[str]) -> Iterator[Row]:
        """Yield the rows of a file of JSON rows, or of a table."""
        columns = Counter[str]()
        yield from read_text_rows(self._opener(path), self._to_path(path), columns)
        unused.update({f"values of {name}": count for name, count in columns.items()})

    def _read_parquet(self, path: str, unused: Counter[str]) -> Iterator[Row]:
        """Yield the rows of a parquet file."""
        from pyarrow.parquet import ParquetFile

        with self._opener(path)() as file:
            table = ParquetFile(file)
            columns = table.schema_arrow.names
            names = [name for name in columns if name.strip().casefold() in ROW_KEYS]
            rows = table.metadata.num_rows
            unused.update({f"values of {name}": rows for name in columns if name not in names and rows})
            number = 0
            for batch in table.iter_batches(batch_size=PARQUET_BATCH, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield parse_row_with_media(row, number, self._to_path(path))

    def _read_tar(self, path: str, unused: Counter[str]) -> Iterator[Row]:
        """Yield the rows of a WebDataset shard."""
        with self._opener(path)() as file:
            yield from read_tar_rows(file, self._to_path(path), unused, is_local=self.is_local)

    def _folder(self, path: str) -> MediaFolder:
        return MediaFolder(self.system, path, self._to_path)

    def _read_folder(self, path: str, unused: Counter[str]) -> Iterator[Row]:
        """Yield the images and videos in a folder and the folders below it, with their prompts."""
        return self._folder(path).rows(unused)


def open_source(location: str) -> FileSource:
    """Find the rows at a location.

    Args:
        location: a path, an fsspec URL, or a glob pattern. A folder stands for all files of rows in it; if
            it has none, for the images and videos in it and below it; if it has none either, for the files
            of rows in the folders below it. Hidden files are left out.

    Raises:
        InputError: nothing is there, nothing of a known kind, or the location cannot be reached.
    """
    import fsspec

    allowed = f"{', '.join(ROW_SUFFIXES)}, or a folder of them, of images or of videos"
    try:
        system, path = fsspec.core.url_to_fs(location)
        if isinstance(system.protocol, str):
            protocol = system.protocol
        else:
            protocol = "file" if "file" in system.protocol else str(system.protocol[0])
        if any(mark in path for mark in "*?["):
            shows_hidden = PurePosixPath(path).name.startswith(".")
            pieces = sorted(str(match) for match in system.glob(path))
            pieces = [piece for piece in pieces if shows_hidden or not _is_hidden(piece)]
        elif not _is_row_file(path, protocol) and system.isdir(path):
            pieces = _pieces_of_folder(system, path, protocol, location)
        else:
            pieces = [path] if system.exists(path) else []
        unknown = [
            piece for piece in pieces if not piece.lower().endswith(ROW_SUFFIXES) and not system.isdir(piece)
        ]
        sizes = tuple(
            0 if not _is_row_file(piece, protocol) and system.isdir(piece) else int(system.size(piece) or 0)
            for piece in pieces
        )
    except InputError:
        raise
    except ImportError as error:
        raise InputError("rows", location, allowed, f"{error}") from None
    except Exception as error:  # every file system has errors of its own
        raise InputError("rows", location, allowed, f"it cannot be reached: {_reason(error)}") from None
    if not pieces:
        raise InputError("rows", location, allowed, "nothing is there: check the path")
    if unknown:
        raise InputError("rows", unknown[0], allowed, "give the file such a name")
    return FileSource(protocol, tuple(pieces), sizes)


def _is_row_file(path: str, protocol: str) -> bool:
    """Return whether a path is a file of rows by its name: a page on the web may look like a folder."""
    return protocol != "file" and path.lower().endswith(ROW_SUFFIXES)


def _is_hidden(path: str) -> bool:
    return is_hidden(PurePosixPath(path).name)


def _pieces_of_folder(system: Any, path: str, protocol: str, location: str) -> list[str]:
    """Return the files of rows in a folder, or the folder itself, or the files of rows below it.

    Raises:
        InputError: there is none of these.
    """
    entries = sorted(str(entry) for entry in system.ls(path, detail=False))
    row_files = [entry for entry in entries if entry.lower().endswith(ROW_SUFFIXES) and not _is_hidden(entry)]
    if row_files:
        return row_files
    folder = MediaFolder(system, path, Path if protocol == "file" else PurePosixPath)
    if folder.media():
        return [path]
    row_files = [file for name, file in folder.files.items() if name.lower().endswith(ROW_SUFFIXES)]
    if row_files:
        return row_files
    suffixes = f"{', '.join(sorted((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)))}"
    others = Counter[str]()
    for _ in folder.rows(others):
        pass
    mend = f"it holds {describe_counts(others) or 'no files'}"
    allowed = f"a folder of rows ({', '.join(ROW_SUFFIXES)}), images or videos ({suffixes})"
    raise InputError("rows", location, allowed, mend)


def _to_system_path(source: str | PurePath) -> str:
    """Return a path as its file system names it. Paths of web addresses lose a slash in `PurePath`."""
    return re.sub(r"^(https?):/(?=[^/])", r"\1://", str(source))


def _reason(error: Exception) -> str:
    """Return an error as one short line."""
    return " ".join(str(error).split())[:150] or type(error).__name__
