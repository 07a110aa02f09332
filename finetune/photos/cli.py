"""`judge finetune photos`: pools of photographs, the estimators that judge/evidence/facts.py has of them, and the
adapter for their technical quality.

The steps in order stand in finetune/README.md. Heavy imports stand inside the commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from judge.errors import InputError, JudgeError

app = typer.Typer(
    help="Teach the embedded judge the technical quality of photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BASE = Path(__file__).parents[2] / "judge" / "assets" / "nano" / "base"
Out = Annotated[Path, typer.Argument(help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0)]
Count = Annotated[int, typer.Option(min=1)]
Photos = Annotated[list[Path], typer.Argument(help="Folders of pristine photographs.")]
Pools = Annotated[list[Path], typer.Argument(help="Folders of pools, as the commands above write them.")]
Base = Annotated[Path, typer.Option(help="Checkpoint that the adapter is for.")]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except JudgeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None


@app.command()
def pool(
    out: Out,
    photos: Photos,
    count: Count = 4500,
    seed: Seed = 1,
) -> None:
    """Distort pristine photographs, every one of them equally often."""
    from finetune.photos import pool as pools

    with _one_line_errors():
        pools.build(out, list(pools.distorted(pools.pictures_in(photos), count, seed)))


@app.command()
def opinions(
    out: Out,
    data: Annotated[Path, typer.Argument(help="Folder of LIVE in the Wild: labels.csv and images/.")],
    held: Annotated[bool, typer.Option("--held", help="The quarter that is kept for measuring.")] = False,
) -> None:
    """Photographs with people's mean opinions."""
    from finetune.photos import pool as pools

    with _one_line_errors():
        pools.build(out, list(pools.opinions(data, held)))


@app.command()
def scenes(out: Out, count: Count = 700, seed: Seed = 71) -> None:
    """Drawn scenes, so that they are not forgotten."""
    from finetune.photos import pool as pools

    with _one_line_errors():
        pools.build(out, list(pools.scenes(count, seed)))


@app.command()
def strengths(
    out: Out,
    photos: Photos,
    count: Count = 24000,
    seed: Seed = 5,
    areas: Annotated[bool, typer.Option("--areas", help="Distort areas instead of wholes.")] = False,
) -> None:
    """Measure distorted photographs, for `estimates`, and leave the pictures away."""
    from finetune.photos import pool as pools

    with _one_line_errors():
        shares = pools.AREAS if areas else pools.WHOLES
        jobs = pools.distorted(pools.pictures_in(photos), count, seed, shares, saved=True)
        pools.build(out, list(jobs), pictures=False)


@app.command()
def pictures(
    out: Out,
    data: Annotated[Path, typer.Argument(help="Folder with clive_train (LIVE in the Wild) and bsds500.")],
    photos: Annotated[int, typer.Option(min=1, help="Distorted photographs.")] = 2500,
    parts: Annotated[int, typer.Option(min=0, help="Parts of each rated photograph.")] = 9,
    drawn: Annotated[int, typer.Option(min=1, help="Drawn scenes, held out.")] = 300,
    seed: Seed = 1,
) -> None:
    """Picture files for a student, see `judge finetune distill`."""
    from finetune.photos import pictures as files

    def tick(done: int) -> None:
        if done % 1000 == 0:
            typer.echo(f"{done} pictures", err=True)

    with _one_line_errors():
        files.build(out, data, photos=photos, parts=parts, drawn=drawn, seed=seed, tick=tick)


@app.command()
def estimates(
    pools: Pools,
    opinions: Annotated[Path, typer.Option(help="Pool of photographs with opinions.")],
    seed: Seed = 0,
) -> None:
    """Fit the regressors of judge/evidence/facts.py; they lie in the package."""
    from finetune.photos.estimates import fit
    from finetune.photos.pool import Pool

    with _one_line_errors():
        bare = [Pool(folder, pictures=False) for folder in (*pools, opinions)]
        fit(bare[:-1], bare[-1], seed=seed)


@app.command()
def train(
    pools: Pools,
    held: Annotated[Path, typer.Option(help="Pool that is measured on, never trained on.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, log and result.")],
    start: Annotated[Path | None, typer.Option(help="Adapter to go on from; default: a fresh one.")] = None,
    init: Base = BASE,
    minutes: float = 12,
    steps: Annotated[int, typer.Option(help="Length of the schedule in steps; 0: by --minutes.")] = 0,
    lr: float = 1.5e-3,
    batch: int = 32,
    rank: int = 32,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    measure_every: float = 4.0,
) -> None:
    """LoRA on the language layers, from pools of any sort."""
    with _one_line_errors():
        from finetune.photos import train as training
        from finetune.photos.pool import Pool

        for folder in (*pools, held):
            Pool(folder)  # a bad one is told before anything starts
        if start is not None and not (start / "adapter_config.json").is_file():
            raise InputError("start", str(start), "a folder with adapter_config.json", "name an adapter")
        if not (init / "config.json").is_file():
            raise InputError("init", str(init), "a checkpoint's folder", "name one that has config.json")
        from finetune.nano.cli import spawn
        from finetune.nano.trainer import Settings

        settings = Settings(
            pools, init, held, out, minutes, lr, batch, seed, measure_every, longest=420, steps=steps
        )
        training.look(settings)
        spawn(training.teach, workers, settings, rank, start)


@app.command()
def ship(adapter: Path, out: Annotated[Path, typer.Option()] = BASE.parent) -> None:
    """Put the adapter beside the embedded judge's base, for the rubric `quality`."""
    with _one_line_errors():
        from finetune.nano.export import ship_beside

        ship_beside(adapter, out, "quality")


if __name__ == "__main__":
    app()
