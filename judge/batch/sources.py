"""Sources of rows: what a batch run reads from.

A source is a list of pieces (for example files). Each piece is read as a stream, in the same order every
time. A row that is not a sample becomes a `BadRow`, and so does the rest of a piece that cannot be read on.
No row is dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePath
from typing import Any, Protocol

from judge.errors import InputError
from judge.pipeline.rows import BadRow, parse_row, with_usual_keys
from judge.types import Sample

Row = Sample | BadRow


class Source(Protocol):
    """Rows in pieces. A source is picklable, so that a worker on another machine can read a piece."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Names of the pieces."""
        ...

    def read(self, piece: int) -> Iterator[Row]:
        """Yield the rows of a piece, in the same order every time.

        Args:
            piece: number of the piece, from 0.
        """
        ...

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its image on this machine, downloaded if necessary.

        Raises:
            InputError: the image cannot be fetched.
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

    def read(self, piece: int) -> Iterator[Row]:
        """Yield the rows of this shard."""
        rows = chain.from_iterable(map(self.source.read, range(len(self.source.pieces))))
        return (row for number, row in enumerate(rows) if number // self.batch % self.count == self.index - 1)

    def fetch(self, row: Sample) -> Sample:
        """Return a row with its image on this machine."""
        return self.source.fetch(row)


def parse_row_with_image(row: dict[str, Any], number: int, path: PurePath) -> Row:
    """Make a sample of a row whose image may be given as bytes.

    Args:
        row: fields of the row. `image` may also be bytes, or {"bytes": ..., "path": ...} as in the `datasets`
            library.
        number: of the row within its file, from 1.
        path: of the file.
    """
    row = dict(with_usual_keys(row))
    image = row.get("image")
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if not isinstance(image, bytes):
        return parse_row({**row, "image": image}, number, path)
    sample = parse_row({**row, "image": "within the row"}, number, path)
    return sample if isinstance(sample, BadRow) else sample.model_copy(update={"image": image})
