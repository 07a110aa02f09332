"""What `judge score` does with `--ray` or `--shard`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from judge.batch import scoring
from judge.batch.file_source import FileSource, open_source
from judge.batch.output_folder import Format
from judge.batch.scoring import BatchProgress, LocalWorker, run_settings, score_rows
from judge.batch.sources import ShardSource, Source
from judge.errors import InputError, JudgeError
from judge.explain.plain_text import describe_counts, to_plain_text
from judge.judge import Judge
from judge.types import Depth

PROGRESS_SECONDS = 10.0
"""Seconds between two lines of progress."""


def open_rows(location: str) -> FileSource:
    """Find the rows at a location, and check that there are some and that they are read as meant.

    Args:
        location: path, glob pattern or fsspec URL of the rows.

    Raises:
        InputError: there are none, or a file cannot be read as it was meant.
    """
    files = open_source(location if "://" in location else os.path.abspath(location))
    files.check()
    unused = Counter[str]()
    if files.count(unused) == 0:
        raise _no_rows_error(location, unused)
    return files


def _no_rows_error(location: str, unused: Mapping[str, int]) -> InputError:
    """Return the error for a source without rows.

    Args:
        location: of the source.
        unused: what else it holds.
    """
    allowed = "at least one row: a line of a table, or an image or video of a tar file or folder"
    others = describe_counts(unused)
    mend = f"it holds other things only: {others}" if others else "it is empty"
    return InputError("rows", location, allowed, mend)


def run(
    files: FileSource,
    out: str,
    make_judge: Callable[[], Judge],
    *,
    depth: Depth,
    batch: int,
    pixels: int | None,
    shard: str | None,
    ray: str | None,
    workers: int | None,
    cpus: float,
    gpus: float,
    layout: Format,
) -> BatchProgress:
    """Judge rows into a folder, on Ray or as one shard of several in this process.

    Args:
        files: the rows, from `open_rows`.
        out: folder of the verdicts, local or an fsspec URL.
        make_judge: returns a judge; pickled for workers on Ray.
        depth: as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most; None: no limit.
        shard: "i/n" for one shard of several, or None.
        ray: address of a Ray cluster, or None.
        workers: number of workers on Ray; None: as many as fit.
        cpus: CPUs per worker.
        gpus: GPUs per worker.
        layout: file format of the parts.

    Raises:
        JudgeError: of any kind, also if there is no row at all. The verdicts so far are kept.
    """
    if ray is not None and shard is not None:
        raise InputError("shard", shard, "none with --ray", "Ray distributes the rows itself: leave it out")
    if batch < 1:
        raise InputError("batch", batch, "1 or more", "16 is the usual value")
    judge = make_judge()  # checks its arguments; the model is loaded where it is used
    index, count = (1, 1) if shard is None else _parse_shard(shard)
    shard_source = ShardSource(files, index, count, batch)
    settings = run_settings(judge, files, depth, batch, pixels, (index, count))
    total = _count_shard_rows(files, index, count, batch)
    source: Source
    chosen: scoring.Workers
    if ray is None:
        source, chosen = shard_source, LocalWorker(judge, depth, batch, pixels)
    else:
        source = files
        chosen = import_ray_workers().RayWorkers(make_judge, depth, batch, pixels, workers, cpus, gpus)
    with ray_connection(ray):
        progress = score_rows(
            source, out, chosen, settings, layout=layout, total=total, tick=progress_printer(out)
        )
    if not progress.done and count == 1:  # of remote files it is known only now
        raise _no_rows_error("; ".join(files.pieces), progress.unused)
    if others := describe_counts(progress.unused):
        typer.echo(to_plain_text(f"{out}: not used: {others}"), err=True)
    return progress


@contextmanager
def ray_connection(address: str | None) -> Iterator[None]:
    """Connect this process to a Ray cluster while the block runs; do nothing if the address is None."""
    if address is None:
        yield
        return
    from judge.runtime.ray_cluster import connect_to_ray

    with connect_to_ray(address):
        yield


def import_ray_workers() -> Any:
    """Import `judge.batch.ray_workers`, which needs Ray.

    Raises:
        JudgeError: Ray is not installed.
    """
    try:
        from judge.batch import ray_workers
    except ImportError as error:
        raise JudgeError(f"ray: install judge[ray] ({error})") from None
    return ray_workers


def _count_shard_rows(source: FileSource, index: int, count: int, batch: int) -> int | None:
    """Count the rows of a shard; None where the rows of the source cannot be counted."""
    rows = source.count()
    if rows is None:
        return None
    full_rounds, rest = divmod(rows, batch * count)
    return full_rounds * batch + min(batch, max(0, rest - (index - 1) * batch))


def _parse_shard(text: str) -> tuple[int, int]:
    """Parse "i/n". Raises `InputError`."""
    index, slash, count = text.partition("/")
    if slash and index.isascii() and index.isdigit() and count.isascii() and count.isdigit():
        return int(index), int(count)
    raise InputError("shard", text, "i/n, for example 1/4", "write it in this form")


def describe_unscored(unscored: int, abstained: int) -> str:
    """Return, for example, "5 unscored (3 abstained)"."""
    return f"{unscored} unscored" + (f" ({abstained} abstained)" if abstained else "")


def progress_printer(out: str) -> Callable[[BatchProgress], None]:
    """Return a function that prints the progress to standard error, at most every `PROGRESS_SECONDS`.

    A line reads "OUT: 1200 of 20000 rows, 31.0 rows/s, 10 min left, 3 unscored (2 abstained)".
    """
    started = printed = 0.0
    rows_at_start = 0

    def tick(progress: BatchProgress) -> None:
        nonlocal started, printed, rows_at_start
        now = time.monotonic()
        if not started:
            started, printed, rows_at_start = now, now, progress.done
        elif now - printed >= PROGRESS_SECONDS:
            printed = now
            rate = (progress.done - rows_at_start) / (now - started)
            total = "" if progress.total is None else f" of {progress.total}"
            remaining = ""
            if progress.total is not None and rate:
                minutes = max(0, progress.total - progress.done) / rate / 60
                remaining = f", {minutes:.0f} min left"
            unscored = describe_unscored(progress.unscored, progress.abstained)
            rows = f"{progress.done}{total} rows, {rate:.1f} rows/s"
            typer.echo(f"{out}: {rows}{remaining}, {unscored}", err=True)

    return tick
