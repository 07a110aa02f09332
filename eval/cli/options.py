"""Options and arguments that several commands share, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from judge.errors import InputError


class DepthName(StrEnum):
    """Values of `--depth`."""

    score = "score"
    verdict = "verdict"


SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="Name of a benchmark; `judge eval list` shows them.")
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders written by `judge eval run`.")]
OneRun = Annotated[
    list[Path],
    typer.Argument(metavar="RUN...", help="The folder of a run, or the folders of all its shards."),
]
DataOfRun = Annotated[
    Path | None, typer.Option("--data", help="Where the data is now; default: where the run read it.")
]
DataToJudge = Annotated[
    Path | None, typer.Option("--data", help="The benchmark's folder or label file; not used by `trust`.")
]

Model = Annotated[str, typer.Option(help="`embedded`, or the name or folder of a checkpoint.")]
Adapter = Annotated[str | None, typer.Option(help="Name or folder of a LoRA adapter.")]
Backend = Annotated[str, typer.Option(help="auto, transformers, vllm or openai.")]
BaseUrl = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")]
RubricName = Annotated[
    str | None, typer.Option("--rubric", help="default, quality or a .toml file; default: that of the suite.")
]
Depth = Annotated[
    DepthName | None,
    typer.Option("--depth", help="score: numbers only, faster; default: that of the suite."),
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Record numbers, marked, where the judge would abstain: outside what it was trained on.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed that is passed to the model.")]

ElementsFrom = Annotated[
    str,
    typer.Option(
        "--elements",
        help="How elements are taken from prompts without labelled ones: auto, rules, grammar, words, model.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split of the benchmark, if it has splits.")]
Limit = Annotated[int | None, typer.Option(help="Use only the first LIMIT rows.")]
Shard = Annotated[
    str,
    typer.Option(
        help="i/n: judge every n-th batch from the i-th, to run on n machines with one RUN folder each."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Number of rows that are judged together.")]
SuiteOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the suite, else of the judge: of its backend (revision, dtype, bits, ...), "
        "max_pixels, or with vllm a field of its EngineArgs; may be repeated.",
    ),
]
OptionsFile = Annotated[
    Path | None,
    typer.Option(
        "--options", metavar="FILE", help="TOML file of the judge's options; --option goes before it."
    ),
]


def parse_shard(text: str) -> tuple[int, int]:
    """Parse a shard: "2/4" is (2, 4).

    Raises:
        InputError: the text is not of this form.
    """
    i, slash, n = text.partition("/")
    if not (slash and i.isascii() and i.isdigit() and n.isascii() and n.isdigit()):
        raise InputError("shard", text, "i/n, for example 1/4", "write it in this form")
    return int(i), int(n)


def parse_options(texts: Sequence[str] | None) -> dict[str, str]:
    """Parse options: ["image=file"] is {"image": "file"}; None is {}.

    Raises:
        InputError: a text is not of this form.
    """
    options = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError("option", text, "NAME=VALUE", "write it in this form")
        options[name] = value
    return options
