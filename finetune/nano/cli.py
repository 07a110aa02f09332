"""The embedded judge from an empty folder: `python -m finetune.nano --help`, steps in finetune/README.md."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from finetune.nano import pool as pools_of_scenes
from judge.scenes.scene import USUAL

app = typer.Typer(
    help="Train the embedded judge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _whole_pool(path: Path | list[Path]) -> Path | list[Path]:
    for folder in path if isinstance(path, list) else [path]:
        if not (folder / "facts.pkl").is_file():
            raise typer.BadParameter(f"{folder}: no pool of scenes; write one with `pool {folder}`")
    return path


def _model(path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise typer.BadParameter(f"{path}: no model folder (it has no config.json); write one with `init`")
    return path


Pools = Annotated[list[Path], typer.Argument(help="Folders written by `pool`.", callback=_whole_pool)]
Pool = Annotated[Path, typer.Argument(help="A folder written by `pool`.", callback=_whole_pool)]
Init = Annotated[Path, typer.Option(help="Model folder to start from.", callback=_model)]
Held = Annotated[Path, typer.Option(help="Pool that is measured on, never trained on.", callback=_whole_pool)]
Out = Annotated[Path, typer.Option(help="Folder of checkpoints, log and result.")]
Course = Literal["sight", "damage"]
Steps = Annotated[int, typer.Option(help="Length of the schedule in steps; 0: by --minutes.")]


@app.command()
def pool(
    out: Path,
    count: int = 40_000,
    seed: int = 1,
    workers: int = 0,
    flaws: Annotated[
        tuple[float, float, float, float], typer.Option(help="Shares of scenes with 0, 1, 2 and 3 defects.")
    ] = USUAL,
) -> None:
    """Draw a pool of scenes."""
    if min(flaws) < 0 or not sum(flaws):
        raise typer.BadParameter(f"{flaws}: shares are 0 or more, and not all 0", param_hint="--flaws")
    pools_of_scenes.build(out, count=count, seed=seed, workers=workers or None, flaws=flaws)


@app.command()
def init(pool: Pool, out: Path, seed: int = 0) -> None:
    """Train the tokenizer on texts about a pool's scenes and write a random model beside it."""
    from finetune.nano.network import Size

    model = _init(pool, out, Size(), seed)
    vision = sum(p.numel() for p in model.model.visual.parameters())
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {vision / 1e6:.2f} M vision")


def _init(pool: Path, out: Path, size: Any, seed: int) -> Any:
    from finetune.nano.network import build_model, save_processor
    from finetune.nano.tasks import corpus
    from finetune.nano.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(
        corpus(pickle.loads((pool / "facts.pkl").read_bytes())[:1500]), size.vocabulary
    )
    model = build_model(tokenizer, size, seed)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    save_processor(tokenizer, out)
    return model


@app.command()
def grow(init: Annotated[Path, typer.Argument(callback=_model)], out: Path, vision_depth: int = 8) -> None:
    """Add vision blocks to a trained model that change nothing yet, for a next leg of pre-training."""
    import torch

    from finetune.nano import network  # before transformers: it mends what that imports
    from finetune.nano.pretrain import tokenizer_files
    from transformers import AutoModelForImageTextToText  # isort: skip

    model = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.bfloat16)
    if vision_depth < model.config.vision_config.depth:
        raise typer.BadParameter(
            f"{vision_depth}: the model has {model.config.vision_config.depth} already",
            param_hint="--vision-depth",
        )
    network.grow(model, vision_depth).save_pretrained(out)
    tokenizer_files(init, out)


@app.command()
def pretrain(
    pools: Pools,
    init: Init,
    held: Held,
    out: Out,
    minutes: float = 60,
    steps: Steps = 0,
    lr: float = 2e-3,
    batch: int = 24,
    seed: int = 0,
    measure_every: float = 5.0,
    workers: int = 2,
    course: Annotated[
        Course, typer.Option(help="What is asked: sight from nothing, or mostly damage.")
    ] = "sight",
) -> None:
    """Describe, locate, count, check and find damage, from random weights or those of an earlier leg."""
    from finetune.nano.pretrain import pretrain as run
    from finetune.nano.trainer import Settings

    longest = {"sight": 208, "damage": 256}[course]
    settings = Settings(
        pools, init, held, out, minutes, lr, batch, seed, measure_every, longest=longest, steps=steps
    )
    spawn(run, workers, settings, course)


@app.command()
def adapt(
    pools: Pools,
    init: Init,
    held: Held,
    out: Out,
    minutes: float = 15,
    steps: Steps = 0,
    lr: float = 2e-3,
    batch: int = 24,
    seed: int = 0,
    measure_every: float = 3.0,
    workers: int = 2,
    rank: int = 32,
) -> None:
    """LoRA for judging on a pre-trained base: the rubrics' forms, both depths."""
    from finetune.nano.adapt import adapt as run
    from finetune.nano.trainer import Settings

    settings = Settings(
        pools, init, held, out, minutes, lr, batch, seed, measure_every, longest=420, steps=steps
    )
    spawn(run, workers, settings, rank)


