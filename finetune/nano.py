"""The embedded judge from an empty folder: `python -m finetune.nano --help`, steps in finetune/README.md."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated

import torch
import typer

from judge.backends import _torchvision

_torchvision.mend()
app = typer.Typer(help="Train the embedded judge.", no_args_is_help=True, add_completion=False)

_Given = typer.Option(show_default=False)


@app.command()
def init(pool: Path, out: Path, *, seed: int = 0) -> None:
    """Train the tokenizer on texts about a pool's scenes and write a random model beside it."""
    from finetune.network import Size, build_model, save_processor
    from finetune.tasks import corpus
    from finetune.tokenizer import build_tokenizer

    facts = pickle.loads((pool / "facts.pkl").read_bytes())
    size = Size()
    tokenizer = build_tokenizer(corpus(facts[:1500]), size.vocabulary)
    model = build_model(tokenizer, size, seed)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    save_processor(tokenizer, out)
    n = sum(p.numel() for p in model.parameters())
    print(f"{n / 1e6:.2f} M parameters, {sum(p.numel() for p in model.model.visual.parameters()) / 1e6:.2f} M of them vision")


@app.command()
def pretrain(
    pools: list[Path],
    init: Annotated[Path, _Given],
    held: Annotated[Path, _Given],
    out: Annotated[Path, _Given],
    minutes: float = 60,
    lr: float = 2e-3,
    batch: int = 24,
    seed: int = 0,
    measure_every: float = 5.0,
    workers: int = 2,
) -> None:
    """Describe, locate, count, check and find damage, from random weights or those of an earlier leg."""
    from finetune.pretrain import Settings
    from finetune.pretrain import pretrain as run

    out.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(run, (workers, Settings(pools, init, held, out, minutes, lr, batch, seed, measure_every)), workers)


if __name__ == "__main__":
    app()
