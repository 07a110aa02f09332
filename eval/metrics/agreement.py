"""Pure measures of agreement between a judge and the truth.

Every function returns a `Measure` (or a small record of them): a number, or no number and the reason in
words. None of them returns NaN. Unusable input (sides of different length, infinities) raises `InputError`:
it is a mistake of the caller, while an undefined correlation is a fact about the data.

Regions of one kind are pooled over the data set: counts are summed over all pictures before they are
divided, so a picture with many defects weighs more than a picture with one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.bootstrap import (
    Interval,
    Measure,
    bootstrap,
    combined,
    draws,
    interval_of,
    percentiles,
    rounds_for,
)
from eval.metrics.bootstrap import share as share_interval
from eval.metrics.pairs import (
    Strength,
    bradley_terry,
    inversion_accuracy,
    pairwise_accuracy,
    preference_accuracy,
    tie_accuracy,
    tie_optimised_accuracy,
)
from judge.errors import InputError

__all__ = [
    "Box",
    "Interval",
    "Measure",
    "RegionF1",
    "Strength",
    "accuracy",
    "accuracy_by_kind",
    "bootstrap",
    "box_f1",
    "box_iou",
    "boxes_mask",
    "bradley_terry",
    "Bin",
    "calibration",
    "combined",
    "constant_accuracy",
    "element_accuracy",
    "element_f1",
    "expected_calibration_error",
    "f1_of",
    "fit_logistic",
    "image_accuracy",
    "interval_of",
    "inversion_accuracy",
    "krcc",
    "mae",
    "median_over",
    "pairwise_accuracy",
    "pixel_f1",
    "pixel_iou",
    "plcc",
    "preference_accuracy",
    "mean",
    "overlap",
    "region_counts",
    "region_f1",
    "rmse",
    "share_interval",
    "srcc",
    "tie_accuracy",
    "tie_optimised_accuracy",
]

Floats = NDArray[np.float64]
Box = Sequence[float]
"""x1, y1, x2, y2 in pixels; x2 and y2 exclusive."""

SIDE = 512
"""Side in pixels to which the structure track resizes every mask."""
LEAST_PREDICTED = 157.2864
"""A predicted region counts when its contour area (pixels at 512x512) exceeds this: 0.0006 of the picture."""
LEAST_TRUE = 150.0
"""A true region counts when its contour area (pixels at 512x512) exceeds this."""


# ---------------------------------------------------------------------------------------- correlations


def srcc(predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False) -> Measure:
    """Spearman's rank correlation, -1..1; ties take their mean rank."""
    from scipy.stats import spearmanr

    plain = _correlation(predicted, truth, lambda x, y: float(spearmanr(x, y).statistic))
    if not interval or plain.value is None:
        return plain
    return replace(plain, interval=_rank_interval(*_pairs(predicted, truth)))


def plcc(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    fitted: bool = False,
    parameters: int = 4,
    interval: bool = False,
) -> Measure:
    """Pearson's linear correlation, -1..1.

    Args:
        predicted: one number per thing.
        truth: one number per thing.
        fitted: after the logistic of `fit_logistic`.
        parameters: of that logistic, 4 or 5.
        interval: with a bootstrap interval; the fitted curve is held fixed in it.
    """
    from scipy.stats import pearsonr

    def pearson(x: Floats, y: Floats) -> float:
        return float(pearsonr(x, y).statistic)

    plain = _correlation(predicted, truth, pearson)
    if plain.value is None:
        return plain
    x, y = _pairs(predicted, truth)
    if fitted:
        curve = fit_logistic(x, y, parameters=parameters)
        if isinstance(curve, str):
            return Measure(None, curve, len(x))
        if _flat(curve):
            return Measure(None, "the fitted curve is flat, so the correlation is undefined", len(x))
        x, plain = curve, _correlation(curve, y, pearson)
    if not interval or plain.value is None:
        return plain
    return replace(plain, interval=_linear_interval(x, y))


def krcc(predicted: ArrayLike, truth: ArrayLike, *, interval: bool = False) -> Measure:
    """Kendall's rank correlation tau-b, -1..1."""
    from scipy.stats import kendalltau

    plain = _correlation(predicted, truth, lambda x, y: float(kendalltau(x, y).statistic))
    if not interval or plain.value is None:
        return plain
    from eval.metrics.pairs import tau_interval

    return replace(plain, interval=tau_interval(*_pairs(predicted, truth), plain.value))