@app.command()
def clips(
    out: Path,
    count: int = 2400,
    pictures: Annotated[int, typer.Option(help="Clips that the tower looks at, the first ones.")] = 150,
    seed: int = 5,
    base: Annotated[Path, typer.Option(callback=_model)] = Path("judge/assets/nano/base"),
    workers: int = 2,
) -> None:
    """Draw a pool of clips, as the base's vision tower sees them."""
    from finetune.nano.clips import build

    build(out, base, count=count, pictures=pictures, seed=seed, workers=workers)


def _whole_clips(path: Path | list[Path]) -> Path | list[Path]:
    for folder in path if isinstance(path, list) else [path]:
        if not any(folder.glob("*.pkl")):
            raise typer.BadParameter(f"{folder}: no pool of clips; write one with `clips {folder}`")
    return path


@app.command()
def adapt_video(
    pools: Annotated[list[Path], typer.Argument(help="Folders written by `clips`.", callback=_whole_clips)],
    out: Out,
    held: Annotated[Path, typer.Option(help="Clips that are measured on.", callback=_whole_clips)],
    init: Annotated[Path, typer.Option(help="Folder of the embedded judge.")] = Path("judge/assets/nano"),
    minutes: float = 20,
    steps: Steps = 0,
    lr: float = 1.5e-3,
    batch: int = 16,
    seed: int = 0,
    measure_every: float = 4.0,
    workers: int = 2,
) -> None:
    """LoRA for the rubric `video`, begun as the adapter for pictures."""
    from finetune.nano.adapt_video import adapt as run
    from finetune.nano.trainer import Settings

    settings = Settings(pools, init, held, out, minutes, lr, batch, seed, measure_every, steps=steps)
    spawn(run, workers, settings)


def spawn(run: Any, workers: int, settings: Any, *more: Any) -> None:
    settings.out.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        run(0, 1, settings, *more)
    else:
        import socket

        from torch.multiprocessing.spawn import spawn as start

        with socket.socket() as free:  # two trainings on one machine must not meet
            free.bind(("127.0.0.1", 0))
            settings.port = free.getsockname()[1]
        start(run, (workers, settings, *more), workers)


@app.command()
def export(state: Path, init: Path, out: Path) -> None:
    """Write the model of a pre-training state (`RUN/state0.pt`), finished or not."""
    import torch
    from transformers import AutoModelForImageTextToText

    from finetune.nano.pretrain import tokenizer_files

    model = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.float32)
    masters = torch.load(state, weights_only=True)["team"]["masters"]
    with torch.no_grad():
        for p, value in zip(model.parameters(), masters, strict=False):  # the training heads follow the model
            p.copy_(value)
    model.save_pretrained(out)
    tokenizer_files(init, out)


@app.command()
def ship(base: Path, adapter: Path, out: Annotated[Path, typer.Option()] = Path("judge/assets/nano")) -> None:
    """Put base (bfloat16) and adapter where the package looks for the embedded judge."""
    from finetune.nano.export import ship as run

    run(base, adapter, out)


@app.command()
def ship_video(adapter: Path, out: Annotated[Path, typer.Option()] = Path("judge/assets/nano")) -> None:
    """Put an adapter for the rubric `video` beside the embedded judge."""
    from finetune.nano.export import ship_beside

    ship_beside(adapter, out, "video")


@app.command()
def ship_look(adapter: Path, out: Annotated[Path, typer.Option()] = Path("judge/assets/nano")) -> None:
    """Put an adapter for closer looks beside the embedded judge."""
    from finetune.nano.export import ship_beside

    ship_beside(adapter, out, "default-look")


@app.command()
def smoke(out: Path, seed: int = 0) -> None:
    """The whole chain in small; prints what its base gets right on held-out scenes, beside constant answers.

    In two and a half minutes of two cores it learns to name colours; which statements hold comes later. (At
    150 steps some seeds and processors had not begun to: .09 to .34, by 300 all had: .81 to .85.)
    """
    from finetune.nano.export import ship as run
    from finetune.nano.network import Size

    begun = time.monotonic()
    for name, count, number in (("pool", 1600, 1), ("held", 200, 2)):
        pools_of_scenes.build(out / name, count=count, seed=1000 * seed + number)
    _init(
        out / "pool",
        out / "init",
        Size(vision_width=128, vision_depth=4, width=128, depth=4, inner=384),
        seed,
    )
    common: dict[str, Any] = {"held": out / "held", "seed": seed, "measure_every": 60.0}
    pretrain([out / "pool"], out / "init", out=out / "base", steps=250, **common)
    adapt([out / "pool"], out / "base/model", out=out / "judge", steps=20, **common)
    run(out / "base/model", out / "judge/adapter", out / "nano")
    last = json.loads((out / "base/log.jsonl").read_text().splitlines()[-1])["held_out"]
    print(json.dumps({**last, "seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    app()
