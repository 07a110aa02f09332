"""Fits the estimators of `judge.evidence.facts`, which turn its measures into strengths and opinions.

    judge finetune photos estimates POOLS... --opinions POOL

Perceptrons learn the strengths of distortions from datasets of distorted photographs and scenes; the mean of
several is used. They learn from the measures of whole images, and from those of the area that stands out,
where that area is inside the distortion. Kernel ridge regression (Saunders et al. 1998) learns mean opinions
from rated photographs. Fitting takes a minute on two cores.
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

from finetune.photos.dataset import PhotoDataset
from judge.evidence.facts import ESTIMATED_KINDS, WEIGHTS_PATH, ImageMeasurement, estimate_opinions
from judge.media.regions import iou

HIDDEN_WIDTH, STEPS, BATCH_SIZE = 96, 15000, 256
ENSEMBLE_SIZE = 4
"""Perceptrons, each from another seed. The rank correlations of single ones differ by hundredths."""
PRESENT_WEIGHT = 4.0
"""Additional weight of a distortion that is present. The other nine are not."""
MIN_TARGET = 0.15
"""Target of the weakest distortion; without distortion it is 0."""
KERNEL_RATE, RIDGE = 0.25, 0.15
"""Among the best two of 19 pairs in five-fold cross-validation over the photographs that the kernel is fitted
on."""
FOLDS = 5
MIN_AREA_IOU = 0.6
"""The area that stands out is inside a distortion if its IoU with the distorted area is higher."""

Rows = NDArray[np.float32]


def fit_estimators(
    datasets: Sequence[PhotoDataset],
    rated: PhotoDataset,
    out: Path = WEIGHTS_PATH,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> None:
    """Fit both estimators and write them to a file.

    Args:
        datasets: distorted photographs and scenes.
        rated: photographs with mean opinions.
        out: file to write.
        steps: training steps of each perceptron.
        seed: of the perceptrons.
    """
    rows, strengths = build_training_rows(datasets)
    members = [fit_perceptron(rows, strengths, steps, ENSEMBLE_SIZE * seed + n) for n in range(ENSEMBLE_SIZE)]
    weights = {**average_perceptrons(members), **fit_kernel_ridge(rated)}
    partial_file = out.with_suffix(".part")
    save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}, partial_file
    )
    partial_file.rename(out)


def build_training_rows(datasets: Sequence[PhotoDataset]) -> tuple[Rows, Rows]:
    """Return measures (n, measures) and the strengths of the distortions in them (n, kinds)."""
    rows, strengths = [], []
    for dataset in datasets:
        for vector, example in zip(dataset.measured, dataset.rows, strict=True):
            measured = ImageMeasurement(np.asarray(vector))
            of_whole = _strength_targets(example.kind, example.strength)
            rows.append(measured.whole)
            strengths.append(of_whole)
            box = tuple(map(float, measured.area[:4]))
            matching = [a for a in example.areas if iou(box, a.box) > MIN_AREA_IOU]  # type: ignore[arg-type]
            if not example.areas or matching:
                rows.append(measured.inside)
                of_area = _strength_targets(matching[0].kind, matching[0].strength) if matching else 0
                strengths.append(np.maximum(of_whole, of_area))
    return np.stack(rows), np.stack(strengths)


def _strength_targets(kind: str, strength: float) -> Rows:
    targets = np.zeros(len(ESTIMATED_KINDS), np.float32)
    if kind in ESTIMATED_KINDS:
        targets[ESTIMATED_KINDS.index(kind)] = MIN_TARGET + (1 - MIN_TARGET) * strength
    return targets


def fit_perceptron(rows: Rows, strengths: Rows, steps: int = STEPS, seed: int = 0) -> dict[str, Rows]:
    """Fit one perceptron.

    Args:
        rows: (n, measures).
        strengths: (n, kinds).
        steps: training steps.
        seed: of the initial weights and the batches.

    Returns:
        The layers of `judge.evidence.facts.Estimators` by name: weight0, bias0, and so on.
    """
    torch.manual_seed(seed)
    widths = (rows.shape[1], HIDDEN_WIDTH, HIDDEN_WIDTH, len(ESTIMATED_KINDS))
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    x, y = torch.from_numpy(3 * rows - 1.5), torch.from_numpy(strengths)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH_SIZE,))
        predicted = x[chosen] + 0.03 * torch.randn(BATCH_SIZE, x.shape[1])
        for depth, layer in enumerate(layers):
            predicted = layer(predicted.tanh() if depth else predicted)
        errors = nn.functional.smooth_l1_loss(predicted, y[chosen], beta=0.05, reduction="none")
        loss = (errors * (1 + PRESENT_WEIGHT * (y[chosen] > 0))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    named = {f"weight{n}": layer.weight for n, layer in enumerate(layers)}
    named |= {f"bias{n}": layer.bias for n, layer in enumerate(layers)}
    return {name: p.detach().numpy() for name, p in named.items()}


def average_perceptrons(members: Sequence[dict[str, Rows]]) -> dict[str, Rows]:
    """Combine perceptrons of the same depth into one, whose output is the mean of theirs."""
    last = sum(name.startswith("weight") for name in members[0]) - 1
    combined: dict[str, Rows] = {}
    for depth in range(last + 1):
        weights, biases = ([member[f"{what}{depth}"] for member in members] for what in ("weight", "bias"))
        if depth == last:
            weight, bias = np.hstack(weights) / len(members), np.mean(biases, axis=0)
        else:
            weight = block_diag(*weights) if depth else np.vstack(weights)
            bias = np.concatenate(biases)
        combined |= {f"weight{depth}": weight.astype(np.float32), f"bias{depth}": bias.astype(np.float32)}
    return combined


def cross_fit_opinions(rated: PhotoDataset, seed: int = 0) -> Rows:
    """Estimate each photograph's opinion by a kernel that is fitted on other photographs.

    This is what `seems_good` is worth for photographs that it was not fitted on. All views of a photograph
    are in one fold.

    Args:
        rated: photographs with mean opinions.
        seed: of the folds.

    Returns:
        (n,) opinions, 0..1.
    """
    rows = np.stack([ImageMeasurement(np.asarray(vector)).whole for vector in rated.measured])
    names = sorted({example.name for example in rated.rows})
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    folds = np.array([fold_of[example.name] for example in rated.rows])
    opinions = np.zeros(len(rows), np.float32)
    for n in range(FOLDS):
        kernel = fit_kernel_ridge(rated, np.flatnonzero(folds != n))
        opinions[folds == n] = estimate_opinions(rows[folds == n], **kernel)
    return opinions


def fit_kernel_ridge(rated: PhotoDataset, indices: NDArray[np.intp] | None = None) -> dict[str, Rows]:
    """Fit the kernel ridge regression of opinions.

    Args:
        rated: photographs with mean opinions.
        indices: rows to fit on; default: all.

    Returns:
        The arguments of `judge.evidence.facts.estimate_opinions` by name.
    """
    chosen = range(len(rated.rows)) if indices is None else indices
    examples = [rated.rows[n] for n in chosen]
    rows = np.stack([ImageMeasurement(np.asarray(rated.measured[n])).whole for n in chosen])
    truth = np.array([(example.score - 1) / 4 for example in examples])
    scale = np.stack([rows.mean(0), rows.std(0) + 1e-3])
    known = np.clip((rows - scale[0]) / scale[1], -3, 3)
    distances = ((known[:, None] - known[None]) ** 2).mean(-1)
    # Views of one photograph are nearly the same, so the ridge grows with their number.
    views = len(rows) / len({example.name for example in examples})
    gram = np.exp(-KERNEL_RATE * distances) + views * RIDGE * np.eye(len(rows))
    shares = np.linalg.solve(gram, truth - truth.mean())
    return {
        "known": known,
        "shares": shares,
        "scale": scale,
        "base": np.array([truth.mean(), KERNEL_RATE]),
    }
