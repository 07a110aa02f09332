"""Sources of rows: what a batch run reads from.

A source is a list of pieces (for example files). Each piece is read as a stream, in the same order every
time. A row that is not a sample becomes a `BadRow`, and so does the rest of a piece that cannot be read on.
No row is dropped silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePath
from typing import Any, Protocol

from judge.errors import InputError
from judge.pipeline.rows import BadRow, parse_row, with_usual_keys
from judge.pipeline.validation import get_row_id
from judge.types import Sample

Row = Sample | BadRow
MEDIA_FIELDS = ("image", "video", "reference")
"""Fields of a row that hold an image or a video."""


class Source(Protocol):
    """Rows in pieces. A source is picklable, so that a worker on another machine can read a piece."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Names of the pieces."""
        ...

    def read(self, piece: int, unused: Counter[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a piece, in the same order every time.

        Args:
            piece: number of the piece, from 0.
            unused: counts what of the piece is not used, by what it is: "hidden files", for example.
        """
        ...

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its images and video on this machine, downloaded if necessary.

        Raises:
            InputError: one cannot be fetched.
        """
        ...


@dataclass(frozen=True)
class ShardSource:
    """One of several shards of a source: every `count`-th batch of all its rows, as one piece.

    Args:
        source: the whole source.
        index: number of this shard, from 1.
        count: number of shards.
        batch: rows of a batch.

    Raises:
        InputError: there is no such shard.
    """

    source: Source
    index: int
    count: int
    batch: int
    pieces: tuple[str, ...] = field(init=False)
    """Name of the one piece: the names of the source's pieces."""

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            mend = "for example 1/4, 2/4, 3/4, 4/4"
            raise InputError("shard", f"{self.index}/{self.count}", "i/n with 1 <= i <= n", mend)
        object.__setattr__(self, "pieces", ("; ".join(self.source.pieces),))

    def read(self, piece: int, unused: Counter[str] | None = None) -> Iterator[Row]:
        """Yield the rows of this shard. What is not used is counted in all pieces."""
        pieces = range(len(self.source.pieces))
        rows = chain.from_iterable(self.source.read(piece, unused) for piece in pieces)
        return (row for number, row in enumerate(rows) if number // self.batch % self.count == self.index - 1)

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its image on this machine."""
        return self.source.fetch(row)


def parse_row_with_media(row: dict[str, Any], number: int, path: PurePath) -> Row:
    """Make a sample of a row whose images and video may be given as bytes.

    Args:
        row: fields of the row. `image`, `video` and `reference` may also be bytes, {"bytes": ..., "path":
            ...} as in the `datasets` library, or a list of one of these. A list of images is a video.
        number: of the row within its file, from 1.
        path: of the file.
    """
    row, contents = dict(with_usual_keys(row)), dict[str, Any]()
    try:
        for field in MEDIA_FIELDS:
            source = _media_source(field, row.get(field))
            row[field] = source
            if isinstance(source, bytes | list):
                contents[field], row[field] = source, "within the row"
        if contents.get("image") is not None and row["video"] not in (None, ""):
            mend = "leave one of them empty"
            raise InputError("image", "an image and a video", "one of them in a row", mend)
    except InputError as error:
        return BadRow(get_row_id(row), str(error))
    sample = parse_row(row, number, path)
    return sample if isinstance(sample, BadRow) else sample.model_copy(update=contents)


def _media_source(field: str, value: Any) -> Any:
    """Return an image or video of a table as bytes, a text, a list of frames, or None.

    Raises:
        InputError: it has several images where one is needed, or is nothing of these.
    """
    if isinstance(value, Mapping):
        return value.get("bytes") or value.get("path")
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return value
    sources = [_media_source(field, item) for item in value]
    if not sources:
        return None
    if len(sources) == 1:
        return sources[0]
    if field == "video" and all(isinstance(source, bytes) for source in sources):
        return sources
    mend = "write a row for each"
    raise InputError(field, f"a list of {len(sources)}", "one for each row", mend)
