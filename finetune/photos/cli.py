"""Commands `judge finetune photos`: datasets, estimators, and the adapter for technical quality.

finetune/README.md lists the steps in order. Large libraries are imported inside the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.config import DEFAULT_MAX_DAMAGED_SHARE
from judge.errors import InputError

app = typer.Typer(
    help="Teach the embedded judge the technical quality of photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BASE = Path(__file__).parents[2] / "judge" / "assets" / "nano" / "base"
"""Model folder of the embedded judge's base."""
Out = Annotated[Path, typer.Argument(help="Folder to write.")]
Seed = Annotated[int, typer.Option(min=0)]
Count = Annotated[int, typer.Option(min=1)]
Photos = Annotated[list[Path], typer.Argument(help="Folders of pristine photographs.")]
Pools = Annotated[list[Path], typer.Argument(help="Datasets, as the commands above write them.")]
MaxDamagedShare = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Largest share of photographs that cannot be read and are skipped."),
]
Check = Annotated[bool, typer.Option("--check", help="Read and check all photographs, write nothing.")]
Base = Annotated[Path, typer.Option(help="Checkpoint that the adapter is for.")]


def _print_usable(count: int) -> None:
    typer.echo(f"{count} photographs can be read", err=True)


@app.command()
def pool(
    out: Out,
    photos: Photos,
    count: Count = 4500,
    seed: Seed = 1,
    max_damaged_share: MaxDamagedShare = DEFAULT_MAX_DAMAGED_SHARE,
    check: Check = False,
) -> None:
    """Write a dataset of distorted photographs, each photograph equally often."""
    from eval.cli.errors import one_line_errors
    from finetune.photos.dataset import write_photo_dataset
    from finetune.photos.image_jobs import distorted_photo_jobs, find_images, usable_photos

    with one_line_errors():
        usable = usable_photos(find_images(photos), max_damaged_share)
        if check:
            _print_usable(len(usable))
            return
        write_photo_dataset(out, list(distorted_photo_jobs(usable, count, seed)))


@app.command()
def opinions(
    out: Out,
    data: Annotated[Path, typer.Argument(help="Folder of LIVE in the Wild: labels.csv and images/.")],
    held: Annotated[bool, typer.Option("--held", help="The quarter that is kept for measuring.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All photographs, for the last fit.")] = False,
    max_damaged_share: MaxDamagedShare = DEFAULT_MAX_DAMAGED_SHARE,
    check: Check = False,
) -> None:
    """Write a dataset of photographs with mean opinions of people."""
    from eval.cli.errors import one_line_errors
    from finetune.photos.dataset import write_photo_dataset
    from finetune.photos.image_jobs import rated_photo_jobs, usable_rated_photos

    with one_line_errors():
        if held and every:
            raise InputError("--held", "with --all", "one of the two", "leave one of them out")
        held_out = None if every else held
        rated = usable_rated_photos(data, held_out, max_damaged_share)
        if check:
            _print_usable(len(rated))
            return
        write_photo_dataset(out, list(rated_photo_jobs(rated, held_out)))


@app.command()
def scenes(out: Out, count: Count = 700, seed: Seed = 71) -> None:
    """Write a dataset of drawn scenes, so that the adapter does not forget them."""
    from eval.cli.errors import one_line_errors
    from finetune.photos.dataset import write_photo_dataset
    from finetune.photos.image_jobs import scene_jobs

    with one_line_errors():
        write_photo_dataset(out, list(scene_jobs(count, seed)))


@app.command()
def strengths(
    out: Out,
    photos: Photos,
    count: Count = 24000,
    seed: Seed = 5,
    areas: Annotated[bool, typer.Option("--areas", help="Distort areas instead of whole images.")] = False,
    max_damaged_share: MaxDamagedShare = DEFAULT_MAX_DAMAGED_SHARE,
    check: Check = False,
) -> None:
    """Write the measures of distorted photographs for `estimates`, without the images."""
    from eval.cli.errors import one_line_errors
    from finetune.photos import image_jobs
    from finetune.photos.dataset import write_photo_dataset

    with one_line_errors():
        usable = image_jobs.usable_photos(image_jobs.find_images(photos), max_damaged_share)
        if check:
            _print_usable(len(usable))
            return
        shares = image_jobs.AREA_SHARES if areas else image_jobs.WHOLE_SHARES
        jobs = image_jobs.distorted_photo_jobs(usable, count, seed, shares, recompressed=True)
        write_photo_dataset(out, list(jobs), keep_images=False)


