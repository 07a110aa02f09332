"""Merge the verdicts of a panel's judges into one verdict.

Distributions of scores, dimensions and attributes and the probabilities of elements are weighted means over
the judges that report them. A region is kept when the judges that report it have at least half of the
weight of those whose rubric asks for regions. Boxes that overlap by half (IoU) are one region. Its
confidence is the weighted mean; a judge that does not report it counts as 0. Explanations come from the
judge with the largest weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import cast

from judge.media.regions import iou
from judge.types import (
    Attribute,
    Box,
    Comparison,
    Defect,
    Depth,
    Dimension,
    Element,
    Panelist,
    Provenance,
    Verdict,
)

SAME_REGION_IOU = 0.5
"""Least intersection over union of two boxes that count as one region."""
TIE_MARGIN = 1e-6
"""A probability this close to a half is a tie."""

WeightedVerdicts = Sequence[tuple[Verdict, float]]
"""Scored verdicts, each with the weight of its judge."""
_Report = tuple[Defect, float, int]
"""A defect, the weight of the judge that reports it, and the judge's number."""


def merge_verdicts(
    verdicts: Sequence[Verdict], weights: Sequence[float], depth: Depth, finds_defects: Sequence[bool]
) -> Verdict:
    """Merge one verdict of each judge.

    Args:
        verdicts: about one sample, in the order of the judges.
        weights: shares of the judges; they sum to 1.
        depth: at which the sample was judged.
        finds_defects: for each judge, whether its rubric asks for regions.

    Returns:
        The merged verdict with `panel` and `disagreement`; unscored when no judge with a weight gave a score.
    """
    panel = [_panelist(verdict, weight) for verdict, weight in zip(verdicts, weights, strict=True)]
    scored = [
        (verdict, weight)
        for verdict, weight in zip(verdicts, weights, strict=True)
        if verdict.score is not None and weight
    ]
    provenance = _merge_provenance(verdicts, weights, depth)
    if not scored:
        reason = "; ".join(dict.fromkeys(verdict.reason for verdict in verdicts if verdict.reason))
        return Verdict(
            id=verdicts[0].id, status="unscored", reason=reason or "no judge with a weight scored it",
            out_of_domain=all(verdict.abstained for verdict in verdicts),
            size=verdicts[0].size, provenance=provenance, panel=panel,
        )  # fmt: skip
    if unscored := [panelist for panelist in panel if panelist.score is None]:
        provenance.notes.append(f"{len(unscored)} of {len(panel)} judges gave no score: {unscored[0].reason}")
    distribution = _mix_distributions([(verdict.distribution or [], weight) for verdict, weight in scored])
    score = sum(label * share for label, share in enumerate(distribution, 1))
    variance = _weighted_mean([((cast(float, v.score) - score) ** 2, weight) for v, weight in scored])
    heaviest = max(scored, key=lambda pair: pair[1])[0]
    merged = Verdict(
        id=heaviest.id,
        status="scored",
        out_of_domain=any(verdict.out_of_domain for verdict, _ in scored),
        score=min(5.0, max(1.0, score)),
        distribution=distribution,
        dimensions=_merge_dimensions(scored),
        elements=_merge_elements(scored),
        attributes=_merge_attributes(scored),
        defects=_merge_defects(verdicts, weights, finds_defects),
        explanation=heaviest.explanation,
        size=heaviest.size,
        facts=heaviest.facts,
        provenance=provenance,
        panel=panel,
        disagreement=variance**0.5,
    )
    merged._image = heaviest._image
    return merged


def merge_comparisons(
    comparisons: Sequence[Comparison], weights: Sequence[float], a: Verdict, b: Verdict
) -> Comparison:
    """Merge one comparison of each judge.

    Args:
        comparisons: of the same two images, in the order of the judges.
        weights: shares of the judges; they sum to 1.
        a: merged verdict on the first image.
        b: merged verdict on the second image.
    """
    decided = [
        (comparison, weight)
        for comparison, weight in zip(comparisons, weights, strict=True)
        if comparison.probability is not None and weight
    ]
    if not decided:
        reasons = "; ".join(dict.fromkeys(comparison.reason for comparison in comparisons))
        return Comparison(preferred=None, probability=None, reason=reasons, a=a, b=b)
    probability = _weighted_mean(
        [(cast(float, comparison.probability), weight) for comparison, weight in decided]
    )
    swaps = [(c.swap_disagreement, weight) for c, weight in decided if c.swap_disagreement is not None]
    methods = {comparison.how for comparison, _ in decided}
    is_tie = abs(probability - 0.5) < TIE_MARGIN
    return Comparison(
        preferred="tie" if is_tie else "a" if probability > 0.5 else "b",
        probability=min(1.0, max(0.0, probability)),
        margin=None if a.score is None or b.score is None else a.score - b.score,
        how=methods.pop() if len(methods) == 1 else "pairwise",
        swap_disagreement=_weighted_mean(swaps) if swaps else None,
        explanation=max(decided, key=lambda pair: pair[1])[0].explanation,
        a=a,
        b=b,
    )


def fit_weights(scores: Sequence[Sequence[float]], labels: Sequence[float]) -> list[float]:
    """Fit weights of 0 or more that sum to 1, by least squares (stacked regressions, Breiman 1996).

    Args:
        scores: (samples, judges).
        labels: (samples,) the score that people gave.

    Returns:
        (judges,) weights.
    """
    import numpy as np
    from scipy.optimize import nnls

    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    sum_weight = 1e3 * len(y)  # weight of an extra row that keeps the sum at 1
    solution, _ = nnls(np.vstack([x, sum_weight * np.ones(x.shape[1])]), np.append(y, sum_weight))
    return [float(weight) for weight in solution / solution.sum()]


