"""Progress of a run on standard error: a bar on a terminal, otherwise one line every `SECONDS` seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from eval.runs.plan import RunProgress

SECONDS = 30.0
"""Seconds between two lines of progress when standard error is no terminal."""


@contextmanager
def show_progress(out: Path) -> Iterator[Callable[[RunProgress], None]]:
    """Show the rows that are done, the rate and the time that remains.

    Args:
        out: RUN folder; starts each line of progress.

    Yields:
        A function that is called with the progress after each verdict.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from judge.batch.command import describe_unscored

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} rows/s" if task.speed else "", style="progress.data.speed")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield print_progress_lines(out)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(),
        TextColumn("{task.fields[unscored]}", style="yellow"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading labels", total=None, unscored="")

        def tick(progress: RunProgress) -> None:
            if bar.tasks[0].total is None:
                bar.reset(task, total=progress.total, completed=progress.done, unscored="")
                bar.update(task, description="loading model")
            else:
                counts = describe_unscored(progress.unscored, progress.abstained)
                unscored = counts if progress.unscored else ""
                bar.update(task, completed=progress.done, unscored=unscored, description="judging")

        yield tick


def print_progress_lines(out: Path) -> Callable[[RunProgress], None]:
    """Return a function that prints lines such as "RUN: 120 of 2000 rows, 3.1 rows/s, 10 min left".

    The rate is measured from the first verdict on, so it does not include the time to load the model.
    """
    from judge.batch.command import describe_unscored

    start = printed = first = 0.0

    def tick(progress: RunProgress) -> None:
        nonlocal start, printed, first
        now = time.monotonic()
        if not first:
            start, printed = now, now
            first = float(progress.done > progress.resumed) * progress.done
        elif now - printed >= SECONDS:
            printed = now
            rate = (progress.done - first) / (now - start)
            minutes = (progress.total - progress.done) / rate / 60
            rows = f"{progress.done} of {progress.total} rows, {rate:.1f} rows/s, {minutes:.0f} min left"
            unscored = describe_unscored(progress.unscored, progress.abstained)
            typer.echo(f"{out}: {rows}, {unscored}", err=True)

    return tick
