"""What commands write: errors on one line, tables, a progress bar, and files that appear only when complete.

Exit codes: 0 done; 1 the model could not be run, or gave a verdict without a score; 2 bad input. A judge that
abstains gives no score, so code 1: nothing that needs a score should go on. The output tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from judge.errors import InputError, JudgeError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the package's errors into one line on standard error and an exit code.

    Raises:
        typer.Exit: with code 2 after an `InputError`, with code 1 after any other `JudgeError`.
    """
    try:
        yield
    except JudgeError as error:
        print_error(error)
        _exit(2 if isinstance(error, InputError) else 1)


def print_error(error: JudgeError) -> None:
    """Print an error as one line on standard error, without control characters."""
    from judge.explain.plain_text import to_plain_text

    typer.echo(f"error: {to_plain_text(str(error))}", err=True)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code) from None


def print_rich(renderable: Any) -> None:
    """Print a Rich renderable on standard output."""
    from rich.console import Console

    Console().print(renderable)


@contextmanager
def progress_bar(total: int) -> Iterator[Any]:
    """Show a progress bar on standard error; show nothing when that is not a terminal.

    Yields:
        A function without arguments that advances the bar by one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


@contextmanager
def replacing(out: Path) -> Iterator[Any]:
    """Open a temporary text file that replaces `out` when the block ends without an error.

    An interrupted run therefore leaves the old file untouched and no half-written one.

    Yields:
        The file, open for writing in UTF-8.

    Raises:
        InputError: the file cannot be written.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("w", encoding="utf-8")
    except OSError as error:
        raise _write_error(out, error) from None
    try:
        with file:
            yield file
        part.replace(out)
    except OSError as error:
        raise _write_error(out, error) from None
    finally:
        part.unlink(missing_ok=True)


def _write_error(out: Path, error: OSError) -> InputError:
    return InputError("out", str(out), "a file that can be written", error.strerror or str(error))
