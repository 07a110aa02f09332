"""The output of the bench: run a part and print its result as a table or as JSON, with a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import typer

from eval.runs.atomic_file import open_atomic
from judge.errors import JudgeError


def run_part(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one part and return its result with its name.

    What libraries print on standard output goes to standard error, because standard output may only hold
    the one JSON object.

    Args:
        name: name of the part.
        measure: runs the part and returns its numbers.
    """
    with redirect_stdout(sys.stderr):
        return {"part": name, **measure()}


def print_part(name: str, measure: Callable[[], dict[str, Any]], as_json: bool) -> None:
    """Run one part and print its result as JSON or as a table.

    Raises:
        typer.Exit: with code 2 after a `JudgeError`, which is printed as one line.
    """
    try:
        result = run_part(name, measure)
    except JudgeError as error:
        exit_with_error(error)
    if as_json:
        print(to_json(result))
    else:
        print_table(result)


def exit_with_error(error: JudgeError) -> NoReturn:
    """Print an error on standard error and exit with code 2."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(2)


def to_json(result: dict[str, Any]) -> str:
    """Return a result as JSON.

    Raises:
        ValueError: the result contains NaN or infinity, which is not valid JSON.
    """
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)


def write_results(out: Path, results: dict[str, dict[str, Any]]) -> None:
    """Write the results of several parts to a JSON file in one step."""
    with open_atomic(out) as file:
        file.write(to_json(results) + "\n")


def print_table(result: dict[str, Any]) -> None:
    """Print a result as a table: name, value, 95 % interval, note."""
    from rich.console import Console
    from rich.table import Table

    if "ratios" in result:
        from eval.bench.speed.serving import make_table

        return Console().print(make_table(result))
    table = Table(title=result["part"], title_justify="left", show_edge=False)
    intervals, notes = result.get("interval_95", {}), result.get("notes", {})
    for column in ("", "value", "95 % interval", "note"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for name, value in flatten_result(result):
        low, high = intervals.get(name, (None, None))
        interval = "" if low is None else f"{low:.3f} .. {high:.3f}"
        table.add_row(name, format_value(value), interval, notes.get(name, ""))
    Console().print(table)


def flatten_result(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of all numbers of a result, without its name, intervals and notes."""
    for name, value in result.items():
        if not prefix and name in ("part", "interval_95", "notes"):
            continue
        if isinstance(value, dict):
            yield from flatten_result(value, f"{prefix}{name}.")
        elif value not in ([], {}):
            yield prefix + name, value


def format_value(value: Any) -> str:
    """Return a value as text for the table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def progress_bar(name: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error if it is a terminal; the bar is removed at the end.

    Args:
        name: text before the bar.
        total: number of steps.

    Yields:
        A function to call after each step.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)
