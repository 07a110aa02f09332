"""Errors as the command line prints them: one line on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from judge.errors import InputError, JudgeError


@contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _complain(error)
        _exit(2)
    except JudgeError as error:
        _complain(error)
        _exit(1)


def _complain(error: JudgeError) -> None:
    from judge.explain.overlay import plain

    typer.echo(f"error: {plain(str(error))}", err=True)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code) from None
