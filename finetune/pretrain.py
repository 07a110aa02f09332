"""Teach a nano Qwen-VL from random weights to describe, locate, count, check and find damage.

    python -m finetune.nano pretrain POOL... --init INIT --out RUN --minutes 60
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from finetune import tasks
from finetune.batches import Batch, Pool, Visits
from finetune.losses import Answers, Helps, forward, tallies
from finetune.network import Trunk
from finetune.scenes import Facts

HELPS = {"kind": 0.5, "color": 0.5, "defect": 0.6, "globals": 0.25, "edges": 0.5, "place": 0.25, "centre": 0.3, "kind word": 0.5, "color word": 0.4}
ATTENTION = 0.3


def plan(r: Random, facts: Facts, progress: float) -> list[tasks.Task]:
    """Questions of one visit: at first mostly what is where, later mostly statements and damage."""
    early = max(0.0, 1 - progress / 0.5)
    out = [tasks.check(r, facts, plain=0.9 * early)]
    if r.random() < 0.35 + 0.5 * early:
        out.append(tasks.describe(r, facts))
    if r.random() < 0.8:
        out.append(tasks.damage(r, facts))
    if r.random() < 0.35:
        out.append(tasks.count(r, facts))
    if r.random() < 0.3:
        out.append(tasks.locate(r, facts))
    if r.random() > early:
        out.append(tasks.check(r, facts))
    return out


@dataclass
class Settings:
    """One training."""

    pools: list[Path]
    init: Path
    held: Path
    out: Path
    minutes: float
    lr: float
    batch: int
    """Pictures a step, all workers together."""
    seed: int = 0
    measure_every: float = 5.0
    """Minutes between checkpoints."""
    longest: int = 208
    """Most text tokens about one picture."""
    port: int = 29517


@dataclass
class Clock:
    """Training time without pauses, kept over restarts."""

    limit: float
    """Seconds."""
    spent: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self._since

    @property
    def progress(self) -> float:
        return min(1.0, self.seconds / self.limit)

    def resume(self, spent: float) -> None:
        self.spent, self._since = spent, time.monotonic()


def rate(progress: float, step: int, warm: int = 100, hold: float = 0.35) -> float:
    """Learning rate factor: a linear start, a plateau, a cosine to 1 %."""
    decay = 1.0 if progress < hold else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))
    return min(1.0, (step + 1) / warm) * decay


class Team:
    """Workers of one thread each that average their gradients: on a few cores faster than one process of
    several threads, because they meet once a step and not once an operation.

    The live parameters may be bfloat16; the optimisers work on float32 masters. Muon's matrices are shared
    out among the workers, each updating its own and giving the result to the others.
    """

    def __init__(self, modules: Sequence[nn.Module], lr: float, rank: int = 0, workers: int = 1, *, plain: bool = False) -> None:
        self.rank, self.workers, self.lr = rank, workers, lr
        named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
        self.live = [p for _, p in named]
        self.masters = [nn.Parameter(p.detach().float().clone()) for p in self.live]
        # The mergers' square matrices are as costly to orthogonalise as all the rest together: they stay with AdamW.
        matrix = [not plain and p.ndim == 2 and ("blocks." in n or "layers." in n) for n, p in named]
        self.shared = [m for m, yes in zip(self.masters, matrix, strict=True) if yes]
        mine = self.shared[rank::workers]
        rest = [m for m, yes in zip(self.masters, matrix, strict=True) if not yes]
        self.optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]
        if mine:
            self.optimizers.append(torch.optim.Muon(mine, lr=lr, weight_decay=0.03, adjust_lr_fn="match_rms_adamw"))

    def step(self, factor: float, progress: float) -> float:
        """Average gradients, clip them to norm 1 and update; returns the team's mean progress."""
        flat = torch.cat([*(p.grad.float().flatten() if p.grad is not None else torch.zeros(p.numel()) for p in self.live), torch.tensor([progress])])
        if self.workers > 1:
            dist.all_reduce(flat)
            flat /= self.workers
        together, grads = float(flat[-1]), flat[:-1]
        grads *= min(1.0, 1.0 / (float(grads.norm()) + 1e-6))
        for master, grad in zip(self.masters, grads.split([m.numel() for m in self.masters]), strict=True):
            master.grad = grad.view_as(master)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * factor
            optimizer.step()
        if self.workers > 1 and self.shared:
            own = {id(m) for m in self.shared[self.rank :: self.workers]}
            flat = torch.cat([m.detach().flatten() if id(m) in own else torch.zeros(m.numel()) for m in self.shared])
            dist.all_reduce(flat)
            for master, value in zip(self.shared, flat.split([m.numel() for m in self.shared]), strict=True):
                master.data.copy_(value.view_as(master))
        with torch.no_grad():
            for p, master in zip(self.live, self.masters, strict=True):
                p.copy_(master)
                p.grad = None
        return together

    def state(self) -> dict[str, Any]:
        return {"masters": [m.detach() for m in self.masters], "optimizers": [o.state_dict() for o in self.optimizers]}

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for p, master, value in zip(self.live, self.masters, state["masters"], strict=True):
                master.copy_(value)
                p.copy_(value)
        for o, saved in zip(self.optimizers, state["optimizers"], strict=True):
            o.load_state_dict(saved)

    def masters_into(self, modules: Sequence[nn.Module]) -> None:
        """Put the float32 masters into the modules, which become float32."""
        for module in modules:
            module.float()
        with torch.no_grad():
            for p, master in zip(self.live, self.masters, strict=True):
                p.data = master.data.clone()


