"""Several judges as one: models, adapters or rubrics, weighted, with their disagreement.

    panel = Panel([Judge(), Judge("Qwen/Qwen3-VL-8B-Instruct")], weights=[1, 3])
    verdict = panel("picture.png", prompt="a red circle")
    print(verdict.score, verdict.disagreement)

What is said of everything is the weighted mean over the judges that say it: distributions of scores,
dimensions and attributes, probabilities of elements. A region stands when judges of at least half the weight
of those asked for regions report it: boxes that overlap by half (IoU) are one, its confidence is their
weighted mean, a judge that does not report it counting 0. Words are those of the heaviest judge.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from judge.errors import InputError
from judge.media import regions
from judge.pipeline.validation import check_depth, check_sample
from judge.types import (
    Attribute,
    Box,
    Comparison,
    Defect,
    Depth,
    Dimension,
    Element,
    How,
    LabelledSample,
    Panelist,
    Provenance,
    Sample,
    Verdict,
    Way,
)

if TYPE_CHECKING:
    from judge.judge import Judge

SAME = 0.5
"""Least IoU of two boxes that are one region."""
FEWEST = 8
"""Labelled samples that weights are fitted to, at least."""


class Panel:
    """Judges samples as `Judge` does, with the same calls.

    Args:
        judges: at least one; each loads its model when it is first needed.
        weights: one for each judge, 0 or more, not all 0; default: equal ones. `calibrated` fits them.

    Raises:
        InputError: no judge, or unusable weights.
    """

    def __init__(self, judges: Sequence[Judge], *, weights: Sequence[float] | None = None) -> None:
        given = [1.0] * len(judges) if weights is None else [float(weight) for weight in weights]
        if not judges:
            raise InputError("judges", 0, "at least one judge", "give some")
        total = sum(given)
        usable = all(math.isfinite(weight) and weight >= 0 for weight in given) and total > 0
        if len(given) != len(judges) or not usable:
            raise InputError("weights", given, f"{len(judges)} numbers of 0 or more, not all 0", "mend them")
        self.judges = list(judges)
        self.weights = [weight / total for weight in given]
        """Shares of the judges; they sum to 1."""
        self._turns = [0] * len(judges)

    @classmethod
    def consistent(cls, judge: Judge, times: int = 3) -> Panel:
        """Self-consistency: one judge asked several times, each time with another seed and with the elements
        in another order. What then differs hung on chance or order, and not on the picture.

        A backend that decides by argmax (all in this process do) answers alike where there are no elements.
        """
        if times < 1:
            raise InputError("times", times, "1 or more", "3 is the usual number")
        panel = cls([judge.reseeded(judge.seed + number) for number in range(times)])
        panel._turns = list(range(times))
        return panel

    def calibrated(self, samples: Iterable[LabelledSample], *, depth: Depth = "score") -> Panel:
        """The same judges with the weights that bring the mean score nearest to people's.

        Least squares over weights of 0 or more that sum to 1 (stacked regressions, Breiman 1996). A sample
        that a judge cannot score is left out.

        Raises:
            InputError: fewer than eight samples with a score are left.
        """
        rows = [sample for sample in samples if sample.labels.score is not None]
        table = [[v.score for v in judge.many(rows, depth=depth)] for judge in self.judges]
        whole = [at for at in range(len(rows)) if all(column[at] is not None for column in table)]
        if len(whole) < FEWEST:
            mend = "label more, or give the weights yourself"
            raise InputError("samples", len(whole), f"at least {FEWEST} that every judge scores", mend)
        truth = [cast(float, rows[at].labels.score) for at in whole]
        scores = [[cast(float, column[at]) for column in table] for at in whole]
        found = Panel(self.judges, weights=_stacked(scores, truth))
        found._turns = self._turns
        return found

    def __call__(
        self,
        image: Any,
        *,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        id: str = "",
        reference: Any = None,
        depth: Depth = "verdict",
    ) -> Verdict:
        """Judge one picture; arguments and errors as in `Judge`."""
        given = {"id": id, "image": image, "prompt": prompt, "elements": elements, "reference": reference}
        verdicts = []
        for judge, turn in zip(self.judges, self._turns, strict=True):
            asked = self._turned(check_sample(given), turn)
            verdicts.append(
                judge(
                    asked.image,
                    prompt=asked.prompt,
                    elements=asked.elements,
                    id=asked.id,
                    reference=asked.reference,
                    depth=depth,
                )
            )
        return self._together(verdicts, depth)

    def many(
        self, samples: Iterable[Sample | Mapping[str, Any]], *, depth: Depth = "verdict", batch: int = 16
    ) -> Iterator[Verdict]:
        """Judge samples in batches, each by all judges: one verdict per sample, in order; as in `Judge`."""
        check_depth(depth)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual one")
        return self._many(iter(samples), depth, batch)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        reference: Any = None,
        depth: Depth = "verdict",
        how: How = "auto",
    ) -> Comparison:
        """Compare two pictures of one prompt; probabilities and disagreements are weighted means."""
        found = [
            judge.compare(a, b, prompt=prompt, elements=elements, reference=reference, depth=depth, how=how)
            for judge in self.judges
        ]
        first, second = (self._together([getattr(one, name) for one in found], depth) for name in "ab")
        decided = [
            (one, weight)
            for one, weight in zip(found, self.weights, strict=True)
            if one.probability is not None and weight
        ]
        if not decided:
            reasons = "; ".join(dict.fromkeys(one.reason for one in found))
            return Comparison(preferred=None, probability=None, reason=reasons, a=first, b=second)
        chance = _mean([(cast(float, one.probability), weight) for one, weight in decided])
        swaps = [(one.swap_disagreement, w) for one, w in decided if one.swap_disagreement is not None]
        ways = {one.how for one, _ in decided}
        return Comparison(
            preferred="tie" if abs(chance - 0.5) < 1e-6 else "a" if chance > 0.5 else "b",
            probability=min(1.0, max(0.0, chance)),
            margin=None if first.score is None or second.score is None else first.score - second.score,
            how=ways.pop() if len(ways) == 1 else "pairwise",
            swap_disagreement=_mean(swaps) if swaps else None,
            explanation=max(decided, key=lambda one: one[1])[0].explanation,
            a=first,
            b=second,
        )

    def way(self, how: How = "auto") -> Way:
        """How pictures are compared: pairwise as soon as one judge does so."""
        return "pairwise" if any(judge.way(how) == "pairwise" for judge in self.judges) else "pointwise"

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """A verdict without numbers, for a sample that the panel could not be asked about."""
        return self._together([judge.unscored(reason, id=id, depth=depth) for judge in self.judges], depth)

    def _many(
        self, samples: Iterator[Sample | Mapping[str, Any]], depth: Depth, batch: int
    ) -> Iterator[Verdict]:
        while group := list(islice(samples, batch)):
            columns = [
                judge.many([_tried(self, sample, turn) for sample in group], depth=depth, batch=batch)
                for judge, turn in zip(self.judges, self._turns, strict=True)
            ]
            for verdicts in zip(*columns, strict=True):
                yield self._together(list(verdicts), depth)

    def _turned(self, sample: Sample, turn: int) -> Sample:
        """The sample with its elements rotated by so many places."""
        if not turn:
            return sample
        from judge.elements.splitting import split

        listed = split(sample.prompt) if sample.elements is None else sample.elements
        by = turn % len(listed) if listed else 0
        return sample.model_copy(update={"elements": [*listed[by:], *listed[:by]]})

    def _together(self, verdicts: Sequence[Verdict], depth: Depth) -> Verdict:
        """One verdict out of the judges' own."""
        panel = [
            Panelist(
                model=verdict.provenance.model,
                adapter=verdict.provenance.adapter,
                rubric=verdict.provenance.rubric,
                seed=verdict.provenance.seed,
                weight=weight,
                score=verdict.score,
                reason=verdict.reason,
            )
            for verdict, weight in zip(verdicts, self.weights, strict=True)
        ]
        heard = [
            (verdict, weight)
            for verdict, weight in zip(verdicts, self.weights, strict=True)
            if verdict.score is not None and weight
        ]
        made = _provenance(verdicts, self.weights, depth)
        if not heard:
            reason = "; ".join(dict.fromkeys(verdict.reason for verdict in verdicts if verdict.reason))
            return Verdict(
                id=verdicts[0].id, status="unscored", reason=reason or "no judge with a weight scored it",
                size=verdicts[0].size, provenance=made, panel=panel,
            )  # fmt: skip
        if silent := [one for one in panel if one.score is None]:
            made.notes.append(f"{len(silent)} of {len(panel)} judges gave no score: {silent[0].reason}")
        distribution = _mixed([(v.distribution or [], w) for v, w in heard])
        score = sum(label * share for label, share in enumerate(distribution, 1))
        spread = _mean([((cast(float, v.score) - score) ** 2, w) for v, w in heard]) ** 0.5
        heaviest = max(heard, key=lambda one: one[1])[0]
        verdict = Verdict(
            id=heaviest.id,
            status="scored",
            score=min(5.0, max(1.0, score)),
            distribution=distribution,
            dimensions=_dimensions(heard),
            elements=_elements(heard),
            attributes=_attributes(heard),
            defects=self._defects(verdicts),
            explanation=heaviest.explanation,
            size=heaviest.size,
            facts=heaviest.facts,
            provenance=made,
            panel=panel,
            disagreement=spread,
        )
        verdict._image = heaviest._image
        return verdict

    def _defects(self, verdicts: Sequence[Verdict]) -> list[Defect]:
        """Regions that judges of half the weight of those asked for regions agree on, the surest first."""
        asked = sum(
            weight
            for judge, verdict, weight in zip(self.judges, verdicts, self.weights, strict=True)
            if judge.rubric.defects is not None and verdict.score is not None
        )
        told = [
            (d, w, n) for n, (v, w) in enumerate(zip(verdicts, self.weights, strict=True)) for d in v.defects
        ]
        groups: list[list[tuple[Defect, float, int]]] = []
        for defect, weight, number in sorted(told, key=lambda one: -one[1] * one[0].confidence):
            for group in groups:
                apart = all(other != number for _, _, other in group)
                if apart and regions.iou(group[0][0].box, defect.box) >= SAME:
                    group.append((defect, weight, number))
                    break
            else:
                groups.append([(defect, weight, number)])
        kept = [_fused(group, asked) for group in groups if sum(w for _, w, _ in group) >= asked / 2 > 0]
        return sorted(kept, key=lambda defect: -defect.confidence)


