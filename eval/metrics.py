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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judge.errors import InputError

Floats = NDArray[np.float64]
Box = Sequence[float]
"""x1, y1, x2, y2 in pixels; x2 and y2 exclusive."""

SIDE = 512
"""Side in pixels to which the structure track resizes every mask."""
LEAST_PREDICTED = 157.2864
"""A predicted region counts when its contour area (pixels at 512x512) exceeds this: 0.0006 of the picture."""
LEAST_TRUE = 150.0
"""A true region counts when its contour area (pixels at 512x512) exceeds this."""


@dataclass(frozen=True)
class Measure:
    """A number with what must be said about it."""

    value: float | None
    """The number; None when it is undefined."""
    note: str = ""
    """Why there is no number, or what a reader must know about it; empty when nothing needs saying."""
    count: int = 0
    """How many things (pairs, elements, pictures, regions) it was computed from."""

    def __post_init__(self) -> None:
        if self.value is None and not self.note:
            raise ValueError("an undefined measure must say why")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a measure must be finite, got {self.value}")


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval; both ends are None when it is undefined, and `note` says why."""

    low: float | None
    high: float | None
    note: str = ""


# ---------------------------------------------------------------------------------------- correlations


def srcc(predicted: ArrayLike, truth: ArrayLike) -> Measure:
    """Spearman's rank correlation, -1..1; ties take their mean rank."""
    from scipy.stats import spearmanr

    return _correlation(predicted, truth, lambda x, y: float(spearmanr(x, y).statistic))


def plcc(predicted: ArrayLike, truth: ArrayLike, *, fitted: bool = False) -> Measure:
    """Pearson's linear correlation, -1..1; `fitted`: after the 4-parameter logistic of `fit_logistic`."""
    from scipy.stats import pearsonr

    def pearson(x: Floats, y: Floats) -> float:
        return float(pearsonr(x, y).statistic)

    plain = _correlation(predicted, truth, pearson)
    if not fitted or plain.value is None:
        return plain
    x, y = _pairs(predicted, truth)
    curve = fit_logistic(x, y)
    if isinstance(curve, str):
        return Measure(None, curve, len(x))
    if _flat(curve):
        return Measure(None, "the fitted curve is flat, so the correlation is undefined", len(x))
    return _correlation(curve, y, pearson)


def krcc(predicted: ArrayLike, truth: ArrayLike) -> Measure:
    """Kendall's rank correlation tau-b, -1..1."""
    from scipy.stats import kendalltau

    return _correlation(predicted, truth, lambda x, y: float(kendalltau(x, y).statistic))


