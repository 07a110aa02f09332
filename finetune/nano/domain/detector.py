"""The detector: a perceptron on features of EfficientNet-Lite0, its threshold, and its file.

The threshold is chosen on a tenth of the images, which the training does not see, so that `MAX_REJECTED` of
the drawings there are rejected. It is folded into the last bias.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from judge.evidence.drawings import MAX_DEVIATION, SOURCES_KEY
from judge.runtime.process_pool import create_process_pool

HIDDEN = 32
DROPOUT = 0.3
FEATURE_NOISE = 0.3
"""Standard deviation of the noise on standardised features in training."""
WEIGHT_DECAY = 0.1
LABEL_SMOOTHING = 0.01
EPOCHS, BATCH = 15, 128
MAX_REJECTED = 0.003
HELD_SHARE = 10
"""Every tenth pair of images chooses the threshold."""


def compute_features(images: NDArray[np.uint8], workers: int | None = None) -> NDArray[np.float32]:
    """Compute the features (n, FEATURE_LENGTH) of images (n, side, side, 3), in processes."""
    with create_process_pool(workers) as pool:
        return np.stack(list(pool.map(_extract_on_one_thread, images, chunksize=64)))


def _extract_on_one_thread(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    from judge.evidence.pretrained import extract_features

    torch.set_num_threads(1)
    return extract_features(pixels)


def fit_detector(
    features: NDArray[np.float32],
    is_drawing: NDArray[np.bool_],
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> dict[str, NDArray[np.floating]]:
    """Train the perceptron and choose its threshold.

    Args:
        features: (n, FEATURE_LENGTH).
        is_drawing: (n,): whether each is a drawing. Drawings and others alternate.
        seed: of weights, order and noise.
        report: called with a line about the images that choose the threshold.

    Returns:
        The tensors of the file, see `judge.evidence.drawings`.
    """
    held = np.arange(len(features)) // 2 % HELD_SHARE == 0
    mean, scale = features[~held].mean(0), features[~held].std(0) + 1e-6

    def standardise(rows: NDArray[np.float32]) -> Tensor:
        deviations = ((rows - mean) / scale).clip(-MAX_DEVIATION, MAX_DEVIATION)
        return torch.from_numpy(deviations).float()

    model = _train(standardise(features[~held]), torch.from_numpy(is_drawing[~held]).float(), seed)
    with torch.inference_mode():
        logits = model(standardise(features[held]))[:, 0].numpy()
    threshold = float(np.quantile(logits[is_drawing[held]], MAX_REJECTED))
    passed = float((logits[~is_drawing[held]] >= threshold).mean())
    report(
        f"{held.sum()} held-out images: {MAX_REJECTED} of the drawings rejected, "
        f"{passed:.4f} of the others not"
    )
    first, last = (model[n] for n in (0, 3))
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    return {
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "hidden.weight": first.weight.detach().numpy().astype(np.float16),
        "hidden.bias": first.bias.detach().numpy(),
        "output.weight": last.weight.detach().numpy()[0],
        "output.bias": last.bias.detach().numpy() - np.float32(threshold),
    }


def _train(x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=WEIGHT_DECAY)
    batch = min(BATCH, len(x))
    steps = EPOCHS * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    target = y * (1 - 2 * LABEL_SMOOTHING) + LABEL_SMOOTHING
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            noisy = x[rows] + FEATURE_NOISE * torch.randn_like(x[rows])
            loss = nn.functional.binary_cross_entropy_with_logits(model(noisy)[:, 0], target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def write_detector(tensors: dict[str, NDArray[np.floating]], sources: list[str], path: Path) -> None:
    """Write the file that `judge.evidence.drawings` loads.

    Args:
        tensors: from `fit_detector`.
        sources: names of the folders of other images that it was fitted on; kept in the file.
        path: the file.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    path.write_bytes(save(contiguous, {SOURCES_KEY: json.dumps(sorted(sources))}))
