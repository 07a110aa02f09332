"""From a model's reply to the numbers and regions of a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.base import Reply
from judge.elements import statements
from judge.errors import ReplyError
from judge.media import regions
from judge.rubrics.form import CORNERS, Form
from judge.rubrics.rubric import SCALE, Rubric, in_steps
from judge.types import Attribute, Defect, Depth, Dimension, Element, Verdict

DISAGREEMENT = 1.0
"""A verdict says so when its written score and the one by the rubric's rule are further apart."""

_ANEW = {
    "en": {
        "both": "At first look: {said}. After closer looks: {known}.",
        "there": "{there} of {count} elements there",
        "sound": "nothing broken",
    },
    "zh": {
        "both": "初看：{said}。细看之后：{known}。",
        "there": "{count} 个元素中有 {there} 个",
        "sound": "无破损",
    },
}
"""How an explanation goes on after closer looks, in each language that a rubric may ask for."""

Row = NDArray[np.float64]
Support = list[tuple[float, float]]
"""A number that is known as a distribution: (value, probability) pairs."""


class Answer:
    """A reply read against its form: values, and the probabilities behind them."""

    def __init__(self, form: Form, reply: Reply) -> None:
        self.values = form.parse(reply.text)
        self.told, self.exact = reply.probabilities, reply.exact
        self.complete = True
        """False once a number had to be taken from the written label alone."""

    def probabilities(self, blank: str, labels: Sequence[str], written: object) -> dict[str, float]:
        """Label -> probability, summing to 1. Without any from the backend: 1 for the written label.

        Raises:
            ReplyError: the backend gave labels off the menu, or numbers that are no distribution.
        """
        told = self.told.get(blank)
        if told is None:
            self.complete = False
            return {label: float(label == str(written)) for label in labels}
        values = [told.get(label, 0.0) for label in labels]
        total = sum(told.values())
        if (
            set(told) - set(labels)
            or not all(math.isfinite(v) and v >= 0 for v in values)
            or abs(total - 1) > 0.01
        ):
            raise ReplyError(
                f"{blank}: the backend's probabilities are no distribution over {', '.join(labels)}"
            )
        return {label: value / total for label, value in zip(labels, values, strict=True)}

    def scale(self, blank: str, written: object) -> list[float]:
        return list(self.probabilities(blank, SCALE, written).values())

    def present(self, index: int, written: object) -> float:
        return self.probabilities(f"elements.{index}", ("true", "false"), str(written).lower())["true"]

    def opened(self, index: int) -> float:
        """Probability of naming another defect where the one of this index was named."""
        return self.probabilities(f"defects.{index}.open", ("open", "close"), "open")["open"]

    def scales(self, rubric: Rubric) -> dict[str, list[float]]:
        """The distributions of those of the rubric's dimensions that were asked for."""
        asked = [d.name for d in rubric.dimensions if d.name in self.values]
        return {name: self.scale(f"dimensions.{name}", self.values[name]) for name in asked}

    def found(self) -> float:
        """Probability that the picture shows what the question looks for."""
        written = str(self.values["there"]).lower()
        return self.probabilities("there", ("true", "false"), written)["true"]


def read(
    answer: Answer,
    rubric: Rubric,
    size: tuple[int, int],
    depth: Depth,
    notes: list[str],
    facts: Mapping[str, float],
) -> dict[str, Any]:
    """The fields of a scored verdict. Raises `ReplyError`.

    Args:
        answer: the reply against its form.
        rubric: what was asked.
        size: width and height of the original in pixels.
        depth: which form was filled.
        notes: gets what the reader should know.
        facts: what was measured, 0..1.
    """
    values = answer.values
    elements = _elements(answer)
    attributes = {}
    for question in rubric.attributes:
        chances = answer.probabilities(f"attributes.{question.name}", question.labels, values[question.name])
        attributes[question.name] = Attribute(
            label=max(chances, key=chances.__getitem__), probabilities=chances
        )
    scales = answer.scales(rubric)
    written_score = answer.scale("score", values["score"])
    supports = _supports(elements, scales)
    by_rule = _by_rule(rubric, supports)
    if depth == "score":
        scales = {name: _spread(support) for name, support in supports.items()}
    distribution = by_rule if by_rule and depth in ("score", *rubric.score.depths) else written_score
    if by_rule and depth == "verdict":
        written, other = _expectation(written_score), _expectation(by_rule)
        if abs(written - other) > DISAGREEMENT:
            notes.append(f"the scores disagree: {written:.2f} written, {other:.2f} by the rubric's rule")
    defects = defects_of(answer, rubric, size)
    if not answer.exact:
        notes.append("the backend estimated the probabilities from the likeliest tokens")
    if not answer.complete:
        notes.append("the backend gave no probabilities: numbers are those of the written labels")
    # Where nothing was measured, the model answers for all of it: see `ModelInfo.wordless`.
    distribution = _with_measured(distribution, rubric.score.measured if facts else {}, facts)
    score, explanation = _expectation(distribution), values.get("explanation", "")
    if not explanation and depth == "verdict":
        explanation = _explained(rubric, attributes, defects, facts, score, size)
    return {
        "score": score,
        "distribution": distribution,
        "dimensions": {n: Dimension(score=_expectation(d), distribution=d) for n, d in scales.items()},
        "elements": elements,
        "attributes": attributes,
        "defects": defects,
        "explanation": explanation,
    }


