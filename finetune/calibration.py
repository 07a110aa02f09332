"""Fits a calibration on held-out labels: `judge calibrate --suite live-itw --data clive --adapter A`.

Do not use labels that the model was trained on. The measures printed as `after` come from five folds, each
calibrated by the other four; rows of one prompt or scene are in one fold. The calibration that is saved is
fitted on all rows. See `judge.pipeline.calibration` for what is fitted, and `judge.evidence.similarity` for
when a verdict abstains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from eval.metrics.calibration import expected_calibration_error
from eval.metrics.correlation import srcc
from eval.suites import load_suite
from finetune.lora.config import DataConfig
from finetune.lora.losses import opinion_distribution
from finetune.lora.targets import Opinion, Target, TargetSet, load_target_set
from judge.errors import InputError
from judge.evidence.similarity import compute_statistics
from judge.judge import Judge
from judge.media.image import load_image
from judge.pipeline.calibration import Calibration, ImageStatistics, ScoreMap
from judge.pipeline.distributions import apply_temperature, tilt_to_mean
from judge.types import Depth, Verdict

FloatArray = NDArray[np.floating]
FOLDS = 5
MIN_IMAGES = 30
"""Fewest labelled images that a calibration is fitted on."""
MAX_KNOTS = 10
"""Most knots of the map. Each is the mean of the same number of images."""
LINEAR_SHARE = 0.05
"""Share of a straight line in the map. Isotonic regression alone would make ties of what the model ranks."""
COVARIANCE_SHRINKAGE = 0.1
"""Share of the diagonal in the covariance of the image statistics, so that it can be inverted for any
count."""


@dataclass(frozen=True)
class JudgedTarget:
    """A labelled image and its verdict."""

    target: Target
    opinion: Opinion
    verdict: Verdict

    @property
    def score(self) -> float:
        """The verdict's score; 0 if it has none."""
        return self.verdict.score or 0.0


def label_source(suite: str, data: Path, **options: Any) -> DataConfig:
    """Describe the held-out labels of a suite.

    Args:
        suite: name of the suite.
        data: its folder or label file.
        **options: fields of `DataConfig`. `rubric` defaults to the suite's own.

    Raises:
        InputError: there is no such suite, or a number is out of range.
    """
    options["rubric"] = options.get("rubric") or load_suite(suite).rubric
    try:
        return DataConfig(suite=suite, path=data, **options)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first["input"], first["msg"], "correct it") from None


def report_lines(calibration: Calibration) -> Iterator[str]:
    """Yield lines with the measures before and after calibration."""
    for depth in calibration.scales:
        report = calibration.report[depth]
        yield f"{depth} depth, {report['count']} images in {FOLDS} folds: before, after"
        for name, before in report["before"].items():
            after = report["after"][name]
            if before is not None and after is not None:
                yield f"  {name:13} {before:6.3f} {after:6.3f}"
    if calibration.likeness is not None:
        limit, share = calibration.likeness.limit, calibration.likeness.quantile
        yield f"abstains beyond distance {limit:.2f} ({100 * share:g} % of held-out images are nearer)"