def fit_logistic(predicted: ArrayLike, truth: ArrayLike) -> Floats | str:
    """The predictions mapped onto the scale of the truth by `b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))`.

    Starts at b = [max truth, min truth, mean prediction, standard deviation of the predictions (ddof 0)].

    Returns:
        The mapped predictions, or the reason why there are none.
    """
    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.special import expit

    x, y = _pairs(predicted, truth)
    if len(x) < 4:
        return f"the 4-parameter logistic needs at least 4 pairs, there are {len(x)}"
    if _flat(x):
        return "all predictions are equal, so no curve can be fitted to them"

    def curve(z: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
        return np.asarray(b2 + (b1 - b2) * expit((z - b3) / max(abs(b4), 1e-12)))

    start = [float(y.max()), float(y.min()), float(x.mean()), float(x.std())]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Only the covariance of the parameters is affected, which nobody reads here.
            warnings.simplefilter("ignore", OptimizeWarning)
            best, _ = curve_fit(curve, x, y, p0=start, maxfev=100_000)
    except RuntimeError:
        return "the fit of the 4-parameter logistic did not converge"
    return curve(x, *best)


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


def accuracy(predicted: Sequence[Hashable | None], truth: Sequence[Hashable]) -> Measure:
    """Share of equal answers, 0..1. An answer of None (not given) is wrong."""
    if len(predicted) != len(truth):
        raise InputError("predicted", len(predicted), f"{len(truth)} answers", "pair both sides first")
    if not truth:
        return Measure(None, "there is nothing to compare", 0)
    right = sum(p is not None and p == t for p, t in zip(predicted, truth, strict=True))
    return Measure(right / len(truth), "", len(truth))


def element_accuracy(probabilities: Sequence[float | None], truth: Sequence[float]) -> Measure:
    """Share of elements judged right, pooled over all pictures; both sides are cut at >= 0.5.

    Args:
        probabilities: that the element is present, 0..1; None where the judge gave no answer (wrong).
        truth: 0..1, for example the mean over annotators; a boolean is fine.
    """
    return accuracy([None if p is None else p >= 0.5 for p in probabilities], [t >= 0.5 for t in truth])


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


def image_accuracy(predicted: Sequence[Sequence[Any] | None], truth: Sequence[Sequence[Any]]) -> Measure:
    """Share of pictures rightly called clean or defective, whatever and wherever the defects are.

    Args:
        predicted: the defects found in each picture; None where the judge gave no answer (wrong).
        truth: the true defects of each picture.
    """
    return accuracy([None if p is None else bool(p) for p in predicted], [bool(t) for t in truth])


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


def f1_of(counts: NDArray[np.int64], things: str = "region") -> tuple[Measure, Measure, Measure]:
    """F1, precision and recall of summed counts [(predicted that hit, predicted, true found, true)]."""
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
    predicted: Sequence[Sequence[Box]], truth: Sequence[Sequence[Box]], *, threshold: float = 0.5
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
    return RegionF1(*f1_of(counts, "box"), counts, matches)


def boxes_mask(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.bool_]:
    """The boxes drawn filled into one mask of shape (height, width); edges are rounded to whole pixels."""
    mask = np.zeros((height, width), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, top = max(0, round(x1)), max(0, round(y1))
        mask[top : max(0, round(y2)), left : max(0, round(x2))] = True
    return mask


def region_f1(predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]) -> RegionF1:
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
        ours = _regions(found, LEAST_PREDICTED)
        theirs = _regions(true, LEAST_TRUE)
        hits = np.array([[_mask_iou(a, b) > 0.1 for b in theirs] for a in ours], dtype=bool)
        hits = hits.reshape(len(ours), len(theirs))
        counts[picture] = hits.any(axis=1).sum(), len(ours), hits.any(axis=0).sum(), len(theirs)
    return RegionF1(*f1_of(counts, "region"), counts)


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


def pixel_f1(predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]) -> Measure:
    """F1 over pixels, pooled over the data set; the two masks of a picture have the same shape."""
    both = ours = theirs = 0
    for at, (p, t) in enumerate(zip(predicted, truth, strict=True)):
        a, b = _binary(p), _binary(t)
        if a.shape != b.shape:
            raise InputError(f"predicted[{at}]", a.shape, f"the shape of its truth, {b.shape}", "resize it")
        both, ours, theirs = both + int((a & b).sum()), ours + int(a.sum()), theirs + int(b.sum())
    if ours + theirs == 0:
        return Measure(None, "no pixel is marked on either side", 0)
    note = "" if ours else "nothing was marked, so F1 is 0"
    return Measure(2 * both / (ours + theirs), note, ours + theirs)


# ------------------------------------------------------------------------------------------- certainty


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float | None],
    count: int,
    *,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic over `count` pictures.

    Args:
        statistic: takes indices of pictures (drawn with replacement, shape (count,)), gives the number, or
            None where it is undefined for that draw. Resample pictures, not elements: the elements of one
            picture are not independent.
        count: number of pictures.
        rounds: number of draws.
        level: share of draws inside the interval, 0..1.
        seed: the same seed gives the same interval.
    """
    if count < 2:
        return Interval(None, None, f"an interval needs at least 2 pictures, there are {count}")
    chance = np.random.default_rng(seed)
    drawn = [statistic(chance.integers(0, count, count)) for _ in range(rounds)]
    values = [value for value in drawn if value is not None]
    if len(values) < 0.9 * rounds:
        return Interval(None, None, f"undefined in {rounds - len(values)} of {rounds} draws: too few data")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    lost = rounds - len(values)
    return Interval(float(low), float(high), f"{lost} of {rounds} draws were undefined" if lost else "")
