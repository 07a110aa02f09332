"""What `judge score` does with `--ray` or `--shard`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from judge.batch.results import Format
from judge.batch.scoring import Here, Judging, Shard, Tally, asked_of, score
from judge.batch.sources import Files, Source, files
from judge.errors import InputError, JudgeError
from judge.judge import Judge
from judge.types import Depth

EVERY = 10.0
"""Seconds between two lines of progress."""


def run(
    rows: str,
    out: str,
    make: Callable[[], Judge],
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
) -> Tally:
    """Judge rows into a folder, on Ray or as one shard of several in this process.

    Raises:
        JudgeError: of whatever kind; what is judged by then is kept.
    """
    if ray is not None and shard is not None:
        raise InputError("shard", shard, "none with --ray", "Ray spreads the rows itself: leave it out")
    if batch < 1:
        raise InputError("batch", batch, "1 or more", "16 is the usual one")
    source = files(rows if "://" in rows else os.path.abspath(rows))
    judge = make()  # the checks of its arguments; its model is loaded where it is used
    i, n = (1, 1) if shard is None else _shard_of(shard)
    asked = asked_of(judge, source, depth, batch, pixels, (i, n))
    given: Source = source
    total = _total(source, i, n, batch)
    judging: Judging
    if ray is None:
        given = Shard(source, i, n, batch)
        judging = Here(judge, depth, batch, pixels)
    else:
        fleet = fleets()
        judging = fleet.Fleet(make, depth, batch, pixels, workers, cpus, gpus)
    with cluster_at(ray):
        return score(given, out, judging, asked, layout=layout, total=total, tick=told(out))


@contextmanager
def cluster_at(ray: str | None) -> Iterator[None]:
    """Be a driver of the cluster at an address for as long as the block runs; of none for None."""
    if ray is None:
        yield
        return
    from judge.runtime.ray_cluster import cluster

    with cluster(ray):
        yield


def fleets() -> Any:
    """The module that knows Ray. Raises `JudgeError` where it is not installed."""
    try:
        from judge.batch import ray_workers as fleet
    except ImportError as error:
        raise JudgeError(f"ray: install judge[ray] ({error})") from None
    return fleet


def _total(source: Files, i: int, n: int, batch: int) -> int | None:
    every = source.count()
    if every is None:
        return None
    rounds, rest = divmod(every, batch * n)
    return rounds * batch + min(batch, max(0, rest - (i - 1) * batch))


def _shard_of(text: str) -> tuple[int, int]:
    i, slash, n = text.partition("/")
    if slash and i.isascii() and i.isdigit() and n.isascii() and n.isdigit():
        return int(i), int(n)
    raise InputError("shard", text, "i/n, for example 1/4", "write it so")


def told(out: str) -> Callable[[Tally], None]:
    """Progress on standard error: "OUT: 1200 of 20000 rows, 31.0 rows/s, 10 min left, 3 unscored"."""
    began = said = 0.0
    first = 0

    def tick(tally: Tally) -> None:
        nonlocal began, said, first
        now = time.monotonic()
        if not began:
            began, said, first = now, now, tally.done
        elif now - said >= EVERY:
            said = now
            rate = (tally.done - first) / (now - began)
            of = "" if tally.total is None else f" of {tally.total}"
            left = ""
            if tally.total is not None and rate:
                left = f", {max(0, tally.total - tally.done) / rate / 60:.0f} min left"
            line = f"{out}: {tally.done}{of} rows, {rate:.1f} rows/s{left}, {tally.unscored} unscored"
            typer.echo(line, err=True)

    return tick