def fit_calibration(
    judge: Judge,
    source: DataConfig,
    depths: Sequence[Depth] = (),
    *,
    quantile: float | None = 0.99,
    batch: int = 16,
    report: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """Judge the images of a source and fit a calibration.

    Args:
        judge: the model, without a calibration.
        source: held-out labels.
        depths: depths to calibrate; default: those that the suite is judged at.
        quantile: share of the images that lie within the domain; None: no verdict abstains.
        batch: images judged together.
        report: called with a line about each depth, and about rows that are skipped.

    Raises:
        InputError: the labels are unusable or too few, or all scores are equal.
    """
    if quantile is not None and not 0 < quantile < 1:
        raise InputError("quantile", quantile, "between 0 and 1", "0.99 is the usual one")
    target_set = load_target_set(source, "data", report)
    score_maps: dict[Depth, ScoreMap] = {}
    measures: dict[str, Any] = {}
    for depth in depths or target_set.depths:
        report(f"{len(target_set.targets)} images at {depth} depth")
        judged = _judge_targets(judge, target_set, depth, batch)
        measures[depth] = _cross_fit(judged)
        score_maps[depth] = fit_score_map(judged)
    statistics = None if quantile is None else _fit_image_statistics(target_set.targets, quantile)
    if statistics is not None:
        measures["likeness"] = {"limit": statistics.limit, "quantile": quantile}
    return Calibration(
        rubric=judge.rubric.name,
        rubric_hash=judge.pipeline.asked_rubric.hash,
        model=judge.model,
        revision=judge.backend.revision,
        suite=source.suite,
        count=len(target_set.targets),
        scales=score_maps,
        likeness=statistics,
        report=measures,
    )


def _judge_targets(judge: Judge, target_set: TargetSet, depth: Depth, batch: int) -> list[JudgedTarget]:
    rated = [t for t in target_set.targets if "score" in t.opinions or t.score_blank in t.opinions]
    verdicts = list(judge.many((t.sample.to_sample() for t in rated), depth=depth, batch=batch))
    judged = [
        JudgedTarget(target, target.opinions.get("score") or target.opinions[target.score_blank], verdict)
        for target, verdict in zip(rated, verdicts, strict=True)
        if verdict.status == "scored"
    ]
    if len(judged) < MIN_IMAGES:
        reasons = Counter(verdict.reason for verdict in verdicts if verdict.reason).most_common(1)
        why = f" (most of the others: {reasons[0][0]})" if reasons else ""
        mend = f"{len(judged)} were labelled and scored{why}: use more"
        raise InputError("data", len(target_set.targets), f"at least {MIN_IMAGES} labelled images", mend)
    if np.ptp([row.score for row in judged]) < 1e-6:
        raise InputError(
            "data", judged[0].score, "scores that differ", "this judge gives all of them the same"
        )
    return judged


# Fitting one depth


def fit_score_map(judged: Sequence[JudgedTarget]) -> ScoreMap:
    """Fit the map, the temperatures and the quantiles of one depth."""
    knots = _fit_knots(
        np.array([row.score for row in judged]), np.array([row.opinion.mean for row in judged])
    )
    map_only = ScoreMap(knots=knots, quantiles=[1.0, 5.0])
    mapped = np.array([map_only.map_score(row.score) for row in judged])
    has_elements = any(_labelled_elements(judged))
    return ScoreMap(
        knots=knots,
        temperature=_best_temperature(lambda t: _score_loss(judged, mapped, t)),
        elements=_best_temperature(lambda t: _element_loss(judged, t)) if has_elements else 1.0,
        quantiles=[float(q) for q in np.quantile(mapped, np.linspace(0, 1, 101))],
    )


def _fit_knots(scores: FloatArray, human: FloatArray) -> list[tuple[float, float]]:
    """Fit isotonic regression (Barlow et al. 1972), and reduce it to a few increasing knots over 1 to 5."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(scores, kind="stable")
    x, y = scores[order], np.asarray(isotonic_regression(human[order]).x)
    slope, offset = np.polyfit(x, human[order], 1)
    y = (1 - LINEAR_SHARE) * y + LINEAR_SHARE * (max(slope, 0.1) * x + offset)
    parts = np.array_split(np.arange(len(x)), min(MAX_KNOTS, len(x) // 10))
    means = [(float(x[p].mean()), float(y[p].mean())) for p in parts]
    knots = [means[0]]
    for a, b in means[1:]:
        if a > knots[-1][0] + 1e-6:
            knots.append((a, max(b, knots[-1][1] + 1e-4)))
    knots = [(a, min(4.99, max(1.01, b))) for a, b in knots]
    knots = [pair for n, pair in enumerate(knots) if n == 0 or pair[1] > knots[n - 1][1]]
    (x1, y1), (x2, y2) = knots[0], knots[-1]
    # Outside the fitted scores the map continues to the ends of the scale, no steeper than the score itself.
    first, last = (0.99, max(1.0, y1 - (x1 - 0.99))), (5.01, min(5.0, y2 + (5.01 - x2)))
    return [first, *knots, last]


def _best_temperature(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda log: loss(float(np.exp(log))), bounds=(np.log(0.1), np.log(10)), method="bounded"
    )
    return float(np.exp(result.x))


def _score_loss(judged: Sequence[JudgedTarget], mapped: FloatArray, temperature: float) -> float:
    """Return the mean cross-entropy of the calibrated distributions against those of the opinions."""
    total = 0.0
    for row, mean in zip(judged, mapped, strict=True):
        shares = tilt_to_mean(apply_temperature(row.verdict.distribution or [], temperature), float(mean))
        truth = opinion_distribution(row.opinion.mean, row.opinion.spread)
        total -= sum(t * np.log(max(s, 1e-9)) for s, t in zip(shares, truth, strict=True))
    return total / len(judged)


def _labelled_elements(judged: Sequence[JudgedTarget]) -> tuple[list[float], list[bool]]:
    """Return the probabilities of all labelled elements, and whether they are present."""
    probabilities, truth = [], []
    for row in judged:
        present = list(row.target.values.get("elements", {}).values())
        for index, element in enumerate(row.verdict.elements):
            if f"elements.{index}" in row.target.agreement:
                probabilities.append(element.probability)
                truth.append(bool(present[index]))
    return probabilities, truth


def _element_loss(judged: Sequence[JudgedTarget], temperature: float) -> float:
    """Return the mean cross-entropy of the elements at a temperature."""
    probabilities, truth = _labelled_elements(judged)
    calibrated = [apply_temperature([1 - p, p], temperature)[1] for p in probabilities]
    p = np.clip(calibrated, 1e-6, 1 - 1e-6)
    return float(-np.where(truth, np.log(p), np.log(1 - p)).mean())


# The report


def _cross_fit(judged: Sequence[JudgedTarget]) -> dict[str, Any]:
    """Measure before calibration, and after it with each fold calibrated by the others."""
    names = sorted({row.target.sample.group or row.target.sample.id for row in judged})
    Random(0).shuffle(names)
    fold_of = {name: n % FOLDS for n, name in enumerate(names)}
    folds = [fold_of[row.target.sample.group or row.target.sample.id] for row in judged]
    after: list[JudgedTarget] = []
    for number in range(FOLDS):
        inside = [row for row, fold in zip(judged, folds, strict=True) if fold == number]
        others = [row for row, fold in zip(judged, folds, strict=True) if fold != number]
        if not inside:
            continue
        scales = {inside[0].verdict.provenance.depth: fit_score_map(others)}
        calibration = Calibration(rubric="", rubric_hash="", scales=scales)
        after += [JudgedTarget(row.target, row.opinion, calibration.apply(row.verdict)) for row in inside]
    return {"count": len(judged), "before": _measure(judged), "after": _measure(after)}


def _measure(judged: Sequence[JudgedTarget]) -> dict[str, float | None]:
    """Measure the calibration error of scores and elements, and the error of the scores.

    The calibration error is that of the likeliest label (Guo et al. 2017). Its truth is the share of opinions
    that chose this label.
    """
    distributions = [row.verdict.distribution or [] for row in judged]
    likeliest = [int(np.argmax(shares)) + 1 for shares in distributions]
    chosen = [
        opinion_distribution(row.opinion.mean, row.opinion.spread)[label - 1]
        for label, row in zip(likeliest, judged, strict=True)
    ]
    scores, human = [row.score for row in judged], [row.opinion.mean for row in judged]
    probabilities, truth = _labelled_elements(judged)
    errors = np.array(scores) - np.array(human)
    return {
        "ece": expected_calibration_error([max(shares) for shares in distributions], chosen).value,
        "ece_elements": expected_calibration_error(probabilities, truth).value if probabilities else None,
        "rmse": float(np.sqrt((errors**2).mean())),
        "bias": float(errors.mean()),
        "srcc": srcc(scores, human).value,
    }


# The domain


def _fit_image_statistics(targets: Sequence[Target], quantile: float) -> ImageStatistics:
    """Fit mean and shrunk covariance of the images' statistics, and the distance limit.

    The limit is the quantile of the distances when each fold is measured by the others.
    """
    statistics = np.array([compute_statistics(_representative_image(t)) for t in targets])
    folds = np.random.default_rng(0).permutation(len(statistics)) % FOLDS
    distances = np.concatenate(
        [
            _distances(statistics[folds == n], *_mean_and_precision(statistics[folds != n]))
            for n in range(FOLDS)
        ]
    )
    mean, precision = _mean_and_precision(statistics)
    return ImageStatistics(
        mean=mean.tolist(),
        precision=precision.tolist(),
        limit=float(np.quantile(distances, quantile)),
        quantile=quantile,
    )


def _representative_image(target: Target) -> Image.Image:
    """Return the image, or the frame of the video, that a verdict's domain is tested on."""
    if target.sample.video is None:
        return load_image(target.sample.image).image
    from judge.media.video import load_video

    return load_video(target.sample.video).still


def _mean_and_precision(statistics: FloatArray) -> tuple[FloatArray, FloatArray]:
    covariance: FloatArray = np.cov(statistics, rowvar=False)
    shrunk = (1 - COVARIANCE_SHRINKAGE) * covariance + COVARIANCE_SHRINKAGE * np.diag(np.diag(covariance))
    precision: FloatArray = np.linalg.inv(shrunk + 1e-9 * np.eye(len(shrunk)))
    return statistics.mean(axis=0), precision


def _distances(statistics: FloatArray, mean: FloatArray, precision: FloatArray) -> FloatArray:
    """Return the Mahalanobis distances (n,) of rows (n, statistics)."""
    offsets = statistics - mean
    distances: FloatArray = np.sqrt(np.maximum(0, np.einsum("ni,ij,nj->n", offsets, precision, offsets)))
    return distances
