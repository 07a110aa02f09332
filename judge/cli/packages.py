"""`judge finetune`, `calibrate`, `eval` and `examine`: commands of the packages `finetune` and `eval`.

Both packages are imported inside the commands, so `judge --help` stays fast and `judge` runs without them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from judge.cli.output import one_line_errors, print_rich, progress_bar, replacing
from judge.errors import BackendError, InputError, JudgeError, ModelNotFoundError

if TYPE_CHECKING:
    from eval.examination.examine import Candidate, Examination
    from judge.backends.cards import ModelCard

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


def examine(
    model: Annotated[
        str, typer.Argument(help="Model as for the other commands, or the address of a `judge serve`.")
    ],
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    count: Annotated[int, typer.Option(help="Number of scenes; 60 take minutes on a GPU.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same scenes.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write the card to.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the card: judges of this model then use its settings.")
    ] = False,
    price: Annotated[
        str | None, typer.Option(help="Hosted models: dollars for a million tokens, READ,WRITTEN.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Hosted models: do not ask first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as one JSON object.")] = False,
) -> None:
    """Examine a model on drawn scenes with exact truth: is it fit to judge, and with which settings?

    Says what it found on loading, box conventions, elements, damage, biases, batches, speed and memory.
    """
    with one_line_errors():
        try:
            from eval.examination import cost, examine, table
        except ImportError as error:
            raise JudgeError(f"eval: the package eval is not installed ({error})") from None
        if out is not None and out.is_dir():
            raise InputError("out", str(out), "a file, not a folder", "name the file to write")
        dollars = None if price is None else cost.parse_price(price)
        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        candidate = _open_candidate(model, adapter, backend, base_url, options)
        try:
            examination = examine.prepare_examination(candidate, count, seed)
            _confirm_cost(examination, dollars, yes)
            with progress_bar(examination.questions) as tick:
                card = examine.run_examination(examination, tick)
        except ModelNotFoundError:
            raise  # a wrong name says nothing of a model
        except BackendError as error:
            card = examine.failed_card(candidate, count, seed, error)
        if out is not None:
            with replacing(out) as file:
                file.write(card.model_dump_json(indent=2) + "\n")
        if as_json:
            typer.echo(card.model_dump_json())
        else:
            print_rich(table.render_card(card))
        is_loaded = card.findings[0].level != "fault"
        if is_loaded:
            _keep(card, keep, is_quiet=as_json)
    raise typer.Exit(0 if is_loaded else 1)


def _open_candidate(
    model: str, adapter: str | None, backend: str, base_url: str | None, options: dict[str, Any]
) -> Candidate:
    """Open the judge, without a card: a card must not decide its own examination."""
    from eval.examination.examine import Candidate, default_rubric

    # What is examined is the model, on whatever is drawn for it.
    anyway = judges.domain_options(anyway=True)
    judge = judges.open_judge(model, adapter, backend, default_rubric(model), base_url, **options, **anyway)
    judge.ignore_card()
    return Candidate(judge, model, adapter, base_url, backend, options)


def _confirm_cost(examination: Examination, price: tuple[float, float] | None, yes: bool) -> None:
    """Say what a hosted model costs, and ask before it is used.

    Raises:
        InputError: there is nobody to ask, and `--yes` is missing.
        typer.Exit: the answer is no.
    """
    from eval.examination import cost

    candidate = examination.candidate
    if not cost.is_hosted(candidate.model, candidate.base_url):
        return
    text = cost.estimate_examination(examination).describe(price)
    if not yes and not sys.stdin.isatty():
        raise InputError("yes", False, "--yes where nobody can be asked", f"it costs {text}")
    typer.echo(f"{candidate.base_url or candidate.model}: {text}", err=True)
    if yes:
        return
    if not typer.confirm("Examine it?", err=True):
        raise typer.Exit(0)


def _keep(card: ModelCard, keep: bool, *, is_quiet: bool) -> None:
    """Keep the card, or say how."""
    from judge.backends.cards import SWITCH, keep_card

    settings: dict[str, Any] = card.settings.chosen()
    if not keep and settings and sys.stdin.isatty() and sys.stdout.isatty() and not is_quiet:
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        keep = typer.confirm(f"Keep the card, so that judges of this model use {shown}?", err=True)
    if keep:
        path = keep_card(card)
        typer.echo(f"kept in {path}; card=False or {SWITCH}=off ignores it", err=True)
    elif settings and not is_quiet:
        typer.echo("not kept: --keep makes judges of this model use these settings", err=True)
