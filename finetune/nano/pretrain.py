"""Teach a nano Qwen-VL from random weights to describe, locate, count, check and find damage.

python -m finetune.nano pretrain POOL... --init INIT --out RUN --minutes 60
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import torch

from finetune.nano import tasks
from finetune.nano.batches import Batch, Visits
from finetune.nano.losses import Answers, Helps, attention_losses, forward, tallies
from finetune.nano.network import Trunk
from finetune.nano.trainer import Settings, Team, held_out, join, live_dtype, measure, train
from judge.scenes import Facts

HELPS = {
    "kind": 0.5,
    "color": 0.5,
    "defect": 0.6,
    "globals": 0.25,
    "edges": 0.5,
    "place": 0.25,
    "centre": 0.3,
    "kind word": 0.5,
    "color word": 0.4,
    "defect word": 0.5,
    "noun place": 0.5,
    "noun count": 0.3,
    "gap": 0.5,
    "named": 0.3,
    "boxed": 0.3,
    "linked": 0.2,
}


def plan(r: Random, facts: Facts, progress: float) -> list[tasks.Task]:
    """Questions of one visit: at first mostly what is where, later mostly statements and damage."""
    early = max(0.0, 1 - progress / 0.5)
    out = [tasks.check(r, facts, plain=0.9 * early)]
    if r.random() < 0.35 + 0.5 * early:
        out.append(tasks.describe(r, facts))
    if r.random() < 0.8:
        out.append(tasks.damage(r, facts))
    if r.random() < 0.75:
        out.append(tasks.compare(r, facts))
    if r.random() < 0.3:
        out.append(tasks.count(r, facts))
    if r.random() < 0.2:
        out.append(tasks.locate(r, facts))
    return out


def second_plan(r: Random, facts: Facts, progress: float) -> list[tasks.Task]:
    """Questions of one visit once sight is learnt: damage always, of the whole and object by object."""
    out = [tasks.damage(r, facts), tasks.inspect(r, facts), tasks.report(r, facts)]
    if r.random() < 0.25:
        out.append(tasks.describe(r, facts))
    if r.random() < 0.35:
        out.append(tasks.compare(r, facts))
    return out


PLANS = {"sight": plan, "damage": second_plan}


def pretrain(rank: int, workers: int, settings: Settings, course: str = "sight") -> None:
    """Train for `settings.minutes`; the state is saved every few minutes and taken up again if present."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    join(rank, workers, settings.port)
    out, size, plan = settings.out, settings.batch // workers, PLANS[course]
    model = AutoModelForImageTextToText.from_pretrained(settings.init, dtype=live_dtype())
    tokenizer = AutoTokenizer.from_pretrained(settings.init)
    visits = Visits(
        settings.pools, tokenizer, plan, size=size, longest=settings.longest, seed=settings.seed * 100 + rank
    )
    trunk, answers = (
        Trunk(model, visits.writer.prefix),
        Answers(tokenizer, model.config.text_config.vocab_size),
    )
    helps = Helps(model.config.vision_config.hidden_size, model.config.text_config.hidden_size, tokenizer)
    team = Team([model, helps], settings.lr, rank, workers)
    check = held_out(settings.held, tokenizer, 300, plan, longest=settings.longest) if rank == 0 else []

    def step(batch: Batch, progress: float) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
        return gradients(trunk, answers, helps, batch, less=0.5 if progress > 0.5 else 1.0)

    train(team, visits, settings, step, lambda: measure(trunk, answers, check), warm=100)
    if rank == 0:
        team.masters_into([model, helps])
        model.save_pretrained(out / "model")
        tokenizer_files(settings.init, out / "model")


def gradients(
    trunk: Trunk, answers: Answers, helps: Helps, batch: Batch, less: float
) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """Leave the gradients of one batch in the parameters; `less` scales the helps."""
    seen = trunk.see(batch.pictures)
    run = forward(trunk, batch, seen, answers, probe=True)
    if run.probed is None:
        raise AssertionError("a probing pass probes")
    with torch.autocast("cpu", torch.bfloat16, enabled=live_dtype() == torch.bfloat16):
        extra = helps(batch, seen, run.probed, trunk.order, trunk.language.embed_tokens.weight)
    extra |= attention_losses(run.probed, batch)
    total = run.loss + less * sum(HELPS[n] * v for n, v in extra.items())
    total.backward()
    shown = {"loss": run.loss, **extra}
    return {n: float(v.detach()) for n, v in shown.items()}, tallies(run.hits, run.tags)


def tokenizer_files(source: Path, out: Path) -> None:
    """Copy everything but the weights and their configuration."""
    for f in source.iterdir():
        if f.suffix in (".json", ".jinja", ".txt") and f.name not in (
            "config.json",
            "generation_config.json",
        ):
            shutil.copy(f, out / f.name)
