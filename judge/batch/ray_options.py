"""Command-line options of commands that can run on a Ray cluster.

`--ray` may be followed by an address or not. Typer has no such options, so the default address is inserted
before the arguments are parsed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

ADDRESS = re.compile(r"auto|local|ray://.*|[^/\s]+:\d+")
"""What an argument after `--ray` must look like to be taken as its address."""
DEFAULT_ADDRESS = "auto"


def insert_default_address(arguments: list[str]) -> list[str]:
    """Return the arguments with the default address inserted after each `--ray` without an address."""
    result = list[str]()
    for number, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if argument == "--ray" and not ADDRESS.fullmatch(following):
            result.append(DEFAULT_ADDRESS)
    return result


class RayCommand(TyperCommand):
    """A command whose `--ray` may be given without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the default address inserted."""
        return super().parse_args(ctx, insert_default_address(args))


RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Run on a Ray cluster: HOST:PORT, ray://HOST:PORT or local. Default: the one that runs here.",
    ),
]
Workers = Annotated[int | None, typer.Option(help="With --ray: number of workers. Default: as many as fit.")]
Cpus = Annotated[float, typer.Option(help="With --ray: CPUs per worker; fractions are allowed.")]
Gpus = Annotated[float, typer.Option(help="With --ray: GPUs per worker; fractions are allowed.")]
