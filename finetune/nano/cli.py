"""Commands that train the embedded judge: `python -m finetune.nano --help`, steps in finetune/README.md."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from finetune.nano.data.scene_dataset import write_scene_dataset
from judge.scenes.scene import DEFECT_SHARES

app = typer.Typer(
    help="Train the embedded judge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

NANO = Path("judge/assets/nano")
DETECTOR = Path("judge/assets/drawings.safetensors")
CORPUS_SCENES = 1500
"""Scenes whose texts the tokenizer is trained on."""


def _check_scene_dataset(path: Path | list[Path] | None) -> Path | list[Path] | None:
    for folder in path if isinstance(path, list) else [path] if path else []:
        if not (folder / "facts.pkl").is_file():
            raise typer.BadParameter(
                f"{folder}: no complete dataset of scenes; write one with `pool {folder}`"
            )
    return path


def _check_model(path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise typer.BadParameter(f"{path}: no model folder (it has no config.json); write one with `init`")
    return path


def _check_adapter(path: Path | None) -> Path | None:
    if path is not None and not (path / "adapter_config.json").is_file():
        raise typer.BadParameter(f"{path}: no adapter (it has no adapter_config.json); name its folder")
    return path


def _check_clip_dataset(path: Path | list[Path]) -> Path | list[Path]:
    for folder in path if isinstance(path, list) else [path]:
        if not any(folder.glob("*.pkl")):
            raise typer.BadParameter(f"{folder}: no dataset of clips; write one with `clips {folder}`")
    return path


Pools = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Datasets to train on, as `pool` writes them. Default: new scenes.",
        callback=_check_scene_dataset,
    ),
]
Pool = Annotated[Path, typer.Argument(help="A dataset, as `pool` writes it.", callback=_check_scene_dataset)]
Init = Annotated[Path, typer.Option(help="Model folder to start from.", callback=_check_model)]
Held = Annotated[
    Path,
    typer.Option(help="Dataset to measure on. It is never trained on.", callback=_check_scene_dataset),
]
Out = Annotated[Path, typer.Option(help="Folder of checkpoints, log and result.")]
Course = Literal["sight", "damage"]
Steps = Annotated[int, typer.Option(help="Length of the schedule in steps. 0: use --minutes.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that train on CPUs. 0: one with a GPU, else two.")
]
Loaders = Annotated[
    int | None,
    typer.Option(
        min=0, help="Processes that prepare batches. Default: all cores but one with a GPU, else none."
    ),
]
Visits = Annotated[int, typer.Option(min=1, help="How often each new scene is shown, with other tasks.")]
Varied = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Share of scenes without grain, and of scenes with a painted text. Neither changes a label.",
    ),
]


@app.command()
def pool(
    out: Path,
    count: Annotated[int, typer.Option(min=1)] = 40_000,
    seed: int = 1,
    workers: int = 0,
    flaws: Annotated[
        tuple[float, float, float, float], typer.Option(help="Shares of scenes with 0, 1, 2 and 3 defects.")
    ] = DEFECT_SHARES,
    varied: Varied = 0.0,
) -> None:
    """Draw a dataset of scenes."""
    if min(flaws) < 0 or not sum(flaws):
        raise typer.BadParameter(f"{flaws}: shares are 0 or more, and not all 0", param_hint="--flaws")
    write_scene_dataset(
        out, count=count, seed=seed, workers=workers or None, defect_shares=flaws, varied=varied
    )


@app.command()
def init(pool: Pool, out: Path, seed: int = 0) -> None:
    """Train the tokenizer on texts about a dataset's scenes, and write it with a random model."""
    from finetune.nano.network import NetworkSize

    model = _write_initial_model(pool, out, NetworkSize(), seed)
    vision = sum(p.numel() for p in model.model.visual.parameters())
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {vision / 1e6:.2f} M vision")


def _write_initial_model(dataset: Path, out: Path, size: Any, seed: int) -> Any:
    from finetune.nano.network import build_model, save_processor
    from finetune.nano.tasks import tokenizer_corpus
    from finetune.nano.tokenizer import build_tokenizer

    facts = pickle.loads((dataset / "facts.pkl").read_bytes())
    tokenizer = build_tokenizer(tokenizer_corpus(facts[:CORPUS_SCENES]), size.vocabulary)
    model = build_model(tokenizer, size, seed)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    save_processor(tokenizer, out)
    return model


@app.command()
def grow(
    init: Annotated[Path, typer.Argument(callback=_check_model)], out: Path, vision_depth: int = 8
) -> None:
    """Add vision blocks to a trained model, for more pre-training. At first they change nothing."""
    import torch

    from finetune.nano import network  # before transformers: it patches what transformers imports
    from transformers import AutoModelForImageTextToText  # isort: skip

    model = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.bfloat16)
    if vision_depth < model.config.vision_config.depth:
        raise typer.BadParameter(
            f"{vision_depth}: the model has {model.config.vision_config.depth} already",
            param_hint="--vision-depth",
        )
    network.add_vision_blocks(model, vision_depth).save_pretrained(out)
    network.copy_processor_files(init, out)


