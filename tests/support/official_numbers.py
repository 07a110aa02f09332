"""Official numbers of prediction files, and made-up predictions to compute them from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.optimize import curve_fit
from scipy.stats import kendalltau, pearsonr, spearmanr

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


def fit_curve(x, y) -> np.ndarray:
    """Map x by the 4-parameter logistic fitted to y, as the organisers fit it."""
    x, y = np.asarray(x, float), np.asarray(y, float)

    def curve(z, b1, b2, b3, b4):
        return b2 + (b1 - b2) / (1 + np.exp(-(z - b3) / np.abs(b4)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best, _ = curve_fit(curve, x, y, p0=[y.max(), y.min(), x.mean(), x.std()], maxfev=10**8)
    return curve(x, *best)


def fitted_plcc(x, y) -> float:
    """Compute PLCC after the 4-parameter logistic as the organisers do."""
    return float(pearsonr(fit_curve(x, y), y).statistic)


def correlations(x, y) -> dict[str, float]:
    """Compute the raw correlations with scipy, by our names."""
    return {
        "srcc": float(spearmanr(x, y).statistic),
        "plcc_raw": float(pearsonr(x, y).statistic),
        "krcc": float(kendalltau(x, y).statistic),
    }


def sdg_iou(a: list[int], b: list[int]) -> float:
    inter = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def sdg_numbers(truth: dict[str, list[dict]], given: dict[str, list[dict]]) -> dict[str, float]:
    """Compute BoxF1 of the authors' script and of the paper, and clean accuracy, from boxes by image."""
    from scipy.optimize import linear_sum_assignment

    def f1(tp: int, predicted: int, true: int) -> float:
        return 2 * tp / (predicted + true)

    def cost(a: list[int], b: list[int]) -> float:
        centre = sum(((a[k] + a[k + 2] - b[k] - b[k + 2]) / 2) ** 2 for k in (0, 1))
        diagonal = sum((max(a[k + 2], b[k + 2]) - min(a[k], b[k])) ** 2 for k in (0, 1))
        return 1 - sdg_iou(a, b) + centre / diagonal

    numbers: dict[str, float] = {}
    for limit in (0.1, 0.5):
        hits, false, all_true = [], [], [box["label"] for boxes in truth.values() for box in boxes]
        for name, boxes in truth.items():
            found = sorted(
                ((sdg_iou(p["box_2d"], t["box_2d"]), i, j)
                 for i, p in enumerate(given[name]) for j, t in enumerate(boxes)),
                reverse=True,
            )  # fmt: skip
            used: dict[int, int] = {}
            for iou, i, j in found:
                a, b = given[name][i]["label"], boxes[j]["label"]
                if iou >= limit and i not in used and j not in used.values() and (a == b or "both" in (a, b)):
                    used[i] = j
            hits += [boxes[j]["label"] for j in used.values()]
            false += [box["label"] for i, box in enumerate(given[name]) if i not in used]
        numbers[f"box_f1@{limit}"] = f1(len(hits), len(hits) + len(false), len(all_true))
        for label in ("artifact", "misalignment", "both"):
            tp = hits.count(label)
            numbers[f"script_box_f1@{limit}/{label}"] = f1(tp, tp + false.count(label), all_true.count(label))
        for label in ("artifact", "misalignment"):
            tp = predicted = true = 0
            clean = []
            for name, boxes in truth.items():
                p = [b["box_2d"] for b in given[name] if b["label"] in (label, "both")]
                t = [b["box_2d"] for b in boxes if b["label"] in (label, "both")]
                predicted, true = predicted + len(p), true + len(t)
                clean += [not p] if not t else []
                if p and t:
                    i, j = linear_sum_assignment([[cost(a, b) for b in t] for a in p])
                    tp += sum(sdg_iou(p[a], t[b]) >= limit for a, b in zip(i, j, strict=True))
            numbers[f"box_f1@{limit}/{label}"] = f1(tp, predicted, true)
            numbers[f"clean_accuracy/{label}"] = float(np.mean(clean))
    return numbers
