"""The machinery of a training: a schedule, workers that average gradients, a log, checkpoints, measuring."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from finetune.nano.batches import STATEMENTS, TAGS, Batch, Pool, Visits
from finetune.nano.losses import Answers, forward, tallies
from finetune.nano.network import Trunk


@dataclass
class Settings:
    """One training."""

    pools: list[Path]
    init: Path
    held: Path
    out: Path
    minutes: float
    """Length of the schedule by the clock; see `steps`."""
    lr: float
    batch: int
    """Pictures a step, all workers together."""
    seed: int = 0
    measure_every: float = 5.0
    """Minutes between checkpoints."""
    longest: int = 208
    """Most text tokens about one picture."""
    steps: int = 0
    """Length of the schedule in steps instead of minutes, the same on any machine; 0: by the clock."""
    port: int = 0
    """Where the workers meet on this machine."""


def live_dtype() -> torch.dtype:
    """What parameters are held in while training: bfloat16 where the CPU has it, else float32. Without
    such instructions bfloat16 takes ten times as long (measured: 5 GFLOPS beside 49)."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


class Clock:
    """How far training has come: by its own time, pauses and earlier runs accounted for, or by steps."""

    def __init__(self, minutes: float, steps: int = 0) -> None:
        self.limit, self.steps = minutes * 60, steps
        self.step, self.spent, self._since = 0, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self._since

    @property
    def progress(self) -> float:
        return min(1.0, self.step / self.steps if self.steps else self.seconds / self.limit)

    def resume(self, seconds: float) -> None:
        """Go on counting from here: what passed since was no training."""
        self.spent, self._since = seconds, time.monotonic()


def rate(progress: float, step: int, warm: int, hold: float = 0.35) -> float:
    """Learning rate factor: a linear start, a plateau, a cosine to 1 %."""
    decay = (
        1.0
        if progress < hold
        else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))
    )
    return min(1.0, (step + 1) / warm) * decay