@app.command()
def pretrain(
    init: Init,
    held: Held,
    out: Out,
    pools: Pools = None,
    minutes: float = 60,
    steps: Steps = 0,
    lr: float = 2e-3,
    batch: int = 24,
    seed: int = 0,
    measure_every: float = 5.0,
    workers: Workers = 0,
    loaders: Loaders = None,
    varied: Varied = 0.0,
    visits: Visits = 1,
    course: Annotated[
        Course, typer.Option(help="Tasks: sight (from random weights), or damage (mostly damage).")
    ] = "sight",
) -> None:
    """Train to describe, locate, count, check and find damage, from random weights or an earlier phase."""
    from finetune.nano.pretraining import pretrain as run

    text_tokens = {"sight": 208, "damage": 256}[course]
    settings = _settings(
        pools, init, held, out, minutes, lr, batch, seed, measure_every, text_tokens, steps=steps,
        varied=varied, visits=visits,
    )  # fmt: skip
    run_workers(run, _share_machine(settings, workers, loaders), settings, course)


@app.command()
def adapt(
    init: Init,
    held: Held,
    out: Out,
    pools: Pools = None,
    minutes: float = 15,
    steps: Steps = 0,
    lr: float = 2e-3,
    batch: int = 24,
    seed: int = 0,
    measure_every: float = 3.0,
    workers: Workers = 0,
    loaders: Loaders = None,
    varied: Varied = 0.0,
    visits: Visits = 1,
    rank: Annotated[int, typer.Option(help="Rank of a new adapter.")] = 32,
    adapter: Annotated[
        Path | None,
        typer.Option(help="Adapter to continue from. Default: a new one.", callback=_check_adapter),
    ] = None,
    tower: Annotated[bool, typer.Option("--tower", help="Train the vision tower's layers, too.")] = False,
) -> None:
    """Train a LoRA adapter for judging on a pre-trained base: the rubrics' forms, at both depths."""
    from finetune.nano.adapter_training import train_adapter

    settings = _settings(
        pools, init, held, out, minutes, lr, batch, seed, measure_every, 420, steps=steps,
        varied=varied, visits=visits,
    )  # fmt: skip
    workers = _share_machine(settings, workers, loaders)
    run_workers(train_adapter, workers, settings, rank, adapter, tower)


def _settings(pools: list[Path] | None, *arguments: Any, **keywords: Any) -> Any:
    """Return the `TrainingSettings`. Options about new scenes are refused beside datasets."""
    from finetune.nano.trainer import TrainingSettings

    settings = TrainingSettings(pools or [], *arguments, **keywords)
    for option in ("varied", "visits"):
        value = getattr(settings, option)
        if pools and value != getattr(TrainingSettings, option):
            raise typer.BadParameter(
                f"{value}: it is about new scenes, and {pools[0]} is given", param_hint=f"--{option}"
            )
    return settings


def _share_machine(settings: Any, workers: int, loaders: int | None) -> int:
    """Decide who does what: training on a GPU by one process, or on CPUs by some, and preparing batches.

    Args:
        settings: a `TrainingSettings`; gets `loaders`.
        workers: as asked for; 0: open.
        loaders: as asked for; None: open.

    Returns:
        The number of workers.

    Raises:
        typer.BadParameter: more than one worker on a GPU.
    """
    import torch

    gpu = torch.cuda.is_available()
    if gpu and workers > 1:
        raise typer.BadParameter(
            f"{workers}: one process trains on the GPU; --loaders are what it waits for",
            param_hint="--workers",
        )
    settings.loaders = (max(1, (os.cpu_count() or 1) - 1) if gpu else 0) if loaders is None else loaders
    return workers or (1 if gpu else 2)


@app.command()
def clips(
    out: Path,
    count: int = 2400,
    pictures: Annotated[
        int, typer.Option(help="Number of clips (the first ones) whose frames are encoded.")
    ] = 150,
    seed: int = 5,
    base: Annotated[Path, typer.Option(callback=_check_model)] = NANO / "base",
    workers: int = 2,
) -> None:
    """Draw a dataset of clips, with the features of the base's vision tower."""
    from finetune.nano.video.clip_dataset import write_clip_dataset

    write_clip_dataset(out, base, count=count, encoded=pictures, seed=seed, workers=workers)


@app.command()
def adapt_video(
    pools: Annotated[
        list[Path],
        typer.Argument(help="Datasets to train on, as `clips` writes them.", callback=_check_clip_dataset),
    ],
    out: Out,
    held: Annotated[Path, typer.Option(help="Dataset of clips to measure on.", callback=_check_clip_dataset)],
    init: Annotated[Path, typer.Option(help="Folder of the embedded judge.")] = NANO,
    minutes: float = 20,
    steps: Steps = 0,
    lr: float = 1.5e-3,
    batch: int = 16,
    seed: int = 0,
    measure_every: float = 4.0,
    workers: int = 2,
) -> None:
    """Train a LoRA adapter for the rubric `video`, starting from the adapter for images."""
    from finetune.nano.trainer import TrainingSettings
    from finetune.nano.video.adapter_training import train_video_adapter

    settings = TrainingSettings(pools, init, held, out, minutes, lr, batch, seed, measure_every, steps=steps)
    run_workers(train_video_adapter, workers, settings)


