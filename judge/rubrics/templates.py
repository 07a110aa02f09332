"""The Jinja templates from which the instructions to a model are rendered."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

CROP_PROMPT = "a picture"
"""The prompt shown with a crop to models tuned on the brief template. The sample's own prompt mentions things
outside the crop."""

BOX_TEXT = "[x1, y1, x2, y2], whole numbers from 0 (left, top) to 1000 (right, bottom)"
"""How templates describe a box. A backend whose model writes boxes in another way puts its own description
here, see `judge.backends.box_forms`."""
WHOLE_BOX = "[0, 0, 1000, 1000]"
"""How templates write the box of the whole image."""


def prompts_folder() -> Path:
    """Return the folder of templates and rubrics, in an installed package or at the root of a checkout."""
    packaged = Path(str(files("judge") / "prompts"))
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "prompts"


def jinja_environment() -> Any:
    """Return an environment for templates: sandboxed, and undefined names raise an error."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined)


@cache
def load_template(name: str) -> Any:
    """Load and compile a template of the package.

    Args:
        name: file name without `.jinja`.
    """
    path = prompts_folder() / f"{name}.jinja"
    return jinja_environment().from_string(path.read_text("utf-8").rstrip("\n"))