@app.command()
def pictures(
    out: Out,
    data: Annotated[Path, typer.Argument(help="Folder with clive_train (LIVE in the Wild) and bsds500.")],
    photos: Annotated[int, typer.Option(min=1, help="Number of distorted photographs.")] = 2500,
    parts: Annotated[int, typer.Option(min=0, help="Number of crops of each rated photograph.")] = 9,
    drawn: Annotated[int, typer.Option(min=1, help="Number of drawn scenes for measuring.")] = 300,
    extra: Annotated[
        list[Path] | None, typer.Option(help="More folders of images to distort, for example generated ones.")
    ] = None,
    extra_count: Annotated[int, typer.Option(min=1, help="Number of images made from --extra.")] = 500,
    seed: Seed = 1,
    max_damaged_share: MaxDamagedShare = DEFAULT_MAX_DAMAGED_SHARE,
    check: Check = False,
) -> None:
    """Write image files for a student; see `judge finetune distill`."""
    from eval.cli.errors import one_line_errors
    from finetune.photos.image_jobs import find_images
    from finetune.photos.student_images import read_photographs, write_student_images

    def print_progress(done: int) -> None:
        if done % 1000 == 0:
            typer.echo(f"{done} images", err=True)

    with one_line_errors():
        if check:
            _print_usable(sum(len(part) for part in read_photographs(data, max_damaged_share)))
            return
        write_student_images(
            out,
            data,
            photos=photos,
            crops=parts,
            scenes=drawn,
            extra=(find_images(extra), extra_count) if extra else None,
            seed=seed,
            tick=print_progress,
            max_damaged_share=max_damaged_share,
        )


@app.command()
def estimates(
    opinions: Annotated[Path, typer.Option(help="Dataset of photographs with opinions.")],
    pools: Annotated[
        list[Path] | None,
        typer.Argument(help="Datasets of `strengths`. Without any, strengths are estimated as before."),
    ] = None,
    distorted: Annotated[
        list[Path] | None, typer.Option(help="Datasets of `pool`: how distortions change an opinion.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="First print how well opinions are estimated. Takes minutes.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Fit the estimators of judge/evidence/facts.py, and write them into the package."""
    from eval.cli.errors import one_line_errors
    from finetune.photos.dataset import PhotoDataset
    from finetune.photos.estimators import fit_estimators, measure_opinions

    with one_line_errors():
        strengths = [PhotoDataset(folder, load_images=False) for folder in pools or ()]
        changes, rated = [PhotoDataset(folder) for folder in distorted or ()], PhotoDataset(opinions)
        if measure:
            value = measure_opinions(rated, changes)
            interval = f" ({value.interval.low:.3f} to {value.interval.high:.3f})" if value.interval else ""
            typer.echo(f"opinions, nested cross-validation: SRCC {value.value:.3f}{interval}")
        fit_estimators(strengths, rated, changes, seed=seed)


@app.command()
def train(
    pools: Pools,
    held: Annotated[Path, typer.Option(help="Dataset to measure on. It is never trained on.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, log and result.")],
    start: Annotated[Path | None, typer.Option(help="Adapter to start from. Default: a new one.")] = None,
    init: Base = BASE,
    minutes: float = 12,
    steps: Annotated[int, typer.Option(help="Length of the schedule in steps. 0: use --minutes.")] = 0,
    lr: float = 1.5e-3,
    batch: int = 32,
    rank: int = 32,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    measure_every: float = 4.0,
) -> None:
    """Train a LoRA adapter on the language layers, from datasets of any source."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.nano.cli import run_workers
        from finetune.nano.trainer import TrainingSettings
        from finetune.photos.adapter_training import cache_features, train_photo_adapter
        from finetune.photos.dataset import PhotoDataset

        for folder in (*pools, held):
            PhotoDataset(folder)  # report a bad one before anything starts
        if start is not None and not (start / "adapter_config.json").is_file():
            raise InputError("start", str(start), "a folder with adapter_config.json", "name an adapter")
        if not (init / "config.json").is_file():
            raise InputError("init", str(init), "a checkpoint's folder", "name one that has config.json")
        settings = TrainingSettings(
            pools, init, held, out, minutes, lr, batch, seed, measure_every, max_text_tokens=420, steps=steps
        )
        cache_features(settings)
        run_workers(train_photo_adapter, workers, settings, rank, start)


@app.command()
def ship(adapter: Path, out: Annotated[Path, typer.Option()] = BASE.parent) -> None:
    """Add the adapter for the rubric `quality` to the embedded judge."""
    from eval.cli.errors import one_line_errors

    with one_line_errors():
        from finetune.nano.export import export_rubric_adapter

        export_rubric_adapter(adapter, out, "quality")


if __name__ == "__main__":
    app()
