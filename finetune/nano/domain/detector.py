"""The detector: logistic regression on features of EfficientNet-Lite0, its threshold, and its file.

The threshold is chosen on a tenth of the images, which the regression does not see, so that `MAX_REJECTED` of
the drawings there are rejected. It is folded into the bias.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from judge.evidence.drawings import BIAS, SOURCES_KEY, WEIGHT
from judge.runtime.process_pool import create_process_pool

Floats = NDArray[np.floating]
MAX_REJECTED = 0.003
HELD_SHARE = 10
"""Every tenth pair of images chooses the threshold."""
L2_PENALTY = 1e-3
"""Weight of half the squared norm of the weights of standardised features, against the mean loss."""


def compute_features(images: NDArray[np.uint8], workers: int | None = None) -> NDArray[np.float32]:
    """Compute the features (n, FEATURE_LENGTH) of images (n, side, side, 3), in processes."""
    with create_process_pool(workers) as pool:
        return np.stack(list(pool.map(_extract_on_one_thread, images, chunksize=64)))


def _extract_on_one_thread(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    from judge.evidence.pretrained import extract_features

    torch.set_num_threads(1)
    return extract_features(pixels)


def fit_detector(
    features: NDArray[np.float32], is_drawing: NDArray[np.bool_], report: Callable[[str], None] = print
) -> tuple[NDArray[np.float32], float]:
    """Fit the regression and choose its threshold.

    Args:
        features: (n, FEATURE_LENGTH).
        is_drawing: (n,): whether each is a drawing. Drawings and others alternate.
        report: called with a line about the images that choose the threshold.

    Returns:
        Weights (FEATURE_LENGTH,) and bias: features @ weights + bias is 0 or more for a drawing.
    """
    held = np.arange(len(features)) // 2 % HELD_SHARE == 0
    mean, scale = features[~held].mean(0), features[~held].std(0) + 1e-6
    weights, bias = _fit_logistic((features[~held] - mean) / scale, is_drawing[~held])
    weights /= scale
    bias -= float(mean @ weights)
    logits = features[held] @ weights + bias
    threshold = float(np.quantile(logits[is_drawing[held]], MAX_REJECTED))
    rejected = float((logits[is_drawing[held]] < threshold).mean())
    passed = float((logits[~is_drawing[held]] >= threshold).mean())
    report(f"held-out: {rejected:.4f} of the drawings rejected, {passed:.4f} of the others not")
    return weights.astype(np.float32), bias - threshold


def _fit_logistic(x: Floats, y: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Fit weights and bias of logistic regression with an L2 penalty, by L-BFGS."""
    from scipy.optimize import minimize
    from scipy.special import expit

    x64, sign = x.astype(np.float64), np.where(y, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights = parameters[:-1]
        margins = sign * (x64 @ weights + parameters[-1])
        value = float(np.logaddexp(0, -margins).mean()) + L2_PENALTY / 2 * float(weights @ weights)
        slope = -sign * expit(-margins) / len(sign)
        return value, np.append(x64.T @ slope + L2_PENALTY * weights, slope.sum())

    result = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return result.x[:-1], float(result.x[-1])


def write_detector(weights: NDArray[np.float32], bias: float, sources: list[str], path: Path) -> None:
    """Write the file that `judge.evidence.drawings` loads.

    Args:
        weights: of the features.
        bias: with the threshold.
        sources: names of the folders of other images that it was fitted on; kept in the file.
        path: the file.
    """
    from safetensors.numpy import save_file

    tensors = {WEIGHT: weights.astype(np.float32), BIAS: np.array([bias], np.float32)}
    save_file(tensors, path, {SOURCES_KEY: json.dumps(sorted(sources))})
