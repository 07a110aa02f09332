"""Options of commands that may run on a cluster. `--ray` stands with or without an address after it, which
typer has no options for."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

ADDRESS = re.compile(r"auto|local|ray://.*|[^/\s]+:\d+")
DEFAULT = "auto"


def completed(arguments: list[str]) -> list[str]:
    """Arguments with the default put in after a `--ray` that no address follows."""
    full = list[str]()
    for number, argument in enumerate(arguments):
        full.append(argument)
        after = arguments[number + 1] if number + 1 < len(arguments) else ""
        if argument == "--ray" and not ADDRESS.fullmatch(after):
            full.append(DEFAULT)
    return full


class RayCommand(TyperCommand):
    """A command whose `--ray` may stand without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, completed(args))


RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Judge on a Ray cluster: HOST:PORT, ray://HOST:PORT, local; without one, what runs here.",
    ),
]
Workers = Annotated[int | None, typer.Option(help="With --ray: how many; default: all there is room for.")]
Cpus = Annotated[float, typer.Option(help="With --ray: CPUs of a worker; fractions are allowed.")]
Gpus = Annotated[float, typer.Option(help="With --ray: GPUs of a worker; fractions are allowed.")]