def rmse(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    fitted: bool = False,
    parameters: int = 4,
    interval: bool = False,
) -> Measure:
    """Root of the mean squared error, on the scale of the truth; `fitted`: after the logistic."""
    return _error(predicted, truth, np.square, np.sqrt, fitted, parameters, interval)


def mae(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    fitted: bool = False,
    parameters: int = 4,
    interval: bool = False,
) -> Measure:
    """Mean absolute error, on the scale of the truth; `fitted`: after the logistic."""
    return _error(predicted, truth, np.abs, lambda mean: mean, fitted, parameters, interval)


def median_over(
    measure: Callable[[Floats, Floats], Measure],
    predicted: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Hashable],
    *,
    interval: bool = False,
) -> Measure:
    """Median over groups (scenes) of a measure within each; groups where it is undefined are left out.

    The interval draws whole groups. `count` is the number of groups the median is taken over.
    """
    x, y = _pairs(predicted, truth)
    if len(groups) != len(x):
        raise InputError("groups", len(groups), f"one per prediction, {len(x)}", "pair all sides first")
    rows: dict[Hashable, list[int]] = {}
    for at, group in enumerate(groups):
        rows.setdefault(group, []).append(at)
    values = [measure(x[at], y[at]).value for at in rows.values()]
    defined = np.array([value for value in values if value is not None])
    if not len(defined):
        return Measure(None, f"undefined within each of the {len(rows)} groups", 0)
    lost = len(values) - len(defined)
    note = f"{lost} of {len(values)} groups were left out: undefined within them" if lost else ""
    median = Measure(float(np.median(defined)), note, len(defined))
    if not interval:
        return median
    return replace(
        median, interval=bootstrap(lambda draw: float(np.median(defined[draw])), len(defined), rounds=1000)
    )


def fit_logistic(predicted: ArrayLike, truth: ArrayLike, *, parameters: int = 4) -> Floats | str:
    """The predictions mapped onto the scale of the truth by a logistic curve.

    4 parameters: `b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))`, started at b = [max truth, min truth, mean
    prediction, standard deviation of the predictions (ddof 0)].
    5 parameters: `b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5`, started at b = [range of the truth, b2,
    mean prediction, 0, mean truth] with several b2 around 1 / standard deviation of the predictions; the fit
    with the least squared error is taken, since this curve has many local minima.

    Returns:
        The mapped predictions, or the reason why there are none.
    """
    if parameters not in (4, 5):
        raise InputError("parameters", parameters, "4 or 5", "choose one of these")
    x, y = _pairs(predicted, truth)
    if len(x) < parameters:
        return f"the {parameters}-parameter logistic needs at least {parameters} pairs, there are {len(x)}"
    if _flat(x):
        return "all predictions are equal, so no curve can be fitted to them"
    curve, starts = (_four, [_start_four(x, y)]) if parameters == 4 else (_five, _starts_five(x, y))
    fits = [mapped for start in starts if (mapped := _fit(curve, x, y, start)) is not None]
    if not fits:
        return f"the fit of the {parameters}-parameter logistic did not converge"
    return min(fits, key=lambda mapped: float(np.square(mapped - y).sum()))


def _fit(curve: Callable[..., Floats], x: Floats, y: Floats, start: list[float]) -> Floats | None:
    from scipy.optimize import OptimizeWarning, curve_fit

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Only the covariance of the parameters is affected, which nobody reads here.
            warnings.simplefilter("ignore", OptimizeWarning)
            best, _ = curve_fit(curve, x, y, p0=start, maxfev=100_000 if len(start) == 4 else 5_000)
            mapped = curve(x, *best)
    except RuntimeError:
        return None
    return mapped if np.isfinite(mapped).all() else None


