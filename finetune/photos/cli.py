"""`judge finetune photos`: pools of photographs, and the estimators that judge/evidence.py has of them.

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
    help="Photographs with known distortions or opinions, and estimators of both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Argument(help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0)]
Count = Annotated[int, typer.Option(min=1)]
Pools = Annotated[list[Path], typer.Argument(help="Folders written by `pool`, `opinions` or `scenes`.")]


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
    photos: Annotated[list[Path], typer.Argument(help="Folders of pristine photographs.")],
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
def estimates(
    pools: Pools,
    opinions: Annotated[Path, typer.Option(help="Pool of photographs with opinions.")],
    seed: Seed = 0,
) -> None:
    """Fit the regressors of judge/evidence.py; they lie in the package."""
    from finetune.photos.estimates import fit
    from finetune.photos.pool import Pool

    with _one_line_errors():
        fit([Pool(folder) for folder in pools], Pool(opinions), seed=seed)


if __name__ == "__main__":
    app()
