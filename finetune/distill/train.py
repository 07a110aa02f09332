"""Teaching the student: what the teacher said in each round, and what people said.

Losses, each with its weight in the configuration: divergence of the student's distributions from the
teacher's at every blank (Hinton et al. 2015), squared error of the score's expectation, the measured facts of
the teacher's verdicts beside, and the divergence from the distribution of people's opinions where there are
any. What is kept is an average of the weights over the last steps (Polyak and Juditsky 1992).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.distill.config import Config
from finetune.distill.labels import Label
from finetune.distill.network import StudentNetwork
from finetune.distill.pictures import Views
from finetune.trainer import Clock, live_dtype
from finetune.trainer import rate as factor

KEEP = 0.998
"""Share of the average that a step leaves as it is, once there were many."""
WARM = 200
"""Steps in which the learning rate rises, or a tenth of all where that is less."""
LOG_EVERY, SAVE_EVERY = 30.0, 120.0
"""Seconds."""


@dataclass(frozen=True)
class Lessons:
    """What is known of n pictures, as tensors."""

    rounds: Tensor
    """(rounds, n, labels of all blanks): the teacher's probabilities."""
    known: Tensor
    """(rounds, n): 1 where the teacher gave a verdict."""
    facts: Tensor
    """(n, facts), each with mean 0 and deviation 1."""
    opinions: Tensor
    """(n, 5): shares of people's opinions; zeros where there are none."""
    score: slice
    """Where the score's five labels stand."""

    @classmethod
    def of(
        cls,
        rounds: Sequence[Sequence[Label]],
        opinions: Sequence[Sequence[float] | None],
        blanks: dict[str, list[str]],
    ) -> Lessons:
        width = sum(map(len, blanks.values()))
        start = 0
        for blank, labels in blanks.items():
            if blank == "score":
                break
            start += len(labels)
        rows = [
            [
                [share for blank in blanks for share in one.told[blank]] if one.told else [0.0] * width
                for one in said
            ]
            for said in rounds
        ]
        names = list(next((one.facts for one in rounds[0] if one.facts), {}))
        facts = torch.tensor([[one.facts.get(name, 0.0) for name in names] for one in rounds[0]])
        facts = (facts - facts.mean(0)) / facts.std(0).clamp_min(1e-3) if names else facts
        return cls(
            rounds=torch.tensor(rows),
            known=torch.tensor([[float(bool(one.told)) for one in said] for said in rounds]),
            facts=facts.clamp(-4, 4),
            opinions=torch.tensor([list(one or [0.0] * 5) for one in opinions]),
            score=slice(start, start + 5),
        )


def teach(
    config: Config, network: StudentNetwork, views: Views, lessons: Lessons, out: Path
) -> dict[str, Any]:
    """Train; the network is left with the averaged weights.

    The state is kept in OUT/state.pt and taken up again. Returns what is said of the course.
    """
    plan = config.training
    torch.manual_seed(config.seed)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    rate = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=plan.learning_rate,
    )
    average = deepcopy(network).eval().requires_grad_(False)
    state, course = out / "state.pt", list[dict[str, float]]()
    clock = Clock(plan.minutes, 0 if plan.minutes else plan.steps)
    if state.is_file():
        held = torch.load(state, weights_only=True)
        network.load_state_dict(held["network"])
        average.load_state_dict(held["average"])
        rate.load_state_dict(held["rate"])
        clock.step, course = held["step"], held["course"]
        clock.resume(held["spent"])
    chance = np.random.default_rng([config.seed, clock.step])
    usable = lessons.known.any(0).nonzero()[:, 0].numpy()
    warm = WARM if plan.minutes else max(1, min(WARM, plan.steps // 10))
    said = saved = time.monotonic()
    seen: list[dict[str, float]] = []
    network.train()
    while (progress := clock.progress) < 1:
        for group in rate.param_groups:
            group["lr"] = plan.learning_rate * factor(progress, clock.step, warm, hold=0.1)
        at = chance.choice(usable, min(plan.batch, len(usable)), replace=len(usable) < plan.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=live_dtype() == torch.bfloat16):
            parts = losses(config, network, views, lessons, at, chance)
        rate.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        rate.step()
        clock.step += 1
        _blend(average, network, min(KEEP, clock.step / (clock.step + 10)))
        seen.append({name: float(value.detach()) for name, value in parts.items()})
        now = time.monotonic()
        if now - said > LOG_EVERY:
            said = now
            course.append({"step": clock.step, "minute": round(clock.seconds / 60, 1), **_means(seen)})
            print(json.dumps(course[-1]), flush=True)
            seen = []
        if now - saved > SAVE_EVERY:
            saved = now
            _save(state, network, average, rate, clock, course)
    network.load_state_dict(average.state_dict())
    _save(state, network, average, rate, clock, course)
    return {
        "steps": clock.step,
        "minutes": round(clock.seconds / 60, 2),
        "epochs": round(clock.step * plan.batch / len(usable), 2),
        "course": course,
    }


def losses(
    config: Config,
    network: StudentNetwork,
    views: Views,
    lessons: Lessons,
    at: Any,
    chance: np.random.Generator,
) -> dict[str, Tensor]:
    """The weighted losses of a batch of pictures `at`."""
    plan = config.training
    whole, patches = (torch.from_numpy(part) for part in views.take(at, chance))
    read = network.read(whole, patches)
    shares = network.shares(read).float().clamp_min(1e-8)
    # Where there were several rounds, each picture is taught by one of them.
    turn = torch.from_numpy(chance.integers(len(lessons.rounds), size=len(at)))
    turn = torch.where(lessons.known[turn, at] > 0, turn, lessons.known[:, at].argmax(0))
    told = lessons.rounds[turn, at]
    labels = torch.arange(1.0, 6.0)
    scores, wanted = shares[:, lessons.score], told[:, lessons.score]
    parts = {
        "blanks": _divergence(told, shares),
        "scores": plan.scores * F.mse_loss(scores @ labels / 4, wanted @ labels / 4),
    }
    opinions = lessons.opinions[at]
    if plan.opinions and bool(opinions.any()):
        rated = opinions.sum(1) > 0
        error = F.mse_loss(scores[rated] @ labels / 4, opinions[rated] @ labels / 4)
        share = rated.float().mean()
        parts["opinions"] = (
            plan.opinions * share * (_divergence(opinions[rated], scores[rated]) + plan.scores * error)
        )
    if plan.facts and network.facts is not None:
        parts["facts"] = plan.facts * F.smooth_l1_loss(network.facts(read).float(), lessons.facts[at])
    return parts


def _divergence(told: Tensor, shares: Tensor) -> Tensor:
    """Kullback and Leibler's, a mean over pictures."""
    return (told * (told.clamp_min(1e-8).log() - shares.log())).sum(-1).mean()


def _means(seen: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for parts in seen for name in parts)
    return {n: round(float(np.mean([parts.get(n, 0.0) for parts in seen])), 5) for n in names}


@torch.no_grad()
def _blend(average: nn.Module, network: nn.Module, keep: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - keep)
        else:
            kept.copy_(new)


def _save(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    rate: torch.optim.Optimizer,
    clock: Clock,
    course: list[dict[str, float]],
) -> None:
    draft = path.with_suffix(".part")
    torch.save(
        {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "rate": rate.state_dict(),
            "spent": clock.seconds,
            "step": clock.step,
            "course": course,
        },
        draft,
    )
    draft.rename(path)