def _four(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    from scipy.special import expit

    return np.asarray(b2 + (b1 - b2) * expit((x - b3) / max(abs(b4), 1e-12)))


def _five(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    from scipy.special import expit

    return np.asarray(b1 * (0.5 - expit(-b2 * (x - b3))) + b4 * x + b5)


def _start_four(x: Floats, y: Floats) -> list[float]:
    return [float(y.max()), float(y.min()), float(x.mean()), float(x.std())]


def _starts_five(x: Floats, y: Floats) -> list[list[float]]:
    span, steep = float(np.ptp(y)), 1 / float(x.std())
    return [[span, b2 * steep, float(x.mean()), 0.0, float(y.mean())] for b2 in (1.0, -1.0, 0.1, 5.0)]


def _error(
    predicted: ArrayLike,
    truth: ArrayLike,
    of: Callable[[Floats], Floats],
    undo: Callable[[Floats], Floats],
    fitted: bool,
    parameters: int,
    interval: bool,
) -> Measure:
    x, y = _pairs(predicted, truth)
    if not len(x):
        return Measure(None, "there is nothing to compare", 0)
    if fitted:
        curve = fit_logistic(x, y, parameters=parameters)
        if isinstance(curve, str):
            return Measure(None, curve, len(x))
        x = curve
    errors = of(x - y)
    span = interval_of(errors[:, None], lambda sums: undo(sums[:, 0] / len(errors))) if interval else None
    return Measure(float(undo(errors.mean())), "", len(x), span)


def _linear_interval(x: Floats, y: Floats) -> Interval:
    # Standardised, so that sums of squares keep their digits.
    a, b = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    count = len(a)

    def pearson(sums: Floats) -> Floats:
        sa, sb, saa, sbb, sab = sums.T / count
        return np.asarray((sab - sa * sb) / np.sqrt((saa - sa * sa) * (sbb - sb * sb)))

    return interval_of(np.stack([a, b, a * a, b * b, a * b], axis=1), pearson)


def _rank_interval(x: Floats, y: Floats) -> Interval:
    """Spearman's correlation of draws: a draw's ranks follow from how often each value occurs in it."""
    count, rounds = len(x), rounds_for(len(x))
    if count < 3:
        return Interval(None, None, f"an interval needs at least 3 pairs, there are {count}")
    (_, ix), (_, iy) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    values = []
    with np.errstate(all="ignore"):
        for block in draws(count, rounds):
            for weights in block:
                a, b = _weighted_ranks(ix, weights), _weighted_ranks(iy, weights)
                # Ranks of a draw have mean count / 2. No dot products: BLAS threads cost more than they save.
                a, b = a - count / 2, b - count / 2
                wa = weights * a
                aa, bb, ab = (wa * a).sum(), (weights * b * b).sum(), (wa * b).sum()
                values.append(ab / np.sqrt(aa * bb))
    return percentiles(np.array(values))


def _weighted_ranks(places: NDArray[np.intp], weights: NDArray[np.int64]) -> Floats:
    """Mean rank of each row's value in a draw; `places` are indices into the sorted distinct values."""
    occurs = np.bincount(places, weights=weights)
    return np.asarray((np.cumsum(occurs) - occurs / 2)[places])


def _pairs(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError("predicted", x.shape, f"one number per truth, {y.shape}", "pair both sides first")
    for name, side in (("predicted", x), ("truth", y)):
        if not np.isfinite(side).all():
            at = int(np.flatnonzero(~np.isfinite(side))[0])
            raise InputError(f"{name}[{at}]", side[at], "finite numbers", "leave unscored rows out")
    return x, y


def _flat(values: Floats) -> bool:
    """Whether all values are equal up to rounding: correlations of such values are noise."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _correlation(
    predicted: ArrayLike, truth: ArrayLike, statistic: Callable[[Floats, Floats], float]
) -> Measure:
    x, y = _pairs(predicted, truth)
    if len(x) < 2:
        return Measure(None, f"a correlation needs at least 2 pairs, there are {len(x)}", len(x))
    for name, side in (("predictions", x), ("true values", y)):
        if _flat(side):
            return Measure(None, f"all {name} are equal, so the correlation is undefined", len(x))
    value = statistic(x, y)
    if not np.isfinite(value):  # differences too small for the statistic's own arithmetic
        return Measure(None, "the values differ too little for a correlation", len(x))
    return Measure(min(1.0, max(-1.0, value)), "", len(x))


# -------------------------------------------------------------------------------- yes-and-no questions


def accuracy(
    predicted: Sequence[Hashable | None],
    truth: Sequence[Hashable],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> Measure:
    """Share of equal answers, 0..1. An answer of None (not given) is wrong.

    The interval draws whole `groups` (the picture each answer belongs to), single answers when None.
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} answers", "pair both sides first")
    if not truth:
        return Measure(None, "there is nothing to compare", 0)
    right = [p is not None and p == t for p, t in zip(predicted, truth, strict=True)]
    span = share_interval(_tally([[r, 1] for r in right], groups)) if interval else None
    return Measure(sum(right) / len(truth), "", len(truth), span)


def element_accuracy(
    probabilities: Sequence[float | None],
    truth: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> Measure:
    """Share of elements judged right, pooled over all pictures; both sides are cut at >= 0.5.

    Args:
        probabilities: that the element is present, 0..1; None where the judge gave no answer (wrong).
        truth: 0..1, for example the mean over annotators; a boolean is fine.
        groups: the picture each element belongs to; the interval draws pictures.
        interval: with a bootstrap interval.
    """
    return accuracy(_cut(probabilities), _cut(truth), groups=groups, interval=interval)


def element_f1(
    probabilities: Sequence[float | None],
    truth: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    interval: bool = False,
) -> tuple[Measure, Measure, Measure]:
    """F1, precision and recall of "present", pooled over all pictures; both sides are cut at >= 0.5.

    An element without an answer counts as not found.
    """
    if len(probabilities) != len(truth):
        raise InputError("probabilities", len(probabilities), f"{len(truth)} answers", "pair both sides")
    rows = [
        [bool(p and t), bool(p), bool(p and t), bool(t)]
        for p, t in zip(_cut(probabilities), _cut(truth), strict=True)
    ]
    counts = _tally(rows, groups).astype(np.int64).reshape(-1, 4)
    return f1_of(counts, "present element", interval=interval)


def _cut(values: Sequence[float | None]) -> list[bool | None]:
    return [None if value is None else bool(value >= 0.5) for value in values]


def _tally(rows: Sequence[Sequence[float]], groups: Sequence[Hashable] | None) -> Floats:
    """Sums of the rows within each group, shape (groups, columns); the rows themselves without groups."""
    table = np.array(rows, dtype=np.float64)
    if groups is None or not len(table):
        return table
    if len(groups) != len(table):
        raise InputError("groups", len(groups), f"one per answer, {len(table)}", "pair all sides first")
    names: dict[Hashable, int] = {}
    places = np.array([names.setdefault(group, len(names)) for group in groups])
    return np.stack([np.bincount(places, weights=column) for column in table.T], axis=1)


def constant_accuracy(truth: Sequence[Hashable]) -> Measure:
    """Accuracy of the best constant answer: what a judge that never looks would get."""
    if not truth:
        return Measure(None, "there is nothing to compare", 0)
    return Measure(max(truth.count(t) for t in set(truth)) / len(truth), "", len(truth))


def accuracy_by_kind(
    kinds: Sequence[str], probabilities: Sequence[float | None], truth: Sequence[float]
) -> dict[str, Measure]:
    """`element_accuracy` within each kind of element, kinds in order of first appearance."""
    if len(kinds) != len(truth) or len(probabilities) != len(truth):
        raise InputError("kinds", len(kinds), f"one kind per element, {len(truth)}", "pair all sides first")
    rows: dict[str, list[int]] = {}
    for at, kind in enumerate(kinds):
        rows.setdefault(kind, []).append(at)
    return {
        kind: element_accuracy([probabilities[i] for i in at], [truth[i] for i in at])
        for kind, at in rows.items()
    }


def image_accuracy(
    predicted: Sequence[Sequence[Any] | None], truth: Sequence[Sequence[Any]], *, interval: bool = False
) -> Measure:
    """Share of pictures rightly called clean or defective, whatever and wherever the defects are.

    Args:
        predicted: the defects found in each picture; None where the judge gave no answer (wrong).
        truth: the true defects of each picture.
    """
    found = [None if p is None else bool(p) for p in predicted]
    return accuracy(found, [bool(t) for t in truth], interval=interval)


# ------------------------------------------------------------------------------------ boxes and regions


@dataclass(frozen=True)
class RegionF1:
    """Precision, recall and F1 of found regions, pooled over the data set."""

    f1: Measure
    precision: Measure
    recall: Measure
    counts: NDArray[np.int64]
    """Per picture: predicted that hit, predicted, true that were found, true; shape (pictures, 4)."""
    matches: list[tuple[int, int, int, float]] = field(default_factory=list)
    """Boxes only: (picture, index of the prediction, index of the truth, IoU) of every match."""


def f1_of(
    counts: NDArray[np.int64], things: str = "region", *, interval: bool = False
) -> tuple[Measure, Measure, Measure]:
    """F1, precision and recall of summed counts [(predicted that hit, predicted, true found, true)]."""
    found = _f1_of(counts, things)
    if not interval:
        return found
    table, formulas = counts.reshape(-1, 4).astype(np.float64), (_f1, _precision, _recall)
    return tuple(  # type: ignore[return-value]
        m if m.value is None else replace(m, interval=interval_of(table, formula))
        for m, formula in zip(found, formulas, strict=True)
    )


def _precision(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _recall(sums: Floats) -> Floats:
    return np.asarray(sums[:, 2] / sums[:, 3])


def _f1(sums: Floats) -> Floats:
    """0 where one side is empty or nothing hits, NaN where both sides are empty."""
    p, r = np.nan_to_num(_precision(sums)), np.nan_to_num(_recall(sums))
    f1 = 2 * p * r / np.where(p + r > 0, p + r, 1)
    return np.where(sums[:, 1] + sums[:, 3] > 0, f1, np.nan)


def _f1_of(counts: NDArray[np.int64], things: str) -> tuple[Measure, Measure, Measure]:
    hit, predicted, found, true = (int(n) for n in counts.reshape(-1, 4).sum(axis=0))
    no_predicted, no_true = f"no {things} was predicted at all", f"the truth has no {things}"
    precision = Measure(hit / predicted, "", predicted) if predicted else Measure(None, no_predicted)
    recall = Measure(found / true, "", true) if true else Measure(None, no_true)
    if not predicted and not true:
        return Measure(None, f"{no_true} and none was predicted"), precision, recall
    if not predicted or not true:
        note = f"{no_predicted}, so F1 is 0" if true else f"{no_true}, so every prediction is wrong"
        return Measure(0.0, note, predicted + true), precision, recall
    p, r = hit / predicted, found / true
    return Measure(2 * p * r / (p + r) if p + r else 0.0, "", predicted + true), precision, recall


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1; 0 for boxes without area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def box_f1(
    predicted: Sequence[Sequence[Box]],
    truth: Sequence[Sequence[Box]],
    *,
    threshold: float = 0.5,
    interval: bool = False,
) -> RegionF1:
    """F1 of boxes: one to one within a picture, greedily by IoU, a match at IoU >= `threshold`.

    Kinds need not agree: whether the kind is right is measured apart, on `matches`.
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} pictures", "pair both sides first")
    matches: list[tuple[int, int, int, float]] = []
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for picture, (found, true) in enumerate(zip(predicted, truth, strict=True)):
        pairs = [(box_iou(p, t), i, j) for i, p in enumerate(found) for j, t in enumerate(true)]
        used_i: set[int] = set()
        used_j: set[int] = set()
        for iou, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if iou < threshold or iou <= 0:
                break
            if i not in used_i and j not in used_j:
                used_i.add(i)
                used_j.add(j)
                matches.append((picture, i, j, iou))
        counts[picture] = len(used_i), len(found), len(used_j), len(true)
    return RegionF1(*f1_of(counts, "box", interval=interval), counts, matches)


def boxes_mask(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.bool_]:
    """The boxes drawn filled into one mask of shape (height, width); edges are rounded to whole pixels."""
    mask = np.zeros((height, width), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, top = max(0, round(x1)), max(0, round(y1))
        mask[top : max(0, round(y2)), left : max(0, round(x2))] = True
    return mask


def region_f1(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> RegionF1:
    """F1 over regions by the rule of the EvalMuse structure track, pooled over the data set.

    Each mask (any size, everything above 0 is inside) is resized to 512x512 (bilinear, 8-bit 0/1) and cut
    at > 0. Regions are external contours with their holes filled. Predicted regions count when their
    contour area exceeds 157.2864, true ones when it exceeds 150. A region hits when its IoU with any region
    of the other side that counts exceeds 0.1; one region may hit several. Precision = predicted regions
    that hit / predicted regions; recall = true regions that are hit / true regions.
    No predicted region at all gives F1 = 0 and a note (the organisers' script prints NaN).
    """
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} masks", "pair both sides first")
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for picture, (found, true) in enumerate(zip(predicted, truth, strict=True)):
        counts[picture] = region_counts(found, true)
    return RegionF1(*f1_of(counts, "region", interval=interval), counts)


def region_counts(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, int, int]:
    """Of one picture by the rule of `region_f1`: predicted that hit, predicted, true found, true."""
    ours, theirs = _regions(predicted, LEAST_PREDICTED), _regions(truth, LEAST_TRUE)
    hits = np.array([[_mask_iou(a, b) > 0.1 for b in theirs] for a in ours], dtype=bool)
    hits = hits.reshape(len(ours), len(theirs))
    return int(hits.any(axis=1).sum()), len(ours), int(hits.any(axis=0).sum()), len(theirs)


def _regions(mask: NDArray[Any], least: float) -> list[NDArray[np.bool_]]:
    """The regions of a mask, each filled, shape (512, 512)."""
    import cv2

    inside: NDArray[Any] = _binary(mask)
    if inside.shape != (SIDE, SIDE):
        inside = cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours((inside > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for contour in contours:
        if cv2.contourArea(contour) > least:
            canvas = np.zeros((SIDE, SIDE), dtype=np.uint8)
            cv2.drawContours(canvas, [contour], -1, 1, thickness=cv2.FILLED)
            regions.append(canvas.astype(bool))
    return regions


def _binary(mask: NDArray[Any]) -> NDArray[np.uint8]:
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size:
        raise InputError("mask", mask.shape, "shape (height, width), not empty", "give one mask per picture")
    return (mask > 0).astype(np.uint8)


def _mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 0.0


def pixel_f1(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> Measure:
    """F1 over pixels, pooled over the data set; the two masks of a picture have the same shape."""
    found = _overlaps(predicted, truth)
    rows = [(2 * both, ours + theirs) for both, ours, theirs in found]
    predicted_any = any(ours for _, ours, _ in found)
    tally = np.array(rows, dtype=np.float64).reshape(-1, 2)
    both, marked = tally.sum(axis=0)
    if not marked:
        return Measure(None, "no pixel is marked on either side", 0)
    note = "" if predicted_any else "nothing was marked, so F1 is 0"
    return Measure(float(both / marked), note, int(marked), share_interval(tally) if interval else None)


def pixel_iou(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, interval: bool = False
) -> Measure:
    """Mean over pictures of (intersection + 1e-4) / (union + 1e-4) of the marked pixels.

    The structure track prints it beside its score. A picture with no mark on either side counts as 1.
    """
    ious = [
        (both + 1e-4) / (ours + theirs - both + 1e-4) for both, ours, theirs in _overlaps(predicted, truth)
    ]
    return mean(ious, interval=interval)


def mean(values: Sequence[float], *, interval: bool = False) -> Measure:
    """The mean of one number per picture."""
    if not len(values):
        return Measure(None, "there is nothing to compare", 0)
    table = np.array([[value, 1.0] for value in values])
    return Measure(float(table[:, 0].mean()), "", len(values), share_interval(table) if interval else None)


def overlap(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, int]:
    """Marked pixels of one picture: on both sides, predicted, true."""
    a, b = _binary(predicted), _binary(truth)
    if a.shape != b.shape:
        raise InputError("predicted", a.shape, f"the shape of its truth, {b.shape}", "resize it")
    return int((a & b).sum()), int(a.sum()), int(b.sum())


def _overlaps(predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]) -> list[tuple[int, int, int]]:
    return [overlap(p, t) for p, t in zip(predicted, truth, strict=True)]


# ------------------------------------------------------------------------------------------ calibration


@dataclass(frozen=True)
class Bin:
    """Answers of similar probability."""

    low: float
    high: float
    """Probabilities from `low` (included) up to `high` (excluded, but for 1)."""
    count: int
    confidence: float | None
    """Mean probability of the answers in it; None when there are none."""
    frequency: float | None
    """Share of them that are true."""


def calibration(probabilities: Sequence[float], truth: Sequence[bool], *, bins: int = 10) -> list[Bin]:
    """Equally wide bins of probability with what was said and what was true in them."""
    p, places, t = _binned(probabilities, truth, bins)
    found = []
    for at in range(bins):
        inside = places == at
        n = int(inside.sum())
        said, true = (float(p[inside].mean()), float(t[inside].mean())) if n else (None, None)
        found.append(Bin(at / bins, (at + 1) / bins, n, said, true))
    return found


def expected_calibration_error(
    probabilities: Sequence[float], truth: Sequence[float], *, bins: int = 10, interval: bool = False
) -> Measure:
    """Mean distance, 0..1, of what was said from what was true, over equally wide bins by their counts.

    The truth of an answer may be a share: of the people who gave it, for example.
    """
    p, places, t = _binned(probabilities, truth, bins)
    if not len(p):
        return Measure(None, "there is nothing to compare", 0)
    tally = np.zeros((len(p), bins))
    tally[np.arange(len(p)), places] = p - t

    def error(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums).sum(axis=1) / len(p))

    value = float(error(tally.sum(axis=0, keepdims=True))[0])
    return Measure(value, "", len(p), interval_of(tally, error) if interval else None)


def _binned(
    probabilities: Sequence[float], truth: Sequence[float], bins: int
) -> tuple[Floats, NDArray[np.intp], Floats]:
    p, t = _pairs(probabilities, truth)
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise InputError("probabilities", float(p.min()), "0 to 1", "give probabilities")
    return p, np.minimum((p * bins).astype(np.intp), bins - 1), t
