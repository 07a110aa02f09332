"""Trains the student on the teacher's answers of each round and on people's opinions.

Losses, each with its weight in the configuration:

- the divergence of the student's distributions from the teacher's at each blank (Hinton et al. 2015);
- the squared error of the score's expectation;
- the error of the measured facts in the teacher's verdicts, and of the labelled regions. These are auxiliary:
  the exported student does not predict them;
- the divergence from the distribution of people's opinions, where there are any.

The result is an average of the weights over the last steps (Polyak and Juditsky 1992).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.distill.config import Config, TrainingConfig
from finetune.distill.image_views import ImageViews
from finetune.distill.network import StudentNetwork
from finetune.distill.targets import TrainingTargets
from finetune.nano.trainer import ScheduleClock, learning_rate_factor
from finetune.nano.workers import training_dtype

EMPTY_CELL_WEIGHT = 0.2
"""Weight of a cell without a region, relative to one with a region. Most images have many empty cells."""
AVERAGE_DECAY = 0.998
"""Share of the weight average that a step keeps, after many steps."""
WARMUP_STEPS = 200
"""Steps of the learning rate's warmup, or a tenth of all steps if that is less."""
LOG_SECONDS, SAVE_SECONDS = 30.0, 120.0


def train_student(
    config: Config, network: StudentNetwork, views: ImageViews, targets: TrainingTargets, out: Path
) -> dict[str, Any]:
    """Train the network. It gets the averaged weights at the end.

    The state is saved in OUT/state.pt, and loaded from there if it exists.

    Args:
        config: the configuration.
        network: the network.
        views: the images.
        targets: the targets.
        out: folder of the run.

    Returns:
        `steps`, `minutes`, `epochs`, and `course`: the lines of the log.
    """
    schedule = config.training
    torch.manual_seed(config.seed)
    optimizer = _create_optimizer(network, schedule)
    average = deepcopy(network).eval().requires_grad_(False)
    state_file, history = out / "state.pt", list[dict[str, float]]()
    clock = ScheduleClock(schedule.minutes, 0 if schedule.minutes else schedule.steps)
    if state_file.is_file():
        history = _load_state(state_file, network, average, optimizer, clock)
    rng = np.random.default_rng([config.seed, clock.step])
    usable = targets.known.any(0).nonzero()[:, 0].numpy()
    frequencies = targets.weights[usable] / targets.weights[usable].sum()
    warmup = WARMUP_STEPS if schedule.minutes else max(1, min(WARMUP_STEPS, schedule.steps // 10))
    last_log = last_save = time.monotonic()
    recent: list[dict[str, float]] = []
    network.train()
    while (progress := clock.progress) < 1:
        factor = learning_rate_factor(progress, clock.step, warmup, hold=0.1)
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * factor
        indices = rng.choice(usable, schedule.batch, p=frequencies)
        with torch.autocast("cpu", torch.bfloat16, enabled=training_dtype() == torch.bfloat16):
            parts = compute_losses(config, network, views, targets, indices, rng)
        _optimize(network, optimizer, parts)
        clock.step += 1
        _update_average(average, network, min(AVERAGE_DECAY, clock.step / (clock.step + 10)))
        recent.append({name: float(value.detach()) for name, value in parts.items()})
        now = time.monotonic()
        if now - last_log > LOG_SECONDS:
            last_log = now
            minute = round(clock.seconds / 60, 1)
            history.append({"step": clock.step, "minute": minute, **_mean_losses(recent)})
            print(json.dumps(history[-1]), flush=True)
            recent = []
        if now - last_save > SAVE_SECONDS:
            last_save = now
            _save_state(state_file, network, average, optimizer, clock, history)
    network.load_state_dict(average.state_dict())
    _save_state(state_file, network, average, optimizer, clock, history)
    return {
        "steps": clock.step,
        "minutes": round(clock.seconds / 60, 2),
        "epochs": round(clock.step * schedule.batch / len(usable), 2),
        "course": history,
    }


def _create_optimizer(network: nn.Module, schedule: TrainingConfig) -> torch.optim.Optimizer:
    """Create AdamW with weight decay for matrices and kernels only."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": schedule.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
    )


def compute_losses(
    config: Config,
    network: StudentNetwork,
    views: ImageViews,
    targets: TrainingTargets,
    indices: Any,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Compute the weighted losses of a batch.

    Args:
        config: the configuration.
        network: the network.
        views: the images.
        targets: the targets.
        indices: (k,) images of the batch.
        rng: random generator, for the views and the rounds.

    Returns:
        The losses by name, each a scalar.
    """
    weights = config.training
    batch = views.sample(indices, rng)
    pretrained = None if batch.pretrained is None else torch.from_numpy(batch.pretrained)
    whole, patches = torch.from_numpy(batch.whole), torch.from_numpy(batch.patches)
    features, maps = network.features(whole, patches, pretrained)
    shares = network.probabilities(features).float().clamp_min(1e-8)
    # If there were several rounds, each image gets the answer of one of them.
    chosen = torch.from_numpy(rng.integers(len(targets.rounds), size=len(indices)))
    chosen = torch.where(targets.known[chosen, indices] > 0, chosen, targets.known[:, indices].argmax(0))
    teacher = targets.rounds[chosen, indices]
    labels = torch.arange(1.0, 6.0)
    scores, teacher_scores = shares[:, targets.score], teacher[:, targets.score]
    parts = {
        "blanks": _divergence(teacher, shares),
        "scores": weights.scores * F.mse_loss(scores @ labels / 4, teacher_scores @ labels / 4),
    }
    opinions = targets.opinions[indices]
    if weights.opinions and bool(opinions.any()):
        rated = opinions.sum(1) > 0
        error = F.mse_loss(scores[rated] @ labels / 4, opinions[rated] @ labels / 4)
        rated_share = rated.float().mean()
        divergence = _divergence(opinions[rated], scores[rated])
        parts["opinions"] = weights.opinions * rated_share * (divergence + weights.scores * error)
    if weights.facts and network.facts is not None:
        error = F.smooth_l1_loss(network.facts(features).float(), targets.facts[indices])
        parts["facts"] = weights.facts * error
    if maps and network.kinds is not None:
        parts |= region_losses(
            weights, network.kinds(features), maps, targets, indices, torch.from_numpy(batch.flips)
        )
    return parts


def region_losses(
    weights: TrainingConfig,
    kinds: Tensor,
    maps: Sequence[Tensor],
    targets: TrainingTargets,
    indices: Any,
    flips: Tensor,
) -> dict[str, Tensor]:
    """Compute the losses of labelled regions, as means over the images that have such labels.

    Args:
        weights: weights of the losses.
        kinds: (k, kinds) predicted logits.
        maps: predicted logits (k, 1 + kinds, h, w) of each region layer.
        targets: the targets.
        indices: (k,) images of the batch.
        flips: (k,) which images are mirrored.
    """
    cells = torch.where(flips[:, None, None], targets.regions[indices].flip(2), targets.regions[indices])
    labelled = cells[:, 0, 0] >= 0
    if not bool(labelled.any()):
        return {}
    class_weights = torch.cat([torch.tensor([EMPTY_CELL_WEIGHT]), torch.ones(kinds.shape[1])])
    predicted = [F.interpolate(m[labelled].float(), cells.shape[1:], mode="bilinear") for m in maps]
    where = torch.stack([F.cross_entropy(p, cells[labelled], class_weights) for p in predicted]).sum()
    which = F.binary_cross_entropy_with_logits(kinds[labelled].float(), targets.kinds[indices][labelled])
    share = labelled.float().mean()
    return {"regions": weights.regions * share * where, "kinds": weights.kinds * share * which}


def _divergence(target: Tensor, shares: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence, as a mean over images."""
    return (target * (target.clamp_min(1e-8).log() - shares.log())).sum(-1).mean()


def _mean_losses(recent: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for parts in recent for name in parts)
    return {n: round(float(np.mean([parts.get(n, 0.0) for parts in recent])), 5) for n in names}


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the moving average of the weights, in place. Counters are copied."""
    for mean, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(new, 1 - decay)
        else:
            mean.copy_(new)


def _optimize(network: nn.Module, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> None:
    """Update the network by the gradients of the losses, clipped to norm 1."""
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def _load_state(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    clock: ScheduleClock,
) -> list[dict[str, float]]:
    """Restore what `_save_state` wrote; return the lines of the log."""
    saved = torch.load(path, weights_only=True)
    network.load_state_dict(saved["network"])
    average.load_state_dict(saved["average"])
    optimizer.load_state_dict(saved["rate"])
    clock.step = saved["step"]
    clock.resume(saved["spent"])
    history: list[dict[str, float]] = saved["course"]
    return history


def _save_state(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    clock: ScheduleClock,
    history: list[dict[str, float]],
) -> None:
    partial_file = path.with_suffix(".part")
    torch.save(
        {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "rate": optimizer.state_dict(),
            "spent": clock.seconds,
            "step": clock.step,
            "course": history,
        },
        partial_file,
    )
    partial_file.rename(path)
