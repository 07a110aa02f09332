"""Fit a calibration on held-out labels: `judge calibrate --suite live-itw --data clive --adapter A`.

The labels must not be those the model was trained on. What is printed as `after` comes from five folds, each
measured with what the other four say (rows of one prompt or scene stay together); what is saved is fitted on
all of them. See `judge.pipeline.calibration` for what is fitted, and `judge.evidence.similarity` for when a verdict abstains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from eval.metrics.agreement import expected_calibration_error, srcc
from eval.suites import suite as suite_of
from finetune.lora.config import Data
from finetune.lora.losses import opinion_shares
from finetune.lora.targets import Opinion, School, Target, school
from judge.errors import InputError
from judge.evidence.similarity import measured
from judge.judge import Judge
from judge.media import image as media
from judge.pipeline.calibration import Calibration, Likeness, Scale, tempered, tilted
from judge.types import Depth, Verdict

Floats = NDArray[np.floating]
FOLDS = 5
LEAST = 30
"""Fewest labelled pictures that a calibration is fitted on."""
KNOTS = 10
"""Most knots of the map; each is the mean of as many pictures as every other."""
STEEP = 0.05
"""Share of the straight line in the map: isotonic regression alone would tie what the model ranks."""
SHRINK = 0.1
"""How far the facts' covariance is drawn to its diagonal, so that it can be inverted whatever the count."""


@dataclass(frozen=True)
class Judged:
    """A labelled picture and the verdict on it."""

    target: Target
    opinion: Opinion
    verdict: Verdict

    @property
    def score(self) -> float:
        return self.verdict.score or 0.0


def source(suite: str, data: Path, **options: Any) -> Data:
    """The held-out labels of a suite, under its own rubric unless another is named.

    Raises:
        InputError: no such suite, or a number is out of range.
    """
    options["rubric"] = options.get("rubric") or suite_of(suite).rubric
    try:
        return Data(suite=suite, path=data, **options)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first["input"], first["msg"], "mend it") from None


def lines(made: Calibration) -> Iterator[str]:
    """What was measured, before and after, to be read."""
    for depth in made.scales:
        told = made.report[depth]
        yield f"{depth} depth, {told['count']} pictures in {FOLDS} folds: before, after"
        for name, value in told["before"].items():
            after = told["after"][name]
            if value is not None and after is not None:
                yield f"  {name:13} {value:6.3f} {after:6.3f}"
    if made.likeness is not None:
        limit, share = made.likeness.limit, made.likeness.quantile
        yield f"abstains beyond distance {limit:.2f} ({100 * share:g} % of held-out pictures are nearer)"


def calibrate(
    judge: Judge,
    source: Data,
    depths: Sequence[Depth] = (),
    *,
    quantile: float | None = 0.99,
    batch: int = 16,
    tick: Callable[[str], None] = lambda said: None,
) -> Calibration:
    """Judge the source's pictures and fit.

    Args:
        judge: the model, without a calibration of its own.
        source: held-out labels, in the terms of a fine-tuning's data.
        depths: which are calibrated; default: those the source's suite is judged at.
        quantile: share of the pictures that shall lie within the domain; None: no verdict abstains.
        batch: pictures judged together.
        tick: told what is being done.

    Raises:
        InputError: the labels are unusable or too few, or all scores are the same.
    """
    if quantile is not None and not 0 < quantile < 1:
        raise InputError("quantile", quantile, "between 0 and 1", "0.99 is the usual one")
    read = school(source, "data")
    scales: dict[Depth, Scale] = {}
    report: dict[str, Any] = {}
    for depth in depths or read.depths:
        tick(f"{len(read.targets)} pictures at {depth} depth")
        judged = _judged(judge, read, depth, batch)
        report[depth] = _cross_fitted(judged)
        scales[depth] = fit(judged)
    likeness = None if quantile is None else _likeness(read.targets, quantile)
    if likeness is not None:
        report["likeness"] = {"limit": likeness.limit, "quantile": quantile}
    return Calibration(
        rubric=judge.rubric.name,
        rubric_hash=judge.rubric.hash,
        model=judge.model,
        revision=judge.backend.revision,
        suite=source.suite,
        count=len(read.targets),
        scales=scales,
        likeness=likeness,
        report=report,
    )