class Team:
    """Workers of one thread each that average their gradients: on a few cores faster than one process of
    several threads, because they meet once a step and not once an operation.

    The live parameters may be bfloat16; the optimisers work on float32 masters. Muon's matrices are shared
    out among the workers, each updating its own and giving the result to the others.
    """

    def __init__(
        self, modules: Sequence[nn.Module], lr: float, rank: int = 0, workers: int = 1, *, plain: bool = False
    ) -> None:
        self.rank, self.workers, self.lr = rank, workers, lr
        named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
        self.live = [p for _, p in named]
        self.masters = [nn.Parameter(p.detach().float().clone()) for p in self.live]
        # The mergers' square matrices are as costly to orthogonalise as all the rest together: AdamW's.
        matrix = [not plain and p.ndim == 2 and ("blocks." in n or "layers." in n) for n, p in named]
        self.shared = [m for m, yes in zip(self.masters, matrix, strict=True) if yes]
        mine = self.shared[rank::workers]
        rest = [m for m, yes in zip(self.masters, matrix, strict=True) if not yes]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        ]
        if mine:
            self.optimizers.append(
                torch.optim.Muon(mine, lr=lr, weight_decay=0.03, adjust_lr_fn="match_rms_adamw")
            )

    def step(self, factor: float, *shared: float) -> list[float]:
        """Average gradients, clip to norm 1 and update; returns the team's means of the shared numbers."""
        grads = [
            p.grad.float().flatten() if p.grad is not None else torch.zeros(p.numel()) for p in self.live
        ]
        flat = torch.cat([*grads, torch.tensor(shared)])
        if self.workers > 1:
            dist.all_reduce(flat)
            flat /= self.workers
        mean, told = flat[: -len(shared)], flat[-len(shared) :].tolist()
        mean *= min(1.0, 1.0 / (float(mean.norm()) + 1e-6))
        for master, grad in zip(self.masters, mean.split([m.numel() for m in self.masters]), strict=True):
            master.grad = grad.view_as(master)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * factor
            optimizer.step()
        if self.workers > 1 and self.shared:
            own = {id(m) for m in self.shared[self.rank :: self.workers]}
            flat = torch.cat(
                [m.detach().flatten() if id(m) in own else torch.zeros(m.numel()) for m in self.shared]
            )
            dist.all_reduce(flat)
            for master, value in zip(self.shared, flat.split([m.numel() for m in self.shared]), strict=True):
                master.data.copy_(value.view_as(master))
        with torch.no_grad():
            for p, master in zip(self.live, self.masters, strict=True):
                p.copy_(master)
                p.grad = None
        return told

    def state(self) -> dict[str, Any]:
        return {
            "masters": [m.detach() for m in self.masters],
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for p, master, value in zip(self.live, self.masters, state["masters"], strict=True):
                master.copy_(value)
                p.copy_(value)
        for o, saved in zip(self.optimizers, state["optimizers"], strict=True):
            o.load_state_dict(saved)

    def agree(self, step: int) -> int:
        """Give every worker the first one's masters and step: a crash may have come between their saves."""
        if self.workers == 1:
            return step
        flat = torch.cat([*(m.detach().flatten() for m in self.masters), torch.tensor([float(step)])])
        dist.broadcast(flat, 0)
        with torch.no_grad():
            values = flat[:-1].split([m.numel() for m in self.masters])
            for p, master, value in zip(self.live, self.masters, values, strict=True):
                master.copy_(value.view_as(master))
                p.copy_(master)
        return int(flat[-1])

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
        self.path, self.last, self.sums, self.hits = (
            path,
            time.monotonic(),
            dict[str, list[float]](),
            dict[str, list[int]](),
        )

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


Step = Callable[[Batch, float], tuple[dict[str, float], dict[str, tuple[int, int]]]]
"""Leaves gradients of a batch at a progress 0..1; returns what to log: losses, and right answers by tag."""


def train(
    team: Team,
    visits: Visits,
    settings: Settings,
    step: Step,
    held: Callable[[], dict[str, float]],
    *,
    warm: int,
) -> None:
    """Run the schedule to its end. The state is saved every few minutes and taken up again if present."""
    out, workers = settings.out, team.workers
    clock, log, state = (
        Clock(settings.minutes, settings.steps),
        Log(out / "log.jsonl"),
        out / f"state{team.rank}.pt",
    )
    if state.exists():
        saved = torch.load(state, weights_only=True)
        team.load(saved["team"])
        clock.step = team.agree(saved["step"])
        visits.seed += 1000 * clock.step  # not the same visits again
        clock.resume(saved["seconds"])
    due, progress = math.inf, clock.progress
    for batch in visits:
        log.add(*step(batch, progress))
        clock.step += 1
        # Progress comes back as the team's mean, so that all workers take every branch below together.
        progress, seconds = team.step(rate(progress, clock.step - 1, warm), clock.progress, clock.seconds)
        visits.progress, due = progress, min(due, seconds + settings.measure_every * 60)
        if team.rank == 0 and log.due():
            seen = clock.step * len(batch.pictures) * workers
            log.write(
                minute=round(clock.seconds / 60, 1),
                step=clock.step,
                pictures=seen,
                per_second=round(seen / clock.seconds, 1),
            )
        if seconds > due or progress >= 1:
            due = seconds + settings.measure_every * 60
            save(state, {"team": team.state(), "step": clock.step, "seconds": clock.seconds})
            if team.rank == 0:
                pause = clock.seconds
                log.write(minute=round(pause / 60, 1), step=clock.step, held_out=held())
                clock.resume(pause)
        if progress >= 1:
            return


@torch.inference_mode()
def measure(trunk: Trunk, answers: Answers, batches: Iterable[Batch]) -> dict[str, float]:
    """Share of right tokens per tag on held-out pictures, with the answer so far given.

    Beside each kind of statement, and the naming of colours, stands its constant: the share that the
    commonest answer would get right.
    """
    right: dict[str, list[int]] = {}
    truth: dict[str, Counter[int]] = {}
    for batch in batches:
        run = forward(trunk, batch, trunk.see(batch.pictures), answers, probe=False)
        for name, (hit, of) in tallies(run.hits, run.tags).items():
            total = right.setdefault(name, [0, 0])
            total[0], total[1] = total[0] + hit, total[1] + of
        targets = batch.targets[:, 1:][batch.weights[:, 1:] > 0]
        for name in (*STATEMENTS, "color"):
            truth.setdefault(name, Counter()).update(targets[run.tags == TAGS.index(name)].tolist())
    shares = {name: round(hit / of, 4) for name, (hit, of) in right.items()}
    constants = {f"{n}_constant": round(max(c.values()) / c.total(), 4) for n, c in truth.items() if c}
    return {**shares, **constants}


def held_out(
    folder: Path, tokenizer: Any, count: int, plan: Any, *, longest: int, size: int = 30
) -> list[Batch]:
    """Fixed batches of held-out pictures with fixed questions."""
    visits = Visits([folder], tokenizer, plan, size=size, longest=longest, seed=7, ground=False)
    pool, r = Pool(folder), Random(7)
    count = min(count, len(pool))
    return [
        visits.batch([(pool, i) for i in range(k, min(k + size, count))], r, 1.0)
        for k in range(0, count, size)
    ]


def join(rank: int, workers: int, port: int) -> None:
    """Take part in a team of single-threaded workers."""
    if workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary name, then rename: a crash leaves the last state whole."""
    draft = path.with_suffix(".part")
    torch.save(state, draft)
    draft.rename(path)