def _tried(panel: Panel, sample: Sample | Mapping[str, Any], turn: int) -> Sample | Mapping[str, Any]:
    """The sample in its turn; one that is none is left to the judge, which says why."""
    try:
        return panel._turned(check_sample(sample), turn)
    except InputError:
        return sample


def _fused(group: Sequence[tuple[Defect, float, int]], asked: float) -> Defect:
    first = group[0][0]
    box = tuple(_mean([(d.box[side], w * d.confidence + 1e-9) for d, w, _ in group]) for side in range(4))
    confidence = sum(w * d.confidence for d, w, _ in group) / asked
    return first.model_copy(update={"box": cast(Box, box), "confidence": min(1.0, confidence)})


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Of (value, weight) pairs."""
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def _mixed(pairs: Sequence[tuple[Sequence[float], float]]) -> list[float]:
    """Mixture of distributions over the same labels."""
    columns = range(len(pairs[0][0]))
    return [min(1.0, _mean([(shares[at], weight) for shares, weight in pairs])) for at in columns]


def _dimensions(heard: Sequence[tuple[Verdict, float]]) -> dict[str, Dimension]:
    names = dict.fromkeys(name for verdict, _ in heard for name in verdict.dimensions)
    found = {}
    for name in names:
        shares = _mixed([(v.dimensions[name].distribution, w) for v, w in heard if name in v.dimensions])
        score = sum(label * share for label, share in enumerate(shares, 1))
        found[name] = Dimension(score=min(5.0, max(1.0, score)), distribution=shares)
    return found


def _elements(heard: Sequence[tuple[Verdict, float]]) -> list[Element]:
    """In the order of the first judge that names them."""
    told: dict[str, list[tuple[Element, float]]] = {}
    for verdict, weight in heard:
        for element in verdict.elements:
            told.setdefault(element.name, []).append((element, weight))
    found = []
    for same in told.values():
        chance = min(1.0, _mean([(element.probability, weight) for element, weight in same]))
        found.append(same[0][0].model_copy(update={"probability": chance, "present": chance >= 0.5}))
    return found


def _attributes(heard: Sequence[tuple[Verdict, float]]) -> dict[str, Attribute]:
    """Of equal names; rubrics that give a name other labels are mixed over all of them."""
    told: dict[str, list[tuple[Attribute, float]]] = {}
    for verdict, weight in heard:
        for name, attribute in verdict.attributes.items():
            told.setdefault(name, []).append((attribute, weight))
    found = {}
    for name, same in told.items():
        labels = dict.fromkeys(label for attribute, _ in same for label in attribute.probabilities)
        shares = {
            label: min(1.0, _mean([(one.probabilities.get(label, 0.0), weight) for one, weight in same]))
            for label in labels
        }
        found[name] = Attribute(label=max(shares, key=shares.__getitem__), probabilities=shares)
    return found


def _provenance(verdicts: Sequence[Verdict], weights: Sequence[float], depth: Depth) -> Provenance:
    made = [verdict.provenance for verdict in verdicts]
    told = [
        f"{m.model} {m.revision} {m.adapter} {m.rubric_hash} {m.seed} {w:.6f}"
        for m, w in zip(made, weights, strict=True)
    ]
    return Provenance(
        model="panel",
        revision=_digest(told),
        backend="panel",
        rubric="+".join(dict.fromkeys(one.rubric for one in made)),
        rubric_hash=_digest(dict.fromkeys(one.rubric_hash for one in made)),
        depth=depth,
        seed=made[0].seed,
        version=made[0].version,
        milliseconds=sum(one.milliseconds for one in made),
        domain="; ".join(dict.fromkeys(one.domain for one in made if one.domain)),
        notes=list(dict.fromkeys(note for one in made for note in one.notes)),
    )


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()[:16]


def _stacked(scores: Sequence[Sequence[float]], truth: Sequence[float]) -> list[float]:
    """Weights of 0 or more that sum to 1, least squares. `scores` is (samples, judges)."""
    import numpy as np
    from scipy.optimize import nnls

    x, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    heavy = 1e3 * len(y)  # one more row, so heavy that the sum is kept
    found, _ = nnls(np.vstack([x, heavy * np.ones(x.shape[1])]), np.append(y, heavy))
    return [float(weight) for weight in found / found.sum()]
