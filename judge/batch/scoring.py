"""Judge the rows of a source into a folder of verdicts, with workers on Ray or in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from judge.batch.chunks import ChunkResult, RowRange, read_chunks
from judge.batch.errors import WorkersLost, decode_error
from judge.batch.file_source import FileSource
from judge.batch.judging import judge_chunk
from judge.batch.output_folder import Format
from judge.batch.sources import Source
from judge.batch.writer import ResultsWriter
from judge.errors import InputError
from judge.judge import Judge
from judge.runtime.version import __version__
from judge.types import Depth

Workers = Callable[[Source, Mapping[int, list[RowRange]]], Iterable[ChunkResult]]
"""Called with the source and, for each piece, the row ranges that are done. Returns the results of the other
rows, in any order."""


@dataclass
class BatchProgress:
    """Progress of a batch run."""

    total: int | None = None
    """Number of rows; None where it is not known beforehand."""
    before: int = 0
    """Rows judged by earlier runs."""
    done: int = 0
    """Rows judged so far, earlier runs included."""
    unscored: int = 0
    """How many of them are unscored."""
    abstained: int = 0
    """How many of those abstain."""
    unused: Mapping[str, int] = field(default_factory=dict)
    """What of the source was not used, and how often. Empty if an earlier run read the source to its end."""


def score_rows(
    source: Source,
    out: str,
    workers: Workers,
    settings: dict[str, Any],
    *,
    layout: Format = "jsonl",
    total: int | None = None,
    tick: Callable[[BatchProgress], None] = lambda progress: None,
) -> BatchProgress:
    """Judge the rows of a source that have no verdict yet.

    If workers are lost for good, and chunks with them, the missing rows are handed out again, as long as
    each round makes progress.

    Args:
        source: the rows.
        out: folder of the verdicts, local or an fsspec URL; created if it does not exist.
        workers: judge the rows, for example `LocalWorker` or `judge.batch.ray_workers.RayWorkers`.
        settings: what the verdicts depend on, as from `run_settings`; written into the manifest.
        layout: file format of the parts.
        total: number of rows, for the progress.
        tick: called with the progress at the start and after each chunk.

    Raises:
        InputError: `out` cannot be used or written, or the rows are not those that it was begun with.
        BackendError: the model cannot be loaded.
        WorkersLost: workers were lost repeatedly, and rows with them.
    """
    writer = ResultsWriter(out, {**settings, "rows": list(source.pieces)}, layout)
    progress = BatchProgress(total, writer.resumed_rows, writer.rows, writer.unscored, writer.abstained)
    tick(progress)
    if writer.is_complete:
        return progress
    unused_by_piece = dict[int, Mapping[str, int]]()  # a piece may be read again
    while True:
        rows_before, reason = writer.rows, ""
        try:
            for result in workers(source, writer.done):
                if result.error:
                    raise decode_error(result.error)
                writer.add(result)
                if result.piece_length is not None:
                    unused_by_piece[result.row_range.piece] = result.unused
                progress.done, progress.unscored = writer.rows, writer.unscored
                progress.abstained = writer.abstained
                tick(progress)
        except WorkersLost as error:
            reason = str(error)
        except BaseException:
            _flush_if_possible(writer)
            raise
        missing = writer.finish(len(source.pieces))
        if not missing:
            progress.unused = sum(map(Counter, unused_by_piece.values()), Counter[str]())
            return progress
        if writer.rows == rows_before:
            message = f"score: workers were lost, and with them {', '.join(missing[:3])}"
            raise WorkersLost(
                f"{message}; run the same command to resume" + (f" ({reason})" if reason else "")
            )


def _flush_if_possible(writer: ResultsWriter) -> None:
    """Write the pending verdicts after an error, unless writing itself is what failed."""
    try:
        writer.flush()
    except InputError:
        pass


TRANSPORT_OPTIONS = frozenset({"api_key", "headers", "timeout", "retries", "concurrency", "threads"})
"""Options of a judge that no verdict depends on; the first is a secret."""


def judge_settings(judge: Any) -> dict[str, Any]:
    """Return what verdicts depend on in a judge. Its model is not loaded."""
    return {
        "model": judge.model,
        "adapter": judge.adapter,
        "rubric": {"name": judge.rubric.name, "hash": judge.rubric.hash},
        "seed": judge.seed,
        "max_defects": judge.max_defects,
        "max_pixels": judge.max_pixels,
        "out_of_domain": getattr(judge, "out_of_domain", "abstain"),
        "judge_options": {
            name: str(value)
            for name, value in sorted(getattr(judge, "options", {}).items())
            if name not in TRANSPORT_OPTIONS
        },
    }


def run_settings(
    judge: Judge, source: FileSource, depth: Depth, batch: int, pixels: int | None, shard: tuple[int, int]
) -> dict[str, Any]:
    """Return what the verdicts of a run depend on, for its manifest.

    Args:
        judge: the judge; its model is not loaded.
        source: the rows.
        depth: as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most.
        shard: number of the shard, from 1, and number of shards.
    """
    return {
        "sizes": list(source.sizes),
        "depth": depth,
        **judge_settings(judge),
        "batch": batch,
        "batch_pixels": pixels,
        "shard": list(shard),
        "version": __version__,
    }


@dataclass(frozen=True)
class LocalWorker:
    """Judges in this process, piece by piece, in order.

    Args:
        judge: the judge.
        depth: as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most; None: no limit.
    """

    judge: Judge
    depth: Depth
    batch: int = 16
    pixels: int | None = None

    def __call__(self, source: Source, done: Mapping[int, list[RowRange]]) -> Iterator[ChunkResult]:
        """Yield the results of the rows that are not done."""
        for piece in range(len(source.pieces)):
            for chunk in read_chunks(source, piece, done.get(piece, ()), self.batch):
                yield judge_chunk(self.judge, chunk, source, self.depth, self.batch, self.pixels)