def _with_measured(
    distribution: list[float], shares: Mapping[str, float], facts: Mapping[str, float]
) -> list[float]:
    """The model's distribution beside those that facts stand for, each with its share."""
    mixed = [(1 - sum(shares.values())) * p for p in distribution] if shares else distribution
    for name, share in shares.items():
        told = _spread([(1 + 4 * facts[name], 1.0)])
        mixed = [p + share * q for p, q in zip(mixed, told, strict=True)]
    return mixed


def _explained(
    rubric: Rubric,
    attributes: Mapping[str, Attribute],
    defects: Sequence[Defect],
    facts: Mapping[str, float],
    score: float,
    size: tuple[int, int],
) -> str:
    """The rubric's own sentence about the picture."""
    areas = [{"kind": d.kind, "severity": d.severity, "place": regions.place(d.box, *size)} for d in defects]
    labels = {name: attribute.label for name, attribute in attributes.items()}
    return rubric.said("picture", attributes=labels, defects=areas, facts=in_steps(facts), score=score)


def _elements(answer: Answer) -> list[Element]:
    """Each as probable as the model says, but no more than what it needs: see `judge.elements.statements`."""
    named = answer.values.get("elements", {})
    told = {name: answer.present(at, written) for at, (name, written) in enumerate(named.items())}
    listed = statements.of(list(told))
    chances = statements.held(listed, told)
    return [
        Element(
            name=one.name,
            present=chances[one.name] >= 0.5,
            probability=chances[one.name],
            kind=one.kind,
            needs=one.needs,
        )
        for one in listed
    ]


def defects_of(answer: Answer, rubric: Rubric, size: tuple[int, int]) -> list[Defect]:
    """The regions that an answer names, in pixels of a picture of this size. Raises `ReplyError`."""
    return [_defect(answer, rubric, size, n, item) for n, item in enumerate(answer.values.get("defects", []))]


