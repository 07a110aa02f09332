"""Chunks: neighbouring rows that are judged and recorded together.

Which rows share a chunk depends on the rows alone, so a chunk that is lost with its worker comes back the
same. A row is identified by its piece and its number within the piece. The record of a chunk also holds a
digest of its rows' ids; a run that resumes checks the digest before it skips those rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from judge.batch.sources import Row, Source
from judge.errors import InputError
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import get_sample_id, replace_surrogates
from judge.types import Sample

CHUNK_BATCHES = 4
"""Batches of the model in a chunk."""
MAX_CHUNK_BYTES = 16 << 20
"""Bytes of images and videos after which a chunk ends with the current batch."""


@dataclass(frozen=True)
class RowRange:
    """The rows of a chunk, identified by their place in the source."""

    piece: int
    """Number of the piece in the source, from 0."""
    first: int
    """Number of the first row within the piece, from 0."""
    count: int
    """Number of rows."""
    digest: str
    """Digest of the rows' ids."""


@dataclass(frozen=True)
class Chunk:
    """Rows to judge."""

    row_range: RowRange
    rows: list[Row]
    piece_length: int | None = None
    """Set in the last chunk of a piece, which has no rows: the number of rows of the piece."""
    error: tuple[str, ...] = ()
    """Why the piece could not be read on, as from `judge.batch.errors.encode_error`."""
    unused: Mapping[str, int] = field(default_factory=dict)
    """In the last chunk of a piece: what of the piece is not used, and how often."""


@dataclass(frozen=True)
class ChunkResult:
    """The verdicts on a chunk."""

    row_range: RowRange
    lines: list[str] = field(default_factory=list)
    """One `Verdict` as JSON for each row, in order."""
    unscored: int = 0
    """Number of unscored verdicts."""
    abstained: int = 0
    """How many of them abstain."""
    piece_length: int | None = None
    """As in `Chunk`."""
    error: tuple[str, ...] = ()
    """As in `Chunk`, or why the chunk could not be judged."""
    unused: Mapping[str, int] = field(default_factory=dict)
    """As in `Chunk`."""


def read_chunks(source: Source, piece: int, done: Iterable[RowRange], batch: int) -> Iterator[Chunk]:
    """Yield the chunks of a piece that are not done yet, then one that says where the piece ends.

    Args:
        source: the source to read.
        piece: number of the piece, from 0.
        done: recorded row ranges of that piece, in any order.
        batch: rows that the model is given at once; a chunk has `CHUNK_BATCHES` such batches.

    Raises:
        InputError: the ids of a recorded range are not those that were judged.
    """
    recorded = sorted(done, key=lambda row_range: row_range.first)
    rows, sample_count, image_bytes, first, number = list[Row](), 0, 0, 0, -1
    skipped_ids, unused = list[str](), Counter[str]()
    for number, row in enumerate(source.read(piece, unused)):
        if recorded and recorded[0].first <= number:
            if rows:
                yield Chunk(_range_of(piece, first, rows), rows)
                rows, sample_count, image_bytes = [], 0, 0
            skipped_ids.append(row_id(row))
            if len(skipped_ids) == recorded[0].count:
                _check_digest(recorded.pop(0), skipped_ids, source)
                skipped_ids = []
            continue
        if not rows:
            first = number
        rows.append(row)
        if isinstance(row, Sample):
            sample_count += 1
            image_bytes += sum(map(_count_bytes, (row.image, row.video, row.reference)))
        # Bad rows do not count: the batches of the model are then the same as in a run without chunks.
        is_full = sample_count >= CHUNK_BATCHES * batch or image_bytes >= MAX_CHUNK_BYTES
        ends_batch = sample_count > 0 and sample_count % batch == 0
        if (ends_batch and is_full) or len(rows) - sample_count >= CHUNK_BATCHES * batch:
            yield Chunk(_range_of(piece, first, rows), rows)
            rows, sample_count, image_bytes = [], 0, 0
    if rows:
        yield Chunk(_range_of(piece, first, rows), rows)
    if recorded:
        _check_digest(recorded[0], skipped_ids, source)
    yield Chunk(RowRange(piece, number + 1, 0, ""), [], piece_length=number + 1, unused=dict(+unused))


def _count_bytes(source: object) -> int:
    """Return the size of an image or video that a row holds in memory."""
    if isinstance(source, list):
        return sum(map(_count_bytes, source))
    return len(source) if isinstance(source, bytes) else 0


def row_id(row: Row) -> str:
    """Return the id of a row as it is written into its verdict."""
    return replace_surrogates(row.id if isinstance(row, BadRow) else get_sample_id(row))


def digest_ids(ids: Iterable[str]) -> str:
    """Return the digest of ids in order: 16 hex digits of BLAKE2b."""
    return hashlib.blake2b("\0".join(ids).encode(), digest_size=8).hexdigest()


def _range_of(piece: int, first: int, rows: list[Row]) -> RowRange:
    """Return the range of neighbouring rows."""
    return RowRange(piece, first, len(rows), digest_ids(map(row_id, rows)))


def _check_digest(row_range: RowRange, ids: list[str], source: Source) -> None:
    """Raise `InputError` if the ids are not those that were recorded."""
    if digest_ids(ids) != row_range.digest:
        last = row_range.first + row_range.count
        where = f"{source.pieces[row_range.piece]}, rows {row_range.first + 1} to {last}"
        mend = "they have changed since: judge into another folder"
        raise InputError("rows", where, "the rows that were judged before", mend)
