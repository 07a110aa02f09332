"""`judge finetune`: adapters for any Qwen-VL on labelled samples, and the embedded judge from nothing.

Heavy imports stand inside the commands. Exit codes: 0 done; 1 the model could not be run; 2 bad input.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from finetune.nano import cli as nano
from finetune.photos import cli as photos

app = typer.Typer(
    help="Fine-tune a judge on labelled samples (lora), or train the embedded one step by step (the others).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def lora(
    config: Annotated[str, typer.Option(help="A .toml file, or the name of one in finetune/configs.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter; the same command goes on in it.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field, e.g. data.0.path=scenes."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read everything, train nothing.")] = False,
) -> None:
    """Fine-tune a Qwen-VL with LoRA on labelled samples of any suites."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from finetune.lora.config import Config

        wanted = Config.load(config, changes or ())
        from finetune.lora import run

        if check:
            run.prepare(wanted, print)
            return
        told = run.run(wanted, out)
        if told:
            metric = wanted.held.metric if wanted.held else ""
            before, after = told["before"].get(metric), told["after"].get(metric)
            said = f"; {metric} {_shown(before)} before, {_shown(after)} after" if metric else ""
            typer.echo(f"{out}: {told['steps']} steps in {told['minutes']:.1f} min{said}", err=True)


@app.command()
def distill(
    config: Annotated[str, typer.Option(help="A .toml file, or the name of one in configs/distill.")],
    out: Annotated[Path, typer.Option(help="Folder for the student; the same command goes on in it.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field, e.g. data.0.path=pictures."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read everything, train nothing.")] = False,
) -> None:
    """Have a small vision network learn the answers of any judge under a rubric about pictures alone."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from finetune.distill import run
        from finetune.distill.config import Config

        wanted = Config.load(config, changes or ())
        if check:
            prepared = run.prepare(wanted)
            typer.echo(f"{len(prepared.items)} pictures, {', '.join(prepared.blanks)}", err=True)
            return
        told = run.run(wanted, out)
        for held in told["held"]:
            student, teacher = _shown(held["student"]), _shown(held["teacher"])
            said = f"{held['metric']} {student}, teacher {teacher}, {held['times']:.0f} times as fast"
            typer.echo(f"{held['path']}: {said}", err=True)


@app.command()
def merge(
    adapter: Annotated[str, typer.Option(help="Folder of the adapter; embedded: the shipped one.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet.")],
    base: Annotated[str, typer.Option(help="embedded, or name or folder of the checkpoint.")] = "embedded",
    revision: Annotated[str | None, typer.Option(help="Hub revision of the base.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (as the base), float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Merge an adapter into its base, ready for vLLM."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from finetune.lora.merge import merge as run

        typer.echo(str(run(base, adapter, out, revision=revision, dtype=dtype)))


@app.command()
def card(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]) -> None:
    """Write RUN/MODEL_CARD.md from the run's own numbers."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from finetune.lora.model_card import write

        typer.echo(str(write(run)))


@app.command()
def shifted(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 1560,
    seed: Annotated[int, typer.Option(help="Same seed, same scenes.")] = 5,
) -> None:
    """Draw scenes with a defect the embedded judge never saw, labelled on a harsher scale."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from judge.scenes import shifted as drawn
        from judge.scenes.dataset import write

        _drawn(write(out, count, seed, drawing=drawn.draw), count)


@app.command()
def tiles(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="How many large scenes; four parts of each.")] = 2600,
    seed: Annotated[int, typer.Option(help="Same seed, same scenes.")] = 21,
) -> None:
    """Cut parts out of large scenes as closer looks do, half of them with one small defect."""
    from eval.cli import one_line_errors

    with one_line_errors():
        from judge.scenes.dataset import write_tiles

        _drawn(write_tiles(out, count, seed), count)


def _drawn(steps: Iterator[int], count: int) -> None:
    """Go through what is being drawn, and say how far it is."""
    for done in steps:
        if done % 200 == 0:
            typer.echo(f"{done} of {count} scenes", err=True)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


app.add_typer(nano.app)
app.add_typer(photos.app, name="photos")

if __name__ == "__main__":
    app()
