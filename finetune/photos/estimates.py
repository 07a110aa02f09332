"""Fit the estimators that `judge.evidence.facts` puts beside its measures.

    judge finetune photos estimates POOLS... --opinions POOL

Perceptrons, whose mean is taken, learn strengths of distortions from pools of distorted photographs and
scenes: from the measures of whole pictures, and from those of the area that stands out, where that is inside
the distortion. Kernel ridge regression (Saunders et al. 1998) learns mean opinions from photographs that
people rated. A minute of two cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.linalg import block_diag
from torch import nn

from finetune.photos.pool import Pool
from judge.evidence.facts import KINDS, WEIGHTS, Measured
from judge.evidence.facts import opinions as guessed
from judge.media.regions import iou

HIDDEN, STEPS, BATCH = 96, 15000, 256
MEMBERS = 4
"""Perceptrons, each from another seed; single ones differ by hundredths in how they rank."""
PRESENT = 4.0
"""How much more a distortion that is there counts than the nine that are not."""
SEEN = 0.15
"""What the weakest distortion counts as, beside 0 for none."""
RATE, RIDGE = 0.25, 0.15
"""Of the kernel; about the best of 19 pairs in five-fold cross-validation over the photographs fitted on."""

Rows = NDArray[np.float32]


def fit(
    pools: Sequence[Pool], opinions: Pool, out: Path = WEIGHTS, *, steps: int = STEPS, seed: int = 0
) -> None:
    """Fit both and write them."""
    rows, strengths = lessons(pools)
    members = [perceptron(rows, strengths, steps, MEMBERS * seed + n) for n in range(MEMBERS)]
    held = {**averaged(members), **kernel(opinions)}
    draft = out.with_suffix(".part")
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in held.items()}, draft)
    draft.rename(out)


def lessons(pools: Sequence[Pool]) -> tuple[Rows, Rows]:
    """Measures (n, measures) and the strengths they show (n, kinds)."""
    rows, strengths = [], []
    for pool in pools:
        for numbers, example in zip(pool.measured, pool.rows, strict=True):
            measured = Measured(np.asarray(numbers))
            whole = _strengths(example.kind, example.strength)
            rows.append(measured.whole)
            strengths.append(whole)
            box = tuple(map(float, measured.area[:4]))
            hit = [spot for spot in example.spots if iou(box, spot.box) > 0.6]  # type: ignore[arg-type]
            if not example.spots or hit:
                rows.append(measured.inside)
                there = _strengths(hit[0].kind, hit[0].strength) if hit else 0
                strengths.append(np.maximum(whole, there))
    return np.stack(rows), np.stack(strengths)


def _strengths(kind: str, strength: float) -> Rows:
    out = np.zeros(len(KINDS), np.float32)
    if kind in KINDS:
        out[KINDS.index(kind)] = SEEN + (1 - SEEN) * strength
    return out


def perceptron(rows: Rows, strengths: Rows, steps: int = STEPS, seed: int = 0) -> dict[str, Rows]:
    """Weights of `judge.evidence.facts.Estimators`, by name."""
    torch.manual_seed(seed)
    widths = (rows.shape[1], HIDDEN, HIDDEN, len(KINDS))
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    x, y = torch.from_numpy(3 * rows - 1.5), torch.from_numpy(strengths)
    for _ in range(steps):
        some = torch.randint(len(x), (BATCH,))
        guess = x[some] + 0.03 * torch.randn(BATCH, x.shape[1])
        for depth, layer in enumerate(layers):
            guess = layer(guess.tanh() if depth else guess)
        wrong = nn.functional.smooth_l1_loss(guess, y[some], beta=0.05, reduction="none")
        loss = (wrong * (1 + PRESENT * (y[some] > 0))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    named = {f"weight{n}": layer.weight for n, layer in enumerate(layers)}
    named |= {f"bias{n}": layer.bias for n, layer in enumerate(layers)}
    return {name: p.detach().numpy() for name, p in named.items()}


def averaged(members: Sequence[dict[str, Rows]]) -> dict[str, Rows]:
    """One perceptron that says the mean of what several of the same depth say: theirs side by side."""
    last = sum(name.startswith("weight") for name in members[0]) - 1
    made: dict[str, Rows] = {}
    for depth in range(last + 1):
        weights, biases = ([one[f"{what}{depth}"] for one in members] for what in ("weight", "bias"))
        if depth == last:
            weight, bias = np.hstack(weights) / len(members), np.mean(biases, axis=0)
        else:
            weight = block_diag(*weights) if depth else np.vstack(weights)
            bias = np.concatenate(biases)
        made |= {f"weight{depth}": weight.astype(np.float32), f"bias{depth}": bias.astype(np.float32)}
    return made


FOLDS = 5


def apart(opinions: Pool, seed: int = 0) -> Rows:
    """Opinions (n,), 0..1, estimated for each photograph by the kernel of the others, all views of one on one
    side: what `seems_good` is worth about photographs that it was not fitted on."""
    rows = np.stack([Measured(np.asarray(numbers)).whole for numbers in opinions.measured])
    names = sorted({example.name for example in opinions.rows})
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    folds = np.array([fold[example.name] for example in opinions.rows])
    found = np.zeros(len(rows), np.float32)
    for n in range(FOLDS):
        held = kernel(opinions, np.flatnonzero(folds != n))
        found[folds == n] = guessed(rows[folds == n], **held)
    return found


def kernel(opinions: Pool, some: NDArray[np.intp] | None = None) -> dict[str, Rows]:
    """What `judge.evidence.facts.opinions` needs, by name; from all or `some` of the rows."""
    chosen = range(len(opinions.rows)) if some is None else some
    examples = [opinions.rows[n] for n in chosen]
    rows = np.stack([Measured(np.asarray(opinions.measured[n])).whole for n in chosen])
    truth = np.array([(example.score - 1) / 4 for example in examples])
    scale = np.stack([rows.mean(0), rows.std(0) + 1e-3])
    known = np.clip((rows - scale[0]) / scale[1], -3, 3)
    apart = ((known[:, None] - known[None]) ** 2).mean(-1)
    # Views of one photograph are nearly one: the ridge grows with how many there are.
    views = len(rows) / len({example.name for example in examples})
    gram = np.exp(-RATE * apart) + views * RIDGE * np.eye(len(rows))
    shares = np.linalg.solve(gram, truth - truth.mean())
    return {"known": known, "shares": shares, "scale": scale, "base": np.array([truth.mean(), RATE])}
