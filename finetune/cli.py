"""Commands `judge finetune`: adapters for any Qwen-VL, students, and the embedded judge.

Large libraries are imported inside the commands. Exit codes: 0 success; 1 the model could not be run; 2 bad
input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

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

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field, e.g. held.path=scenes."),
]
Check = Annotated[bool, typer.Option("--check", help="Read and check all inputs, train nothing.")]


@app.command()
def lora(
    config: Annotated[str, typer.Option(help="A .toml file, or the name of one in finetune/configs.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. The same command resumes the run.")],
    overrides: Overrides = None,
    check: Check = False,
) -> None:
    """Fine-tune a Qwen-VL with LoRA on labelled samples of any suites."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.lora.config import Config

        run_config = Config.load(config, overrides or ())
        from finetune.lora import run

        if check:
            run.prepare(run_config, print)
            return
        result = run.train_adapter(run_config, out)
        _print_result(out, result, run_config.held.metric if run_config.held else "")


@app.command()
def rl(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A .toml file, or the name of one in finetune/configs.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. The same command resumes the run.")
    ] = None,
    overrides: Overrides = None,
    check: Check = False,
) -> None:
    """Train a judge by reinforcement, on rewards that can be checked."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.rl.config import Config
        from judge.errors import InputError

        run_config = Config.load(config, overrides or ())
        from finetune.rl import run

        if check:
            run.prepare(run_config, print)
            return
        if out is None:
            raise InputError("out", None, "a folder", "name one with --out, or only --check")
        result = run.train_policy(run_config, out)
        _print_result(out, result, run_config.held.metric if run_config.held else "")


@app.command()
def distill(
    config: Annotated[str, typer.Option(help="A .toml file, or the name of one in configs/distill.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. The same command resumes the run.")],
    overrides: Overrides = None,
    check: Check = False,
) -> None:
    """Train a small vision network on the answers of any judge, under a rubric about images alone."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.distill import run
        from finetune.distill.config import Config
        from finetune.distill.preparation import prepare

        run_config = Config.load(config, overrides or ())
        if check:
            prepared = prepare(run_config, print)
            typer.echo(f"{len(prepared.samples)} images, {', '.join(prepared.blanks)}", err=True)
            return
        result = run.distill(run_config, out)
        for held_out in result["held"]:
            student, teacher = _format(held_out["student"]), _format(held_out["teacher"])
            measures = f"{held_out['metric']} {student}, teacher {teacher}"
            typer.echo(f"{held_out['path']}: {measures}, {held_out['times']:.0f} times as fast", err=True)


@app.command()
def merge(
    adapter: Annotated[str, typer.Option(help="Folder of the adapter. embedded: the shipped one.")],
    out: Annotated[Path, typer.Option(help="Folder to write. It must not exist yet.")],
    base: Annotated[str, typer.Option(help="embedded, or name or folder of the checkpoint.")] = "embedded",
    revision: Annotated[str | None, typer.Option(help="Hub revision of the base.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (as the base), float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Merge an adapter into its base, ready for vLLM."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.lora.merging import merge_adapter

        typer.echo(str(merge_adapter(base, adapter, out, revision=revision, dtype=dtype)))


@app.command()
def card(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]) -> None:
    """Write RUN/MODEL_CARD.md from the run's own numbers."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.lora.model_card import write_model_card

        typer.echo(str(write_model_card(run)))


@app.command()
def shifted(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of scenes.")] = 1560,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scenes.")] = 5,
) -> None:
    """Draw scenes with a defect that the embedded judge was not trained on, labelled on a harsher scale."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from judge.scenes.dataset import write_scenes
        from judge.scenes.shifted_scenes import draw_shifted_scene

        _run_with_progress(write_scenes(out, count, seed, draw=draw_shifted_scene), count)


@app.command()
def tiles(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of large scenes. Each gives four crops.")] = 2600,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scenes.")] = 21,
) -> None:
    """Cut crops out of large scenes as zoom-ins (closer looks) do, half of them with one small defect."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from judge.scenes.dataset import write_crops

        _run_with_progress(write_crops(out, count, seed), count)


def _print_result(out: Path, result: Mapping[str, Any], metric: str) -> None:
    """Print what a training changed; `result` is empty in all processes but the first."""
    if result:
        before, after = result["before"].get(metric), result["after"].get(metric)
        change = f"; {metric} {_format(before)} before, {_format(after)} after" if metric else ""
        typer.echo(f"{out}: {result['steps']} steps in {result['minutes']:.1f} min{change}", err=True)


def _run_with_progress(steps: Iterator[int], count: int) -> None:
    """Draw all scenes, and print progress."""
    for done in steps:
        if done % 200 == 0:
            typer.echo(f"{done} of {count} scenes", err=True)


def _format(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


app.add_typer(nano.app)
app.add_typer(photos.app, name="photos")

if __name__ == "__main__":
    app()
