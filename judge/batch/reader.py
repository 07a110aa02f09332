"""Read the verdicts of a complete batch run in the order of its source."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from judge.batch.chunks import RowRange
from judge.batch.coverage import Coverage
from judge.batch.output_folder import COMPLETE, MANIFEST, OutputFolder, is_part_index, parse_row_range
from judge.errors import InputError


@dataclass(frozen=True)
class _ChunkPlace:
    """Where the verdicts of one chunk are."""

    row_range: RowRange
    part: str
    """File name of the part."""
    row: int
    """Number of the first row within the part."""
    byte: int
    """First byte within the part, for JSONL."""
    size: int
    """Bytes of the chunk, for JSONL."""


class ResultsReader:
    """Reads a complete folder of verdicts.

    Args:
        out: folder, local or an fsspec URL.

    Raises:
        InputError: `out` is not a complete folder, or rows are missing or occur twice.
    """

    def __init__(self, out: str) -> None:
        self.folder = OutputFolder(out)
        names = set(self.folder.list_names())
        if MANIFEST not in names or COMPLETE not in names:
            what = "it is not complete: run its command again" if MANIFEST in names else f"no {MANIFEST}"
            raise InputError("run", out, "a folder that judge score completed", what)
        self.manifest = self.folder.read_json(MANIFEST)
        self.piece_lengths: list[int] = self.folder.read_json(COMPLETE)["rows"]
        """Number of rows of each piece of the source."""
        coverage = Coverage()
        coverage.piece_lengths = dict(enumerate(self.piece_lengths))
        self._chunks: list[_ChunkPlace] = []
        for name in filter(is_part_index, sorted(names)):
            index = self.folder.read_json(name)
            if index["part"] not in names:
                continue
            row = byte = 0
            for entry in index["units"]:
                row_range, size = parse_row_range(entry), entry[4]
                if not coverage.add(row_range):
                    mend = f"piece {row_range.piece + 1} from row {row_range.first + 1}: judge again"
                    raise InputError("run", f"{out}/{index['part']}", "each row once", mend)
                self._chunks.append(_ChunkPlace(row_range, index["part"], row, byte, size))
                row, byte = row + row_range.count, byte + size
        if missing := coverage.describe_missing(len(self.piece_lengths)):
            mend = f"missing are {', '.join(missing[:3])}: run its command again"
            raise InputError("run", out, "a verdict for every row", mend)
        self._chunks.sort(key=lambda chunk: (chunk.row_range.piece, chunk.row_range.first))
        self._read_parquet = lru_cache(maxsize=4)(self._read_parquet_uncached)

    def lines(self) -> Iterator[str]:
        """Yield the verdicts as JSON texts, in the order of the source."""
        for chunk in self._chunks:
            if chunk.part.endswith(".parquet"):
                yield from self._read_parquet(chunk.part)[chunk.row : chunk.row + chunk.row_range.count]
            else:
                yield from self.folder.read_range(chunk.part, chunk.byte, chunk.size).decode().splitlines()

    def _read_parquet_uncached(self, part: str) -> list[str]:
        """Return the verdicts of a parquet part as JSON texts."""
        from pyarrow import parquet

        table = parquet.read_table(io.BytesIO(self.folder.read(part)), columns=["verdict"])
        texts: list[str] = table["verdict"].to_pylist()
        return texts
