"""Options that several commands of `judge` share.

Each name is the annotated type of a parameter, as typer reads it: `prompt: Prompt = ""`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_MODEL = "embedded"
DEFAULT_RUBRIC = "default"
DEFAULT_MAX_ELEMENTS = 24
SPLITTER_NAMES = ("auto", "rules", "grammar", "words", "model")
"""As in `judge.elements.splitters.registry`, which would take long to import for `--help`."""


class DepthName(StrEnum):
    """Values of `--depth`."""

    score = "score"
    verdict = "verdict"


class HowName(StrEnum):
    """Values of `--how`."""

    auto = "auto"
    pointwise = "pointwise"
    pairwise = "pairwise"


Prompt = Annotated[str, typer.Option("--prompt", "-p", help="Text the image was generated from.")]
NegativePrompt = Annotated[
    str, typer.Option("--negative", "-n", help="What the image must not show: the negative prompt.")
]
MaxElements = Annotated[
    int, typer.Option(help="Elements taken from a prompt, at most; the most specific ones stay.")
]
Elements = Annotated[
    str | None,
    typer.Option(
        help="Statements to check, separated by commas; or how they are taken from the prompt: rules, "
        "grammar, words, "
        "model. Default: auto."
    ),
]
ElementsFrom = Annotated[
    str,
    typer.Option(
        "--elements",
        help="How elements are taken from prompts without their own: auto, rules, grammar, words, model.",
    ),
]
RubricName = Annotated[
    str, typer.Option("--rubric", help="Name of a rubric (see: judge rubric show), or a .toml file.")
]
Reference = Annotated[
    str | None, typer.Option(help="Image to compare with, for rubrics that use one (edit, restoration).")
]
Model = Annotated[str, typer.Option(help="embedded, embedded-student, or a Qwen-VL checkpoint or student.")]
Adapter = Annotated[str | None, typer.Option(help="Name or folder of a LoRA adapter.")]
BackendName = Annotated[str, typer.Option("--backend", help="auto, transformers, vllm or openai.")]
BaseUrl = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")]
ModelOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the backend (revision, dtype, device, bits, brief, ...), max_pixels, or with vllm a "
        "field of its EngineArgs; may be repeated.",
    ),
]
OptionsFile = Annotated[
    Path | None,
    typer.Option("--options", metavar="FILE", help="TOML file of such options; --option goes before it."),
]
Looks = Annotated[
    int,
    typer.Option(help="Zoom-ins (closer looks) per image, at most: 2 for what is in doubt, 200 for 4K."),
]
Deadline = Annotated[
    float | None,
    typer.Option(help="Seconds after which no further zoom-in starts; for score: seconds per batch."),
]
How = Annotated[HowName, typer.Option(help="pairwise shows the model both images at once, in both orders.")]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Give numbers, marked, where the judge would abstain: outside what it was trained on.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def split_elements(elements: str | None) -> list[str] | str | None:
    """Split the value of `--elements` at its commas; None and the name of a splitter stay as they are."""
    if elements is None or elements in SPLITTER_NAMES:
        return elements
    return [part.strip() for part in elements.split(",")]


def zoom_in_arguments(looks: int, deadline: float | None) -> dict[str, Any]:
    """Return the arguments of `Judge` for `--looks` and `--deadline`, without those left at their defaults.

    A judge at an address refuses a deadline, so a default must not be passed on.
    """
    return ({"looks": looks} if looks else {}) | ({"deadline": deadline} if deadline is not None else {})
