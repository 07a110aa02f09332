"""Benchmarks with one human score (MOS) per image or video, measured by correlations.

Such benchmarks differ in how labels and predictions are stored, whether Pearson's correlation is taken after
a logistic mapping, and how the numbers are weighted into one. `MosProtocol` states the last two; the module
of each benchmark reads its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from eval.metrics.averages import weighted_sum
from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.metric_value import MetricValue
from eval.metrics.prediction_error import mae, rescaled_rmse, rmse
from eval.suites.readers.xlsx import read_workbook
from eval.suites.shared.name_matching import shorten_list
from eval.suites.shared.reading import ReadLabels, check_unique_ids, read_samples
from eval.suites.shared.samples import JudgedSample, get_dimension_score, get_predicted_score
from eval.suites.shared.scoring import add_note, build_unscored_metric, match_names
from eval.suites.shared.suite import MediaKind, Metrics, Submission, Suite
from judge.errors import InputError

ReadPredictions = Callable[[Path], dict[str, float]]
"""Reads a file of predictions: name -> score."""


@dataclass(frozen=True)
class MosProtocol:
    """How a benchmark computes its official numbers from predicted and human scores."""

    logistic_parameters: int = 0
    """Parameters of the logistic mapping before Pearson's correlation: 4, 5, or 0 for none."""
    errors: Literal["", "fitted", "rescaled"] = ""
    """Which RMSE and MAE are the official `rmse` and `mae`: after the logistic mapping (`fitted`, with 4
    parameters where `logistic_parameters` is 0), or, RMSE alone, of predictions rescaled to the mean and the
    standard deviation of the truth (`rescaled`, which has `rmse_fitted` and `mae_fitted` beside it). Empty
    where neither is official. `rmse_raw` and `mae_raw` are always without a mapping."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"srcc": 0.5, "plcc": 0.5})
    """Weights of the numbers in `final`; empty where the benchmark has no single number."""
    note: str = ""
    """A remark on `final`, for example that the rule could not be verified."""


def build_mos_suite(
    *,
    name: str,
    title: str,
    source: str,
    read_labels: ReadLabels,
    label_files: Mapping[str, tuple[str, ...]],
    default_split: str,
    read_predictions: ReadPredictions,
    protocol: MosProtocol,
    rubric: str = "default",
    kind: MediaKind = "image",
    dimension: str = "",
    extra_dimensions: Mapping[str, str] | None = None,
    mos_range: tuple[float, float] | None = None,
    submission: Submission | None = None,
) -> Suite:
    """Build the suite of a benchmark with one human score per image or video.

    Args:
        name: name of the suite.
        title: name of the benchmark in words.
        source: where the data set is officially obtained.
        read_labels: reads a label file.
        label_files: split -> names that its label file may have.
        default_split: split that is read when none is requested.
        read_predictions: reads a file of predictions.
        protocol: how the official numbers are computed.
        rubric: name of the rubric that fits the labels.
        kind: kind of the media.
        dimension: dimension of the verdict that predicts the human score; empty: the overall score.
        extra_dimensions: human dimension -> dimension of the verdict; each is measured as well.
        mos_range: worst and best value of the human scale; None when it is open.
        submission: what the benchmark's challenge expects.
    """
    return Suite(
        name=name,
        title=title,
        source=source,
        read=partial(
            read_samples,
            read_labels=read_labels,
            label_files=label_files,
            default_split=default_split,
            source=source,
            kind=kind,
        ),
        evaluate=partial(
            evaluate_mos, protocol=protocol, dimension=dimension, extra_dimensions=extra_dimensions
        ),
        score_files=partial(
            score_mos_files, read_labels=read_labels, read_predictions=read_predictions, protocol=protocol
        ),
        rubric=rubric,
        kind=kind,
        depth="score",
        dimension=dimension,
        mos_range=mos_range,
        splits=tuple(label_files),
        default_split=default_split,
        submission=submission,
    )


def compute_mos_metrics(predicted: Iterable[float], mos: Iterable[float], protocol: MosProtocol) -> Metrics:
    """Compute all numbers of a protocol.

    Returns:
        `srcc`, `plcc` (the official one), `plcc_raw`, `plcc_fitted`, `krcc`, and where the protocol has them
        `rmse`, `mae`, `rmse_raw`, `mae_raw` and `final`; see `MosProtocol.errors`.
    """
    x, y = np.array(list(predicted), dtype=np.float64), np.array(list(mos), dtype=np.float64)
    parameters = protocol.logistic_parameters or 4
    metrics: Metrics = {
        "srcc": srcc(x, y, interval=True),
        "plcc_raw": plcc(x, y, interval=True),
        "plcc_fitted": plcc(x, y, logistic_parameters=parameters, interval=True),
        "krcc": krcc(x, y, interval=True),
    }
    official_plcc = metrics["plcc_fitted" if protocol.logistic_parameters else "plcc_raw"]
    metrics = {"srcc": metrics["srcc"], "plcc": official_plcc, **metrics}
    if protocol.errors:
        suffix = "" if protocol.errors == "fitted" else "_fitted"
        if protocol.errors == "rescaled":
            metrics["rmse"] = rescaled_rmse(x, y, interval=True)
        metrics[f"rmse{suffix}"] = rmse(x, y, logistic_parameters=parameters, interval=True)
        metrics[f"mae{suffix}"] = mae(x, y, logistic_parameters=parameters, interval=True)
        metrics["rmse_raw"] = rmse(x, y, interval=True)
        metrics["mae_raw"] = mae(x, y, interval=True)
    if protocol.weights:
        metrics["final"] = add_note(weighted_sum(metrics, protocol.weights), protocol.note)
    return metrics


def evaluate_mos(
    judged_samples: Iterable[JudgedSample],
    *,
    protocol: MosProtocol,
    dimension: str = "",
    extra_dimensions: Mapping[str, str] | None = None,
) -> Metrics:
    """Compare verdicts with human scores.

    Unscored verdicts are left out of all numbers but `unscored`, which counts them.

    Args:
        judged_samples: samples with their verdicts.
        protocol: how the official numbers are computed.
        dimension: dimension of the verdict that predicts `GroundTruth.mos`.
        extra_dimensions: human dimension -> dimension of the verdict (empty: the overall score); each gives
            `srcc_NAME` and `plcc_NAME`, undefined where no verdict has the dimension.
    """
    dimensions = {"": dimension, **(extra_dimensions or {})}
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in dimensions}
    unscored = total = 0
    for judged in judged_samples:
        labels, total = judged.sample.labels, total + 1
        human_scores = {"": labels.mos, **labels.mos_by_dimension}
        for human_name, own_name in dimensions.items():
            is_main = human_name == "" or own_name == ""
            predicted = (
                get_predicted_score(judged, own_name) if is_main else get_dimension_score(judged, own_name)
            )
            mos = human_scores.get(human_name)
            if human_name == "":
                unscored += predicted is None
            if predicted is not None and mos is not None:
                pairs[human_name].append((predicted, mos))
    main_pairs = pairs.pop("")
    metrics = compute_mos_metrics([p for p, _ in main_pairs], [t for _, t in main_pairs], protocol)
    extra_parameters = 4 if protocol.logistic_parameters else 0
    for name, scores in pairs.items():
        if not scores and main_pairs:
            note = f"no verdict has the dimension {dimensions[name]!r}: use a rubric that has it"
            metrics[f"srcc_{name}"] = metrics[f"plcc_{name}"] = MetricValue(None, note, 0)
            continue
        x, y = [p for p, _ in scores], [t for _, t in scores]
        metrics[f"srcc_{name}"] = srcc(x, y, interval=True)
        metrics[f"plcc_{name}"] = plcc(x, y, logistic_parameters=extra_parameters, interval=True)
    return metrics | build_unscored_metric(unscored, total)


def score_mos_files(
    pred: Path,
    truth: Path,
    *,
    read_labels: ReadLabels,
    read_predictions: ReadPredictions,
    protocol: MosProtocol,
) -> Metrics:
    """Compute the official numbers of a prediction file against a label file.

    Raises:
        InputError: a file cannot be read, the labels have no scores, or predictions are missing.
    """
    labels = {sample.id: sample.labels.mos for sample in check_unique_ids(read_labels(truth), truth)}
    mos = {name: value for name, value in labels.items() if value is not None}
    if not mos:
        raise InputError(
            "truth", str(truth), "labels with scores", "this file has none: take another split's"
        )
    predicted = read_predictions(pred)
    unlabelled = [name for name in labels if name not in mos]
    names, extra = match_names(
        {n: s for n, s in predicted.items() if labels.get(n, 0) is not None}, mos, pred
    )
    if unlabelled:
        note = f"names without a score in the labels, left out: {shorten_list(unlabelled)}"
        extra["unlabelled"] = MetricValue(float(len(unlabelled)), note, len(labels))
    metrics = compute_mos_metrics((predicted[n] for n in names), (mos[n] for n in names), protocol) | extra
    if truth.suffix.lower() == ".xlsx":
        notes = "; ".join(read_workbook(truth).notes)
        metrics = {key: add_note(metric, notes) for key, metric in metrics.items()}
    return metrics
