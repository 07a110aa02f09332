"""The Jinja templates that the instructions to a model are rendered from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

PART_PROMPT = "a picture"
"""The prompt shown with a crop, for models tuned on the brief template: the sample's own prompt asks for
things that lie outside the crop."""


def prompts() -> Path:
    """The folder of templates: inside an installed package, or at the root of a checkout."""
    packaged = Path(str(files("judge") / "prompts"))
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "prompts"


def jinja() -> Any:
    """The environment of all templates: sandboxed, and an undefined name is an error."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined)


@cache
def template(name: str) -> Any:
    """A template of the package's own, compiled."""
    return jinja().from_string((prompts() / f"{name}.jinja").read_text("utf-8").rstrip("\n"))