def _panelist(verdict: Verdict, weight: float) -> Panelist:
    """What one judge contributed."""
    return Panelist(
        model=verdict.provenance.model,
        adapter=verdict.provenance.adapter,
        rubric=verdict.provenance.rubric,
        seed=verdict.provenance.seed,
        weight=weight,
        score=verdict.score,
        reason=verdict.reason,
    )


def _weighted_mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean of (value, weight) pairs."""
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def _mix_distributions(pairs: Sequence[tuple[Sequence[float], float]]) -> list[float]:
    """Weighted mean of (distribution, weight) pairs over the same labels."""
    labels = range(len(pairs[0][0]))
    return [
        min(1.0, _weighted_mean([(distribution[label], weight) for distribution, weight in pairs]))
        for label in labels
    ]


def _merge_dimensions(scored: WeightedVerdicts) -> dict[str, Dimension]:
    """Mix the distributions of each dimension over the judges that have it."""
    names = dict.fromkeys(name for verdict, _ in scored for name in verdict.dimensions)
    merged = {}
    for name in names:
        distribution = _mix_distributions(
            [(v.dimensions[name].distribution, weight) for v, weight in scored if name in v.dimensions]
        )
        score = sum(label * share for label, share in enumerate(distribution, 1))
        merged[name] = Dimension(score=min(5.0, max(1.0, score)), distribution=distribution)
    return merged


def _merge_elements(scored: WeightedVerdicts) -> list[Element]:
    """Average the probability of each element, in the order of the first judge that names it."""
    by_name: dict[str, list[tuple[Element, float]]] = {}
    for verdict, weight in scored:
        for element in verdict.elements:
            by_name.setdefault(element.name, []).append((element, weight))
    merged = []
    for group in by_name.values():
        probability = min(1.0, _weighted_mean([(element.probability, weight) for element, weight in group]))
        first = group[0][0]
        merged.append(first.model_copy(update={"probability": probability, "present": probability >= 0.5}))
    return merged


def _merge_attributes(scored: WeightedVerdicts) -> dict[str, Attribute]:
    """Mix attributes of the same name. If rubrics use other labels for a name, all their labels are mixed."""
    by_name: dict[str, list[tuple[Attribute, float]]] = {}
    for verdict, weight in scored:
        for name, attribute in verdict.attributes.items():
            by_name.setdefault(name, []).append((attribute, weight))
    merged = {}
    for name, group in by_name.items():
        labels = dict.fromkeys(label for attribute, _ in group for label in attribute.probabilities)
        probabilities = {
            label: min(
                1.0, _weighted_mean([(a.probabilities.get(label, 0.0), weight) for a, weight in group])
            )
            for label in labels
        }
        likeliest = max(probabilities, key=probabilities.__getitem__)
        merged[name] = Attribute(label=likeliest, probabilities=probabilities)
    return merged


def _merge_defects(
    verdicts: Sequence[Verdict], weights: Sequence[float], finds_defects: Sequence[bool]
) -> list[Defect]:
    """Return the regions that judges of half the weight agree on, the most confident first."""
    total = sum(
        weight
        for verdict, weight, does_find in zip(verdicts, weights, finds_defects, strict=True)
        if does_find and verdict.score is not None
    )
    reports: list[_Report] = [
        (defect, weight, number)
        for number, (verdict, weight) in enumerate(zip(verdicts, weights, strict=True))
        for defect in verdict.defects
    ]
    groups: list[list[_Report]] = []
    for defect, weight, number in sorted(reports, key=lambda report: -report[1] * report[0].confidence):
        for group in groups:
            is_new_judge = all(other != number for _, _, other in group)
            if is_new_judge and iou(group[0][0].box, defect.box) >= SAME_REGION_IOU:
                group.append((defect, weight, number))
                break
        else:
            groups.append([(defect, weight, number)])
    merged = [
        _merge_group(group, total)
        for group in groups
        if sum(weight for _, weight, _ in group) >= total / 2 > 0
    ]
    return sorted(merged, key=lambda defect: -defect.confidence)


def _merge_group(group: Sequence[_Report], total: float) -> Defect:
    """Merge the reports of one region. `total` is the weight of all judges that look for regions."""
    first = group[0][0]
    box = tuple(
        _weighted_mean([(d.box[side], weight * d.confidence + 1e-9) for d, weight, _ in group])
        for side in range(4)
    )
    confidence = sum(weight * defect.confidence for defect, weight, _ in group) / total
    return first.model_copy(update={"box": cast(Box, box), "confidence": min(1.0, confidence)})


def _merge_provenance(verdicts: Sequence[Verdict], weights: Sequence[float], depth: Depth) -> Provenance:
    """Provenance of the panel: digests of the judges, the sum of their times, all their notes."""
    provenances = [verdict.provenance for verdict in verdicts]
    judges = [
        f"{p.model} {p.revision} {p.adapter} {p.rubric_hash} {p.seed} {weight:.6f}"
        for p, weight in zip(provenances, weights, strict=True)
    ]
    return Provenance(
        model="panel",
        revision=_digest(judges),
        backend="panel",
        rubric="+".join(dict.fromkeys(p.rubric for p in provenances)),
        rubric_hash=_digest(dict.fromkeys(p.rubric_hash for p in provenances)),
        depth=depth,
        seed=provenances[0].seed,
        version=provenances[0].version,
        milliseconds=sum(p.milliseconds for p in provenances),
        domain="; ".join(dict.fromkeys(p.domain for p in provenances if p.domain)),
        notes=list(dict.fromkeys(note for p in provenances for note in p.notes)),
    )


def _digest(texts: Iterable[str]) -> str:
    """First 16 hex digits of the SHA-256 of texts, one per line."""
    return hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()[:16]
