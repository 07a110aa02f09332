"""`judge finetune`, `judge calibrate` and `judge eval`: commands of the packages `finetune` and `eval`.

Both packages are imported inside the commands, so `judge --help` stays fast and `judge` runs without them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from judge.cli import judges
from judge.cli.options import (
    DEFAULT_MODEL,
    DEFAULT_RUBRIC,
    Adapter,
    BackendName,
    BaseUrl,
    DepthName,
    Model,
    ModelOptions,
    OptionsFile,
)
from judge.cli.output import one_line_errors, replacing
from judge.errors import InputError, JudgeError

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""typer's context settings of a command that hands all its arguments, `--help` too, to another app."""


def finetune(context: typer.Context) -> None:
    """Fine-tune a judge, or train the embedded one from scratch; see `judge finetune --help`."""
    with one_line_errors():
        try:
            from finetune.cli import app
        except ImportError as error:
            raise JudgeError(f"finetune: the package finetune is not installed ({error})") from None
        app(args=context.args, prog_name="judge finetune")


def evaluate(context: typer.Context) -> None:
    """Run benchmarks and report how well the judge agrees with people; see `judge eval --help`."""
    with one_line_errors():
        try:
            from eval.cli.app import app
        except ImportError as error:
            raise JudgeError(f"eval: the package eval is not installed ({error})") from None
        app(args=context.args, prog_name="judge eval")


def calibrate(
    suite: Annotated[str, typer.Option(help="Suite with the labels; see `judge eval list`.")],
    data: Annotated[Path, typer.Option(help="Its folder or label file, with rows not used for training.")],
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    rubric: Annotated[
        str | None, typer.Option(help="default, quality, or a .toml file; default: the suite's own.")
    ] = None,
    depth: Annotated[
        list[DepthName] | None, typer.Option(help="May be repeated; default: those of the suite.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the suite, if it has splits.")] = None,
    skip: Annotated[int, typer.Option(help="Number of rows to skip at the start.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Largest number of rows to use.")] = None,
    score: Annotated[
        str, typer.Option(help="Human dimension to calibrate against; default: the main one.")
    ] = "",
    quantile: Annotated[float, typer.Option(help="Share of images that must lie in the domain.")] = 0.99,
    abstain: Annotated[
        bool, typer.Option("--abstain/--no-abstain", help="Give no score outside the domain.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: calibration.json in the adapter's folder.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Rows judged together.")] = 16,
) -> None:
    """Map scores to the human scale, with percentiles, from held-out labels."""
    with one_line_errors():
        from judge.judge import Judge

        try:
            from finetune.calibration import fit_calibration, label_source, report_lines
        except ImportError as error:
            raise JudgeError(f"calibrate: the package finetune is not installed ({error})") from None
        if out is None:
            if adapter is None or not Path(adapter).is_dir():
                mend = "give a file, as there is no adapter folder to put it in"
                raise InputError("out", None, "a file", mend)
            out = Path(adapter) / "calibration.json"
        labels = label_source(suite, data, split=split, rubric=rubric, skip=skip, limit=limit, score=score)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        judge = Judge(
            model,
            adapter=adapter,
            backend=backend,
            rubric=labels.rubric or DEFAULT_RUBRIC,
            base_url=base_url,
            calibration=False,
            **judges.parse_judge_options(option, options_file, model, backend, base_url),
        )
        calibration = fit_calibration(
            judge,
            labels,
            [name.value for name in depth or ()],
            quantile=quantile if abstain else None,
            batch=batch,
            report=lambda message: typer.echo(message, err=True),
        )
        with replacing(out) as file:
            file.write(calibration.model_dump_json(indent=1) + "\n")
    for line in report_lines(calibration):
        typer.echo(line)
    typer.echo(f"{out}: {calibration.count} images", err=True)
