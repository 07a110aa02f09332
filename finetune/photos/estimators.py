"""Fits the estimators of `judge.evidence.facts`, which turn its measures into strengths and opinions.

    judge finetune photos estimates POOLS... --opinions POOL

Perceptrons learn the strengths of distortions from datasets of distorted photographs and scenes; the mean of
several is used. They learn from the measures of whole images, and from those of the area that stands out,
where that area is inside the distortion. Ridge regression learns mean opinions from the features of
`judge.evidence.pretrained`. Fitting takes a minute on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.linalg import block_diag
from torch import nn

from eval.metrics.correlation import srcc
from eval.metrics.metric_value import MetricValue
from finetune.photos.dataset import PhotoDataset
from finetune.photos.image_jobs import is_held_out
from judge.evidence import facts
from judge.evidence.facts import (
    ESTIMATED_KINDS,
    WEIGHTS_PATH,
    ImageMeasurement,
    load_estimators,
    squash_opinions,
)
from judge.evidence.pretrained import FEATURE_LENGTH
from judge.media.regions import iou

HIDDEN_WIDTH, STEPS, BATCH_SIZE = 96, 15000, 256
ENSEMBLE_SIZE = 4
"""Perceptrons, each from another seed. The rank correlations of single ones differ by hundredths."""
PRESENT_WEIGHT = 4.0
"""Additional weight of a distortion that is present. The other nine are not."""
MIN_TARGET = 0.15
"""Target of the weakest distortion; without distortion it is 0."""
RIDGES = (200.0, 500.0, 1000.0)
"""Penalties of the opinion model's weights; the best is chosen by cross-validation."""
CHANGES_WEIGHT = 0.15
"""Weight of all changes by distortions relative to all rated photographs. It was set, not chosen by a score:
it costs 0.01 of the rank correlation with opinions, and makes opinions fall with any distortion."""
FOLDS, INNER_FOLDS = 5, 4
MIN_AREA_IOU = 0.6
"""The area that stands out is inside a distortion if its IoU with the distorted area is higher."""

Rows = NDArray[np.float32]


@contextmanager
def opinions_without_held_out() -> Iterator[None]:
    """Estimate opinions by the model that was fitted without the photographs kept for measuring.

    This holds for the whole process. Within it, a judge can be measured on these photographs (`is_held_out`),
    and so can what learns from it.
    """
    with patch.object(facts, "load_estimators", lambda: load_estimators().without_held_out()):
        yield


def fit_estimators(
    datasets: Sequence[PhotoDataset],
    rated: PhotoDataset,
    distorted: Sequence[PhotoDataset] = (),
    out: Path = WEIGHTS_PATH,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> None:
    """Fit both estimators and write them to a file.

    Args:
        datasets: distorted photographs and scenes for the strengths. If there are none, the strengths are
            estimated as before: their part of the file stays.
        rated: photographs with mean opinions. A second model is fitted without those of them that are kept
            for measuring (`is_held_out`): `python -m eval.bench photos` measures that one.
        distorted: distorted photographs for the opinions, with features.
        out: file to write.
        steps: training steps of each perceptron.
        seed: of the perceptrons.
    """
    if datasets:
        rows, strengths = build_training_rows(datasets)
        seeds = range(ENSEMBLE_SIZE * seed, ENSEMBLE_SIZE * (seed + 1))
        layers = average_perceptrons([fit_perceptron(rows, strengths, steps, n) for n in seeds])
    else:
        names = ("weight", "bias")
        layers = {name: value for name, value in load_file(out).items() if name.startswith(names)}
    changes = DistortionChanges.collect(distorted)
    fitted_on = np.flatnonzero([not is_held_out(example.name) for example in rated.rows])
    every = np.arange(len(rated.rows))
    weight, bias = fit_opinions(rated, changes, every, choose_ridge(rated, changes, every))
    ridge = choose_ridge(rated, changes, fitted_on)
    measured_weight, measured_bias = fit_opinions(rated, changes, fitted_on, ridge)
    weights = {
        **layers,
        "opinion_weight": np.stack([weight, measured_weight]),
        "opinion_bias": np.array([bias, measured_bias]),
    }
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


def cross_fit_opinions(
    rated: PhotoDataset, distorted: Sequence[PhotoDataset] = (), seed: int = 0, folds: int = FOLDS
) -> Rows:
    """Estimate each photograph's opinion by a model that is fitted on other photographs.

    This is what `seems_good` is worth for photographs that it was not fitted on. All views of a photograph
    are in one fold, and the penalty of each model is chosen without them: nested cross-validation.

    Args:
        rated: photographs with mean opinions.
        distorted: see `fit_opinions`.
        seed: of the folds.
        folds: number of folds.

    Returns:
        (n,) opinions, 0..1.
    """
    changes, fold = DistortionChanges.collect(distorted), _folds_of_photographs(rated, folds, seed)
    opinions = np.zeros(len(rated.rows), np.float32)
    for n in range(folds):
        others = np.flatnonzero(fold != n)
        weight, bias = fit_opinions(rated, changes, others, choose_ridge(rated, changes, others))
        opinions[fold == n] = squash_opinions(np.array(rated.features[fold == n]) @ weight + bias)
    return opinions


def measure_opinions(rated: PhotoDataset, distorted: Sequence[PhotoDataset] = ()) -> MetricValue:
    """Return the rank correlation of cross-fitted opinions with people's, one view of each photograph."""
    opinions = cross_fit_opinions(rated, distorted)
    firsts = list({example.name: n for n, example in reversed(list(enumerate(rated.rows)))}.values())
    return srcc(opinions[firsts], np.array([rated.rows[n].score for n in firsts]), interval=True)


def choose_ridge(rated: PhotoDataset, changes: DistortionChanges, indices: NDArray[np.intp]) -> float:
    """Return the penalty among `RIDGES` whose cross-fitted opinions rank some photographs best.

    Args:
        rated: photographs with mean opinions.
        changes: changes by distortions.
        indices: rows of `rated` to choose on.
    """
    from scipy.stats import spearmanr

    fold = _folds_of_photographs(rated, INNER_FOLDS, seed=1)[indices]
    truth = np.array([rated.rows[n].score for n in indices])

    def correlation(ridge: float) -> float:
        opinions = np.zeros(len(indices))
        for n in range(INNER_FOLDS):
            if (fold == n).any() and (fold != n).any():
                weight, bias = fit_opinions(rated, changes, indices[fold != n], ridge)
                opinions[fold == n] = np.array(rated.features[indices[fold == n]]) @ weight + bias
        return float(spearmanr(opinions, truth).statistic) if np.ptp(truth) and np.ptp(opinions) else 0.0

    return max(RIDGES, key=correlation)


def _folds_of_photographs(rated: PhotoDataset, folds: int, seed: int) -> NDArray[np.intp]:
    """Return the fold of each row; all views of a photograph are in one."""
    names = sorted({example.name for example in rated.rows})
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % folds, strict=True))
    return np.array([fold_of[example.name] for example in rated.rows])