def rescored(
    verdict: Verdict,
    elements: list[Element],
    parts: Sequence[Mapping[str, Sequence[float]]],
    rubric: Rubric,
    apart: Mapping[str, list[float]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The numbers of a verdict that closer looks change; none where the rubric has no rule for its score.

    Args:
        verdict: by the first look.
        elements: as they are known now.
        parts: distributions of the dimensions in parts of the picture where something is broken. The whole
            is no better than its worst part, but for alignment, which a part does not show, and what is about
            one part only.
        apart: distributions of dimensions that were judged by a look at their own part.
    """
    if not rubric.score.dimensions or (elements == verdict.elements and not parts and not apart):
        return {}
    scales = {name: list(known.distribution) for name, known in verdict.dimensions.items()} | dict(apart)
    own = {"alignment", *(dimension.name for dimension in rubric.dimensions if dimension.part)}
    for name in scales:
        if name not in own:
            scales[name] = min([scales[name], *(list(part[name]) for part in parts)], key=_expectation)
    supports = _supports(elements, scales)
    distribution = _by_rule(rubric, supports)
    if distribution is None:
        return {}
    shown = {name: _spread(support) for name, support in supports.items()}
    return {
        "distribution": distribution,
        "score": _expectation(distribution),
        "dimensions": {n: Dimension(score=_expectation(d), distribution=d) for n, d in shown.items()},
    }


def explained_anew(verdict: Verdict, after: Verdict, rubric: Rubric, facts: Mapping[str, float]) -> str:
    """The explanation after closer looks: a rubric's own sentences are said anew; a model's words stay what
    they are, those of the first look, followed by what is known now.

    Args:
        verdict: by the first look.
        after: with the elements, defects and numbers of all looks.
        facts: what was measured, 0..1.
    """
    if not verdict.explanation or _alike(verdict, after):
        return verdict.explanation

    def sentence(one: Verdict) -> str:
        assert one.score is not None and one.size is not None
        return _explained(rubric, one.attributes, one.defects, facts, one.score, one.size)

    if verdict.explanation == sentence(verdict):
        return sentence(after)
    words, known = _ANEW[rubric.language], list[str]()
    if after.elements:
        there = sum(element.present for element in after.elements)
        known.append(words["there"].format(there=there, count=len(after.elements)))
    if rubric.defects:
        known += [defect.kind for defect in after.defects] or [words["sound"]]
    return words["both"].format(said=verdict.explanation.rstrip(".。"), known=", ".join(known))


def _alike(one: Verdict, other: Verdict) -> bool:
    """Whether the same elements are there and the same kinds of defects."""
    kinds = [sorted(defect.kind for defect in each.defects) for each in (one, other)]
    there = [[element.present for element in each.elements] for each in (one, other)]
    return kinds[0] == kinds[1] and there[0] == there[1]


def _defect(
    answer: Answer, rubric: Rubric, size: tuple[int, int], index: int, item: dict[str, Any]
) -> Defect:
    box = regions.from_relative(located(answer, f"defects.{index}.box", item["box"]), *size)
    place = regions.place(box, *size)
    return Defect(
        family=rubric.family(item["kind"]),
        kind=item["kind"],
        box=box,
        severity=item["severity"],
        confidence=answer.opened(index),
        explanation=item.get("explanation")
        or rubric.said("region", kind=item["kind"], severity=item["severity"], place=place),
    )


def located(answer: Answer, blank: str, written: Sequence[int]) -> list[float]:
    """The box 0..1000 by the median of each corner's distribution: finer than the grid the model writes on,
    and not drawn between two places as a mean would be. The written one where there is no distribution."""
    box = [
        _median(answer.told.get(f"{blank}.{corner}"), value)
        for corner, value in zip(CORNERS, written, strict=True)
    ]
    upright = box[0] < box[2] and box[1] < box[3]
    return box if upright else list(map(float, written))


def _median(told: Mapping[str, float] | None, written: int) -> float:
    """Where half of the probability lies on either side, each label spread evenly over its step."""
    if not told or len(told) < 2:
        return float(written)
    shares = sorted((int(label), share) for label, share in told.items())
    step = shares[1][0] - shares[0][0]
    half, before = sum(share for _, share in shares) / 2, 0.0
    for place, share in shares:
        if before + share >= half and share > 0:
            return place + step * ((half - before) / share - 0.5)
        before += share
    return float(written)


def _expectation(distribution: Sequence[float]) -> float:
    mean = sum(label * share for label, share in enumerate(distribution, 1))
    return min(5.0, max(1.0, mean))


def _supports(elements: list[Element], scales: dict[str, list[float]]) -> dict[str, Support]:
    """What is known about each dimension; alignment is the share of elements that are there, if any."""
    known = {name: list(enumerate(map(float, shares), 1)) for name, shares in scales.items()}
    supports: dict[str, Support] = {name: [(float(v), p) for v, p in pairs] for name, pairs in known.items()}
    if elements and "alignment" in supports:
        counts = [1.0]  # probability of 0, 1, 2, ... elements being there, each on its own
        for element in elements:
            p = element.probability
            without, with_it = [*counts, 0.0], [0.0, *counts]
            counts = [(1 - p) * no + p * yes for no, yes in zip(without, with_it, strict=True)]
        supports["alignment"] = [(1 + 4 * n / len(elements), share) for n, share in enumerate(counts)]
    return supports


def _by_rule(rubric: Rubric, supports: dict[str, Support]) -> list[float] | None:
    """Distribution of the score that the rubric's rule makes of its dimensions; None for `slot`.

    The rule is linear in each dimension, so with dimensions taken as independent the mean of this
    distribution is the rule applied to their means.
    """
    names = rubric.score.dimensions
    if not names:
        return None
    shares, at = np.ones([1] * len(names)), dict[str, Row]()
    for axis, name in enumerate(names):
        values, chances = np.array(supports[name]).T
        if shares.size * len(values) > 10_000:  # many dimensions: their means lose no mean
            values, chances = np.array([values @ chances]), np.ones(1)
        # Each dimension along an axis of its own.
        along = [-1 if n == axis else 1 for n in range(len(names))]
        at[name], shares = values.reshape(along), shares * chances.reshape(along)
    return _shared(np.broadcast_to(rubric.combine(at), shares.shape), shares)


def _spread(support: Support) -> list[float]:
    """As `_shared`, of pairs."""
    values, shares = np.array(support).T
    return _shared(values, shares)


def _shared(values: Row, shares: Row) -> list[float]:
    """Probabilities of the labels 1 to 5 with the same mean: each value is shared by its two neighbours."""
    values, shares = values.ravel().clip(1, 5), shares.ravel()
    low = np.minimum(values.astype(int), 4)
    up = shares * (values - low)
    near = (np.bincount(low, shares - up, 6) + np.bincount(low + 1, up, 6))[1:]
    return [min(1.0, max(0.0, share)) for share in (near / near.sum()).tolist()]
