"""`judge examine`: find out on drawn scenes whether a model is fit to judge, and with which settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judge.cli import judges
from judge.cli.options import Adapter, BackendName, BaseUrl, ModelOptions, OptionsFile
from judge.cli.output import one_line_errors, print_rich, progress_bar, replacing
from judge.errors import BackendError, InputError, JudgeError

if TYPE_CHECKING:
    from eval.examination.examine import Candidate, Examination
    from judge.backends.cards import ModelCard


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

    judge = judges.open_judge(model, adapter, backend, default_rubric(model), base_url, **options)
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