def run_workers(train: Callable[..., None], workers: int, settings: Any, *arguments: Any) -> None:
    """Run a training in several processes, or in this one if there is one worker only.

    Args:
        train: called with rank, workers, settings and the arguments.
        workers: number of processes.
        settings: a `TrainingSettings`.
        *arguments: further arguments of `train`.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        train(0, 1, settings, *arguments)
    else:
        import socket

        from torch.multiprocessing.spawn import spawn

        with socket.socket() as free:  # a free port, so that two trainings on one machine do not collide
            free.bind(("127.0.0.1", 0))
            settings.port = free.getsockname()[1]
        spawn(train, (workers, settings, *arguments), workers)


@app.command()
def export(state: Path, init: Path, out: Path) -> None:
    """Write the model of a pre-training state (`RUN/state0.pt`), finished or not."""
    import torch
    from transformers import AutoModelForImageTextToText

    from finetune.nano.network import copy_processor_files

    model = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.float32)
    masters = torch.load(state, weights_only=True)["team"]["masters"]
    with torch.no_grad():
        for p, value in zip(model.parameters(), masters, strict=False):  # the auxiliary heads come last
            p.copy_(value)
    model.save_pretrained(out)
    copy_processor_files(init, out)


@app.command()
def ship(base: Path, adapter: Path, out: Annotated[Path, typer.Option()] = NANO) -> None:
    """Write the base (as bfloat16) and its adapter where the package looks for the embedded judge."""
    from finetune.nano.export import export_judge

    export_judge(base, adapter, out)


@app.command()
def ship_adapter(adapter: Path, out: Annotated[Path, typer.Option()] = NANO) -> None:
    """Replace the embedded judge's own adapter by another one of the same base."""
    from eval.cli.errors import one_line_errors
    from finetune.nano.export import export_adapter

    with one_line_errors():
        export_adapter(adapter, out)


@app.command()
def ship_video(adapter: Path, out: Annotated[Path, typer.Option()] = NANO) -> None:
    """Add an adapter for the rubric `video` to the embedded judge."""
    from eval.cli.errors import one_line_errors
    from finetune.nano.export import export_rubric_adapter

    with one_line_errors():
        export_rubric_adapter(adapter, out, "video")


@app.command()
def ship_look(adapter: Path, out: Annotated[Path, typer.Option()] = NANO) -> None:
    """Add an adapter for closer looks to the embedded judge."""
    from eval.cli.errors import one_line_errors
    from finetune.nano.export import export_rubric_adapter

    with one_line_errors():
        export_rubric_adapter(adapter, out, "default-look")


@app.command()
def domain(
    photos: Annotated[list[Path], typer.Option(help="Folder of photographs; may be repeated.")],
    generated: Annotated[list[Path], typer.Option(help="Folder of images of generators; may be repeated.")],
    icons: Annotated[
        list[Path], typer.Option(help="icons.json of an npm package @iconify-json/NAME; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = DETECTOR,
    count: Annotated[int, typer.Option(min=100, help="Number of drawings, and of other images.")] = 11_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Fit the detector that tells drawings from all other images, outside of which the judge abstains."""
    from eval.cli.errors import one_line_errors
    from finetune.nano.domain.detector import compute_features, fit_detector, write_detector
    from finetune.nano.domain.samples import find_sources, make_dataset

    with one_line_errors():
        images, is_drawing = make_dataset(count, find_sources(photos, generated, icons), seed)
    tensors = fit_detector(compute_features(images), is_drawing, seed)
    write_detector(tensors, [path.name for path in (*photos, *generated)], out)


@app.command()
def smoke(out: Path, seed: int = 0) -> None:
    """Run the whole chain at a small size, and print measures on held-out scenes with constant answers.

    In a minute and a half on two cores the base learns to name colors. Checking statements takes longer.
    """
    from finetune.nano.export import export_judge
    from finetune.nano.network import NetworkSize

    start = time.monotonic()
    for name, count, number in (("pool", 800, 1), ("held", 100, 2)):
        write_scene_dataset(out / name, count=count, seed=1000 * seed + number)
    size = NetworkSize(vision_width=64, vision_depth=2, width=128, depth=4, mlp_width=256)
    _write_initial_model(out / "pool", out / "init", size, seed)
    common: dict[str, Any] = {"held": out / "held", "seed": seed, "measure_every": 60.0, "batch": 12}
    pretrain(out / "init", pools=[out / "pool"], out=out / "base", steps=250, lr=3e-3, **common)
    adapt(out / "base/model", pools=[out / "pool"], out=out / "judge", steps=12, **common)
    export_judge(out / "base/model", out / "judge/adapter", out / "nano")
    last = json.loads((out / "base/log.jsonl").read_text().splitlines()[-1])["held_out"]
    print(json.dumps({**last, "seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    app()