@dataclass(frozen=True)
class DistortionChanges:
    """How features and quality change with the distortions of a photograph, whatever it shows."""

    features: Rows
    """(n, FEATURE_LENGTH) features of distorted photographs, less the mean over images of the photograph."""
    quality: Rows
    """(n,) `DistortionTruth.quality` mapped to 0..1, less the mean over images of the photograph."""

    @classmethod
    def collect(cls, datasets: Sequence[PhotoDataset]) -> DistortionChanges:
        """Collect the changes in some datasets of distorted photographs; there may be none."""
        features, quality = [np.zeros((0, FEATURE_LENGTH), np.float32)], [np.zeros(0, np.float32)]
        for dataset in datasets:
            names = np.array([example.name for example in dataset.rows])
            is_distorted = np.array([example.source == "distorted" for example in dataset.rows])
            for name in np.unique(names[is_distorted]):
                chosen = np.flatnonzero((names == name) & is_distorted)
                own = np.array(dataset.features[chosen])
                scores = np.array([(dataset.rows[n].score - 1) / 4 for n in chosen], np.float32)
                features.append(own - own.mean(0))
                quality.append(scores - scores.mean())
        return cls(np.concatenate(features), np.concatenate(quality))


def fit_opinions(
    rated: PhotoDataset,
    changes: DistortionChanges,
    indices: NDArray[np.intp] | None = None,
    ridge: float = RIDGES[1],
) -> tuple[Rows, float]:
    """Fit the linear model of opinions by ridge regression.

    It has two kinds of data: the opinions of rated photographs, and the changes of quality within each of
    some distorted photographs. The latter tell how much worse a distortion makes any image, and nothing about
    what it shows.

    Args:
        rated: photographs with mean opinions.
        changes: changes by distortions.
        indices: rows of `rated` to fit on; default: all.
        ridge: penalty of the weights, of standardised features.

    Returns:
        Weight (FEATURE_LENGTH,) and bias, for opinions of 0..1.
    """
    chosen = np.arange(len(rated.rows)) if indices is None else indices
    examples = [rated.rows[n] for n in chosen]
    rows = np.array(rated.features[chosen], np.float64)
    truth = np.array([(example.score - 1) / 4 for example in examples])
    mean, scale = rows.mean(0), rows.std(0) + 1e-6
    # Views of one photograph are nearly the same, so each counts for its share.
    share = 1 / np.sqrt(len(rows) / len({example.name for example in examples}))
    changes_share = share * np.sqrt(CHANGES_WEIGHT * len(rows) / max(1, len(changes.quality)))
    design = np.concatenate([share * (rows - mean) / scale, changes_share * changes.features / scale])
    target = np.concatenate([share * (truth - truth.mean()), changes_share * changes.quality])
    if len(design) < design.shape[1]:
        dual = np.linalg.solve(design @ design.T + ridge * np.eye(len(design)), target)
        weight = design.T @ dual / scale
    else:
        gram = design.T @ design + ridge * np.eye(design.shape[1])
        weight = np.linalg.solve(gram, design.T @ target) / scale
    return weight.astype(np.float32), float(truth.mean() - mean @ weight)
