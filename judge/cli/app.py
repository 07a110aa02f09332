"""The `judge` command: the root app, its options, and `main`, the entry point.

Exit codes of all commands: 0 done; 1 the model could not be run, or gave a verdict without a score; 2 bad
input.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from judge.batch.ray_options import RayCommand
from judge.cli import rubric
from judge.cli.compare import compare, rank
from judge.cli.demo import demo
from judge.cli.doctor import doctor
from judge.cli.packages import PASS_THROUGH, calibrate, evaluate, examine, finetune
from judge.cli.plan import models, plan
from judge.cli.samples import elements, read, scenes
from judge.cli.score import score
from judge.cli.serve import serve
from judge.cli.verdict import verdict
from judge.runtime.threads import dedicate_process

app = typer.Typer(
    help="Judge generated images: a score, the elements that are present, and what is broken and where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(rubric.app, name="rubric")
# In the order in which `judge --help` lists them.
app.command()(verdict)
app.command(cls=RayCommand)(score)
app.command()(compare)
app.command()(rank)
app.command()(elements)
app.command()(read)
app.command()(scenes)
app.command(context_settings=PASS_THROUGH)(finetune)
app.command()(calibrate)
app.command("eval", context_settings=PASS_THROUGH)(evaluate)
app.command(cls=RayCommand)(serve)
app.command()(models)
app.command()(examine)
app.command()(plan)
app.command()(doctor)
app.command()(demo)


def main() -> None:
    """Run the `judge` command with the arguments of the process."""
    dedicate_process()
    for stream in (sys.stdout, sys.stderr):
        # A prompt may contain characters that the terminal's encoding lacks; "?" is better than a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="judge")


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from judge.runtime.version import __version__

        typer.echo(f"judge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass
