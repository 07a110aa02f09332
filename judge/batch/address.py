"""`--ray` with or without an address after it, which typer has no options for."""

from __future__ import annotations

import re

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
