"""Teaching the student: what the teacher said in each round, and what people said.

Losses, each with its weight in the configuration: divergence of the student's distributions from the
teacher's at every blank (Hinton et al. 2015), squared error of the score's expectation, the measured facts of
the teacher's verdicts and the regions of the labels, both learnt beside, and the divergence from the
distribution of people's opinions where there are any. What is kept is an average of the weights over the last
steps (Polyak and Juditsky 1992).
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

from finetune.distill.config import Config, Training
from finetune.distill.labels import Label
from finetune.distill.network import StudentNetwork
from finetune.distill.pictures import Views
from finetune.nano.trainer import Clock, live_dtype
from finetune.nano.trainer import rate as factor

Mark = tuple[str, tuple[float, float, float, float]]
"""Kind and box of a region, in shares of the picture's sides: left, top, right, lower edge."""
RASTER = 16
"""Cells along each side in which regions are learnt."""
LEAST = 0.3
"""Share of a cell that a region covers at least."""
EMPTY = 0.2
"""Weight of a cell without a region, of which most pictures have many, for one with."""
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
    regions: Tensor
    """(n, `RASTER`, `RASTER`) kind of defect + 1 in each cell, 0 for none, -1 where nobody marked any."""
    kinds: Tensor
    """(n, kinds) 1 where the labels have a defect of the kind."""
    weights: Any
    """(n,) how often each comes; they sum to 1."""

    @classmethod
    def of(
        cls,
        rounds: Sequence[Sequence[Label]],
        opinions: Sequence[Sequence[float] | None],
        blanks: dict[str, list[str]],
        marked: Sequence[Sequence[Mark] | None],
        weights: Sequence[float],
    ) -> Lessons:
        """Put together what is known of each picture.

        Args:
            rounds: what the teacher said in each round.
            opinions: shares of people's opinions; None where there are none.
            blanks: of the form, with their labels.
            marked: regions; None where nobody looked for any.
            weights: how often it comes, for once of a picture of weight 1.
        """
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
            **_regions(marked),
            weights=np.array(weights) / np.sum(weights),
        )


def _regions(marked: Sequence[Sequence[Mark] | None]) -> dict[str, Tensor]:
    names = sorted({kind for marks in marked for kind, _ in marks or ()})
    areas = torch.full((len(marked), RASTER, RASTER), -1, dtype=torch.long)
    kinds = torch.zeros(len(marked), len(names))
    for at, marks in enumerate(marked):
        if marks is None:
            continue
        areas[at] = 0
        for kind, box in marks:
            kinds[at, names.index(kind)] = 1
            across, down = (_covered(box[n], box[n + 2]) for n in (0, 1))
            areas[at][torch.outer(down, across) > LEAST] = names.index(kind) + 1
    return {"regions": areas, "kinds": kinds}


def _covered(low: float, high: float) -> Tensor:
    """Share of each cell along one side that lies between two places (0..1)."""
    edges = torch.arange(RASTER + 1) / RASTER
    return (edges[1:].clamp_max(high) - edges[:-1].clamp_min(low)).clamp_min(0) * RASTER


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
    often = lessons.weights[usable] / lessons.weights[usable].sum()
    warm = WARM if plan.minutes else max(1, min(WARM, plan.steps // 10))
    said = saved = time.monotonic()
    seen: list[dict[str, float]] = []
    network.train()
    while (progress := clock.progress) < 1:
        for group in rate.param_groups:
            group["lr"] = plan.learning_rate * factor(progress, clock.step, warm, hold=0.1)
        at = chance.choice(usable, plan.batch, p=often)
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
    whole, patches, flips = map(torch.from_numpy, views.take(at, chance))
    read, maps = network.seen(whole, patches)
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
    if maps and network.kinds is not None:
        parts |= _beside(plan, network.kinds(read), maps, lessons, at, flips)
    return parts


def _beside(
    plan: Training, kinds: Tensor, maps: Sequence[Tensor], lessons: Lessons, at: Any, flips: Tensor
) -> dict[str, Tensor]:
    """The losses of the regions that labels have, a mean over the pictures that have such labels."""
    areas = torch.where(flips[:, None, None], lessons.regions[at].flip(2), lessons.regions[at])
    marked = areas[:, 0, 0] >= 0
    if not bool(marked.any()):
        return {}
    weights = torch.cat([torch.tensor([EMPTY]), torch.ones(kinds.shape[1])])
    told = [F.interpolate(one[marked].float(), areas.shape[1:], mode="bilinear") for one in maps]
    where = torch.stack([F.cross_entropy(one, areas[marked], weights) for one in told]).sum()
    which = F.binary_cross_entropy_with_logits(kinds[marked].float(), lessons.kinds[at][marked])
    share = marked.float().mean()
    return {"regions": plan.regions * share * where, "kinds": plan.kinds * share * which}


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
