"""What a part has measured, as a table or as JSON, and the bar meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from judge.errors import JudgeError


def measured(name: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    # What libraries print must not mix with the one JSON object.
    with redirect_stdout(sys.stderr):
        return {"part": name, **part()}


def show(name: str, part: Callable[[], dict[str, Any]], as_json: bool) -> None:
    try:
        result = measured(name, part)
    except JudgeError as error:
        fail(error)
    if as_json:
        print(dumps(result))
    else:
        table(result)


def fail(error: JudgeError) -> None:
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(2)


def dumps(result: dict[str, Any]) -> str:
    """JSON text; a NaN that slipped through is an error here rather than a file nobody can read."""
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)


def write(out: Path, results: dict[str, dict[str, Any]]) -> None:
    """Whole or not at all: a reader never meets half a file."""
    fresh = out.with_name(out.name + ".part")
    fresh.write_text(dumps(results) + "\n", encoding="utf-8")
    fresh.replace(out)


def table(result: dict[str, Any]) -> None:
    """One part as a table: name, value, 95 % interval, what must be said about it."""
    from rich.console import Console
    from rich.table import Table

    if "ratios" in result:
        from eval.bench.speed import serving as part

        return Console().print(part.table(result))
    grid = Table(title=result["part"], title_justify="left", show_edge=False)
    intervals, notes = result.get("interval_95", {}), result.get("notes", {})
    for column in ("", "value", "95 % interval", "note"):
        grid.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for name, value in lines(result):
        low, high = intervals.get(name, (None, None))
        span = "" if low is None else f"{low:.3f} .. {high:.3f}"
        grid.add_row(name, shown(value), span, notes.get(name, ""))
    Console().print(grid)


def lines(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in result.items():
        if not prefix and name in ("part", "interval_95", "notes"):
            continue
        if isinstance(value, dict):
            yield from lines(value, f"{prefix}{name}.")
        elif value not in ([], {}):
            yield prefix + name, value


def shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error that goes away when done; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)