def _judged(judge: Judge, read: School, depth: Depth, batch: int) -> list[Judged]:
    answered = [t for t in read.targets if "score" in t.opinions or t.answer in t.opinions]
    verdicts = judge.many((t.item.asked() for t in answered), depth=depth, batch=batch)
    found = [
        Judged(target, target.opinions.get("score") or target.opinions[target.answer], verdict)
        for target, verdict in zip(answered, verdicts, strict=True)
        if verdict.status == "scored"
    ]
    if len(found) < LEAST:
        mend = f"{len(found)} were labelled and scored: take more"
        raise InputError("data", len(read.targets), f"at least {LEAST} labelled pictures", mend)
    if np.ptp([row.score for row in found]) < 1e-6:
        raise InputError(
            "data", found[0].score, "scores that differ", "this judge gives all of them the same"
        )
    return found


# ------------------------------------------------------------------------------------------ fitting one scale


def fit(judged: Sequence[Judged]) -> Scale:
    """The map, the temperatures and the quantiles of some verdicts."""
    knots = _knots(np.array([row.score for row in judged]), np.array([row.opinion.mean for row in judged]))
    bare = Scale(knots=knots, quantiles=[1.0, 5.0])
    mapped = np.array([bare.mapped(row.score) for row in judged])
    return Scale(
        knots=knots,
        temperature=_best(lambda t: _score_loss(judged, mapped, t)),
        elements=_best(lambda t: _element_loss(judged, t)) if any(_elements(judged)) else 1.0,
        quantiles=[float(q) for q in np.quantile(mapped, np.linspace(0, 1, 101))],
    )


def _knots(score: Floats, human: Floats) -> list[tuple[float, float]]:
    """Isotonic regression (Barlow et al. 1972) brought to a few knots that rise, 1 to 5 covered."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(score, kind="stable")
    x, y = score[order], np.asarray(isotonic_regression(human[order]).x)
    slope, offset = np.polyfit(x, human[order], 1)
    y = (1 - STEEP) * y + STEEP * (max(slope, 0.1) * x + offset)
    parts = np.array_split(np.arange(len(x)), min(KNOTS, len(x) // 10))
    known = [(float(x[p].mean()), float(y[p].mean())) for p in parts]
    risen = [known[0]]
    for a, b in known[1:]:
        if a > risen[-1][0] + 1e-6:
            risen.append((a, max(b, risen[-1][1] + 1e-4)))
    risen = [(a, min(4.99, max(1.01, b))) for a, b in risen]
    risen = [pair for n, pair in enumerate(risen) if n == 0 or pair[1] > risen[n - 1][1]]
    (x1, y1), (x2, y2) = risen[0], risen[-1]
    # Beyond what was seen the map runs to the ends of the scale no faster than the model's own score does.
    ends = [(0.99, max(1.0, y1 - (x1 - 0.99)))], [(5.01, min(5.0, y2 + (5.01 - x2)))]
    return [*ends[0], *risen, *ends[1]]


def _best(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: loss(float(np.exp(log))), bounds=(np.log(0.1), np.log(10)), method="bounded"
    )
    return float(np.exp(found.x))


def _score_loss(judged: Sequence[Judged], mapped: Floats, temperature: float) -> float:
    """Mean cross-entropy of the calibrated distributions against the opinions'."""
    total = 0.0
    for row, mean in zip(judged, mapped, strict=True):
        said = tilted(tempered(row.verdict.distribution or [], temperature), float(mean))
        true = opinion_shares(row.opinion.mean, row.opinion.spread)
        total -= sum(t * np.log(max(s, 1e-9)) for s, t in zip(said, true, strict=True))
    return total / len(judged)


