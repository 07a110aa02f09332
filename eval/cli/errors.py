"""Errors of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from judge.errors import InputError, JudgeError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print a `JudgeError` as one line on standard error and exit, without a traceback.

    Raises:
        typer.Exit: with code 2 for an `InputError`, with code 1 for another `JudgeError`.
    """
    from judge.explain.plain_text import to_plain_text

    try:
        yield
    except JudgeError as error:
        typer.echo(f"error: {to_plain_text(str(error))}", err=True)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
