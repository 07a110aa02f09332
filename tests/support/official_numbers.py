"""Official numbers of prediction files, and made-up predictions to compute them from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.optimize import curve_fit
from scipy.stats import pearsonr

from eval.runs.official_scores import score_predictions


def score_values(name: str, pred: Path, truth: Path) -> dict[str, float | None]:
    """Return the values of all metrics of a suite."""
    return {key: metric.value for key, metric in score_predictions(name, pred, truth).items()}


def make_scores(
    random: Generator, count: int = 50, prefix: str = "v", suffix: str = ".mp4"
) -> tuple[dict[str, float], dict[str, float]]:
    """Return noisy predictions and true scores 0..5 by name."""
    truth = {f"{prefix}{i}{suffix}": float(random.uniform(0, 5)) for i in range(count)}
    return {name: score + float(random.normal(0, 0.8)) for name, score in truth.items()}, truth


def fitted_plcc(x, y) -> float:
    """Compute PLCC after the 4-parameter logistic as the organisers do, independently of `eval.metrics`."""
    x, y = np.asarray(x, float), np.asarray(y, float)

    def curve(z, b1, b2, b3, b4):
        return b2 + (b1 - b2) / (1 + np.exp(-(z - b3) / np.abs(b4)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best, _ = curve_fit(curve, x, y, p0=[y.max(), y.min(), x.mean(), x.std()], maxfev=10**8)
    return float(pearsonr(curve(x, *best), y).statistic)