def _elements(judged: Sequence[Judged]) -> tuple[list[float], list[bool]]:
    """Probabilities of all labelled elements, and whether they are there."""
    told, true = [], []
    for row in judged:
        present = list(row.target.values.get("elements", {}).values())
        for at, element in enumerate(row.verdict.elements):
            if f"elements.{at}" in row.target.agreement:
                told.append(element.probability)
                true.append(bool(present[at]))
    return told, true


def _element_loss(judged: Sequence[Judged], temperature: float) -> float:
    told, true = _elements(judged)
    p = np.clip([tempered([1 - t, t], temperature)[1] for t in told], 1e-6, 1 - 1e-6)
    return float(-np.where(true, np.log(p), np.log(1 - p)).mean())


# ---------------------------------------------------------------------------------------------- the report


def _cross_fitted(judged: Sequence[Judged]) -> dict[str, Any]:
    """Measures before, and after with each fold calibrated by the others."""
    names = sorted({row.target.item.group or row.target.item.id for row in judged})
    Random(0).shuffle(names)
    fold = {name: n % FOLDS for n, name in enumerate(names)}
    places = [fold[row.target.item.group or row.target.item.id] for row in judged]
    after: list[Judged] = []
    for at in range(FOLDS):
        inside = [row for row, place in zip(judged, places, strict=True) if place == at]
        others = [row for row, place in zip(judged, places, strict=True) if place != at]
        if not inside:
            continue
        scale = fit(others)
        made = Calibration(rubric="", rubric_hash="", scales={inside[0].verdict.provenance.depth: scale})
        after += [Judged(row.target, row.opinion, made.applied(row.verdict)) for row in inside]
    return {"count": len(judged), "before": _measures(judged), "after": _measures(after)}


def _measures(judged: Sequence[Judged]) -> dict[str, float | None]:
    """Calibration error of the likeliest label (Guo et al. 2017, the truth being the share of opinions that
    chose it) and of elements, and the error of the score itself."""
    shares = [row.verdict.distribution or [] for row in judged]
    likeliest = [int(np.argmax(s)) + 1 for s in shares]
    chosen = [
        opinion_shares(row.opinion.mean, row.opinion.spread)[label - 1]
        for label, row in zip(likeliest, judged, strict=True)
    ]
    score, human = [row.score for row in judged], [row.opinion.mean for row in judged]
    told, true = _elements(judged)
    errors = np.array(score) - np.array(human)
    return {
        "ece": expected_calibration_error([max(s) for s in shares], chosen).value,
        "ece_elements": expected_calibration_error(told, true).value if told else None,
        "rmse": float(np.sqrt((errors**2).mean())),
        "bias": float(errors.mean()),
        "srcc": srcc(score, human).value,
    }


# ---------------------------------------------------------------------------------------------- the domain


def _likeness(targets: Sequence[Target], quantile: float) -> Likeness:
    """Mean and shrunk covariance of the pictures' facts, and the distance that the asked share of pictures
    keeps when each fold is measured by the others."""
    facts = np.array([measured(media.load(target.item.image).image) for target in targets])
    places = np.random.default_rng(0).permutation(len(facts)) % FOLDS
    held = np.concatenate(
        [_distances(facts[places == n], *_spread(facts[places != n])) for n in range(FOLDS)]
    )
    mean, precision = _spread(facts)
    return Likeness(
        mean=mean.tolist(),
        precision=precision.tolist(),
        limit=float(np.quantile(held, quantile)),
        quantile=quantile,
    )


def _spread(facts: Floats) -> tuple[Floats, Floats]:
    covariance: Floats = np.cov(facts, rowvar=False)
    shrunk = (1 - SHRINK) * covariance + SHRINK * np.diag(np.diag(covariance))
    precision: Floats = np.linalg.inv(shrunk + 1e-9 * np.eye(len(shrunk)))
    return facts.mean(axis=0), precision


def _distances(facts: Floats, mean: Floats, precision: Floats) -> Floats:
    off = facts - mean
    found: Floats = np.sqrt(np.maximum(0, np.einsum("ni,ij,nj->n", off, precision, off)))
    return found
