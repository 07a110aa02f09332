"""Write the verdicts of a batch run into its folder; `judge.batch.output_folder` defines the format."""

from __future__ import annotations

import io
import json
import time
from typing import Any

from judge.batch.chunks import ChunkResult, RowRange
from judge.batch.coverage import Coverage
from judge.batch.output_folder import (
    COMPLETE,
    KIND,
    MANIFEST,
    Format,
    OutputFolder,
    is_part_index,
    parse_row_range,
    part_number,
)
from judge.errors import InputError

MAX_PART_ROWS = 10_000
"""Rows of a part at most, up to one chunk."""
MAX_PART_BYTES = 64 << 20
"""Bytes of a part at most, up to one chunk."""
MAX_PART_SECONDS = 60.0
"""Seconds that a verdict waits at most for its part to fill up."""


class ResultsWriter:
    """Writes verdicts in parts and knows which rows have one.

    Args:
        out: folder, local or an fsspec URL; created if it does not exist.
        settings: what the verdicts depend on. A run that resumes needs the same settings, but pieces may
            have been added at the end of `rows`.
        layout: file format of the parts.

    Raises:
        InputError: `out` is not such a folder, belongs to another run, or cannot be written.
    """

    def __init__(self, out: str, settings: dict[str, Any], layout: Format = "jsonl") -> None:
        self.folder, self.layout = OutputFolder(out), layout
        self.coverage = Coverage()
        self.done = dict[int, list[RowRange]]()
        """For each piece, the row ranges that have verdicts."""
        self.rows = self.unscored = self.abstained = 0
        """Rows that have a verdict, and how many of the verdicts are unscored."""
        self.resumed_rows = 0
        """Rows that had a verdict when the folder was opened."""
        self._pending: list[ChunkResult] = []
        self._pending_chars, self._pending_since = 0, time.monotonic()
        self._part_number = 0
        self._open({"format": 1, "kind": KIND, **settings})

    def _open(self, manifest: dict[str, Any]) -> None:
        """Check or write the manifest, and read which rows have verdicts."""
        names = self.folder.list_names()
        if MANIFEST in names:
            recorded = self.folder.read_json(MANIFEST)
            _check_same_run(recorded, manifest, self.folder.path)
            if recorded == manifest and COMPLETE in names:
                self.coverage.piece_lengths = dict(enumerate(self.folder.read_json(COMPLETE)["rows"]))
        elif names:
            mend = f"it holds other files and no {MANIFEST}: name another folder"
            raise InputError("out", self.folder.path, "an empty folder, or one that does not exist", mend)
        self.folder.write(MANIFEST, json.dumps(manifest, indent=2).encode())
        for name in filter(is_part_index, names):
            self._part_number = max(self._part_number, part_number(name))
            index = self.folder.read_json(name)
            if index["part"] not in names:
                continue
            for row_range in map(parse_row_range, index["units"]):
                self.coverage.add(row_range)
                self.done.setdefault(row_range.piece, []).append(row_range)
                self.resumed_rows += row_range.count
            self.unscored += index["unscored"]
            self.abstained += index.get("abstained", 0)
        self.rows = self.resumed_rows

    @property
    def is_complete(self) -> bool:
        """Whether every row has its verdict, according to the files when the folder was opened."""
        lengths = self.coverage.piece_lengths
        return bool(lengths) and not self.coverage.describe_missing(len(lengths))

    def add(self, result: ChunkResult) -> None:
        """Add the verdicts on a chunk. A chunk that was added before is ignored."""
        if result.piece_length is not None:
            self.coverage.piece_lengths[result.row_range.piece] = result.piece_length
            return
        if not self.coverage.add(result.row_range):
            return
        self.done.setdefault(result.row_range.piece, []).append(result.row_range)
        self._pending.append(result)
        self._pending_chars += sum(map(len, result.lines))
        self.rows += result.row_range.count
        self.unscored += result.unscored
        self.abstained += result.abstained
        pending_rows = sum(pending.row_range.count for pending in self._pending)
        if (
            pending_rows >= MAX_PART_ROWS
            or self._pending_chars >= MAX_PART_BYTES
            or time.monotonic() - self._pending_since >= MAX_PART_SECONDS
        ):
            self.flush()

    def flush(self) -> None:
        """Write the pending verdicts as a part.

        Raises:
            InputError: the part cannot be written.
        """
        if self._pending:
            self._part_number += 1
            name = f"part-{self._part_number:06}"
            part = f"{name}.{self.layout}"
            blocks = [("\n".join(result.lines) + "\n").encode() for result in self._pending]
            entries = []
            for result, block in zip(self._pending, blocks, strict=True):
                row_range = result.row_range
                entries.append(
                    [row_range.piece, row_range.first, row_range.count, row_range.digest, len(block)]
                )
            unscored = sum(result.unscored for result in self._pending)
            abstained = sum(result.abstained for result in self._pending)
            index = {"part": part, "unscored": unscored, "abstained": abstained, "units": entries}
            data = b"".join(blocks)
            self.folder.write(f"{name}.json", json.dumps(index).encode())
            self.folder.write(part, data if self.layout == "jsonl" else _to_parquet(data), must_be_new=True)
        self._pending, self._pending_chars, self._pending_since = [], 0, time.monotonic()

    def finish(self, pieces: int) -> list[str]:
        """Write all pending verdicts, and mark the folder as complete if no row is missing.

        Args:
            pieces: number of pieces of the source.

        Returns:
            Descriptions of what is missing; empty when the folder is complete.
        """
        self.flush()
        missing = self.coverage.describe_missing(pieces)
        if not missing:
            lengths = [self.coverage.piece_lengths[piece] for piece in range(pieces)]
            counts = {"rows": lengths, "unscored": self.unscored, "abstained": self.abstained}
            self.folder.write(COMPLETE, json.dumps(counts).encode())
        return missing


def _check_same_run(recorded: dict[str, Any], manifest: dict[str, Any], out: str) -> None:
    """Raise `InputError` if a folder's manifest is not that of this run."""
    differences = [
        f"{name} was {recorded.get(name)} and is now {manifest.get(name)}"
        for name in {**manifest, **recorded}
        if name not in ("rows", "sizes") and recorded.get(name) != manifest.get(name)
    ]
    rows_before, rows_now = recorded.get("rows", []), manifest["rows"]
    if rows_now[: len(rows_before)] != rows_before:
        differences.append("the rows are different ones")
    if differences:
        mend = f"{'; '.join(differences[:3])}: resume with the same options, or name another folder"
        raise InputError("out", out, "the folder of the same run", mend)


def _to_parquet(data: bytes) -> bytes:
    """Return lines of verdicts as a parquet file."""
    import pyarrow
    from pyarrow import parquet

    lines = data.decode().splitlines()
    verdicts = list(map(json.loads, lines))
    columns: dict[str, list[Any]] = {
        name: [verdict[name] for verdict in verdicts]
        for name in ("id", "status", "score", "reason", "out_of_domain")
    }
    score = pyarrow.array(columns.pop("score"), pyarrow.float64())
    table = pyarrow.table({**columns, "score": score, "verdict": lines})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