class Log:
    """A line every half minute, on the terminal and in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.last, self.sums, self.hits = path, time.monotonic(), dict[str, list[float]](), dict[str, list[int]]()

    def add(self, losses: dict[str, float], hits: dict[str, tuple[int, int]]) -> None:
        for name, value in losses.items():
            self.sums.setdefault(name, []).append(value)
        for name, (right, of) in hits.items():
            total = self.hits.setdefault(name, [0, 0])
            total[0], total[1] = total[0] + right, total[1] + of

    def due(self) -> bool:
        return time.monotonic() - self.last > 30

    def write(self, **more: Any) -> None:
        self.last = time.monotonic()
        row = {**more, **{n: round(sum(v) / len(v), 3) for n, v in self.sums.items()}}
        row["right"] = {n: round(a / b, 3) for n, (a, b) in self.hits.items()}
        self.sums, self.hits = {}, {}
        line = json.dumps(row)
        print(line, flush=True)
        with self.path.open("a") as f:
            f.write(line + "\n")


@torch.inference_mode()
def measure(trunk: Trunk, answers: Answers, batches: Iterable[Batch]) -> dict[str, float]:
    """Share of right tokens per tag on held-out pictures, with the answer so far given."""
    total: dict[str, list[int]] = {}
    for batch in batches:
        _, hits, tags, _ = forward(trunk, batch, trunk.see(batch.pictures), answers, probe=False)
        for name, (right, of) in tallies(hits, tags).items():
            t = total.setdefault(name, [0, 0])
            t[0], t[1] = t[0] + right, t[1] + of
    return {n: round(a / b, 4) for n, (a, b) in total.items()}


def held_out(folder: Path, tokenizer: Any, count: int, plan: Any, *, longest: int, size: int = 30) -> list[Batch]:
    """Fixed batches of held-out pictures with fixed questions."""
    visits = Visits([folder], tokenizer, plan, size=size, longest=longest, seed=7, ground=False)
    pool, r = Pool(folder), Random(7)
    return [visits.batch([(pool, i) for i in range(k, k + size)], r, 1.0) for k in range(0, min(count, len(pool)), size)]


def pretrain(rank: int, workers: int, settings: Settings) -> None:
    """Train for `settings.minutes`; the state is saved every few minutes and taken up again if present."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    join(rank, workers, settings.port)
    out, size = settings.out, settings.batch // workers
    model = AutoModelForImageTextToText.from_pretrained(settings.init, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(settings.init)
    visits = Visits(settings.pools, tokenizer, plan, size=size, longest=settings.longest, seed=settings.seed * 100 + rank)
    trunk, answers = Trunk(model, visits.writer.prefix), Answers(tokenizer, model.config.text_config.vocab_size)
    helps = Helps(model.config.vision_config.hidden_size, model.config.text_config.hidden_size, tokenizer)
    team, clock, log, step = Team([model, helps], settings.lr, rank, workers), Clock(settings.minutes * 60), Log(out / "log.jsonl"), 0
    state = out / f"state{rank}.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        team.load(saved["team"])
        step = saved["step"]
        visits.seed += 1000 * step  # not the same visits again
        clock.resume(saved["seconds"])
    check = held_out(settings.held, tokenizer, 300, plan, longest=settings.longest) if rank == 0 else []
    due, progress = clock.seconds + settings.measure_every * 60, clock.progress
    for batch in visits:
        losses, hits = train_step(trunk, answers, helps, batch, less=0.5 if progress > 0.5 else 1.0)
        progress = team.step(rate(progress, step), clock.progress)
        visits.progress, step = progress, step + 1
        log.add(losses, hits)
        if rank == 0 and log.due():
            seen = step * size * workers
            log.write(minute=round(clock.seconds / 60, 1), step=step, pictures=seen, per_second=round(seen / clock.seconds, 1))
        if progress * clock.limit > due or progress >= 1:
            due = progress * clock.limit + settings.measure_every * 60
            save(state, {"team": team.state(), "step": step, "seconds": clock.seconds})
            if rank == 0:
                pause = clock.seconds
                log.write(minute=round(pause / 60, 1), step=step, held_out=measure(trunk, answers, check))
                clock.resume(pause)
        if progress >= 1:
            break
    if rank == 0:
        team.masters_into([model, helps])
        model.save_pretrained(out / "model")
        tokenizer_files(settings.init, out / "model")


def train_step(trunk: Trunk, answers: Answers, helps: Helps, batch: Batch, less: float) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """Gradients of one batch; `less` scales the helps."""
    seen = trunk.see(batch.pictures)
    loss, hits, tags, (named, boxed) = forward(trunk, batch, seen, answers, probe=True)
    with torch.autocast("cpu", torch.bfloat16):
        extra = helps(batch, seen, trunk.order, trunk.language.embed_tokens.weight)
    total = loss + less * (ATTENTION * (named + boxed) + sum(HELPS[n] * v for n, v in extra.items()))
    total.backward()
    shown = {"loss": loss, "named": named, "boxed": boxed, **extra}
    return {n: float(v.detach()) for n, v in shown.items()}, tallies(hits, tags)


def join(rank: int, workers: int, port: int) -> None:
    """Take part in a team of single-threaded workers."""
    if workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)


def tokenizer_files(source: Path, out: Path) -> None:
    """Copy everything but the weights and their configuration."""
    for f in source.iterdir():
        if f.suffix in (".json", ".jinja", ".txt") and f.name not in ("config.json", "generation_config.json"):
            shutil.copy(f, out / f.name)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary name, then rename: a crash leaves the last state whole."""
    draft = path.with_suffix(".part")
    torch.save(state, draft)
    draft.rename(path)
