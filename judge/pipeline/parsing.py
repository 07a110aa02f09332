"""Turn a model's reply into the numbers and regions of a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply
from judge.elements.statements import Statement, annotate_elements, cap_by_dependencies
from judge.errors import ReplyError
from judge.media.regions import describe_position, from_relative
from judge.pipeline.distributions import expectation, tilt_to_mean
from judge.pipeline.explanations import add_excluded, explain_by_rubric
from judge.pipeline.scoring import (
    build_dimensions,
    dimension_supports,
    mix_in_facts,
    score_by_rule,
    support_to_distribution,
)
from judge.pipeline.validation import replace_surrogates
from judge.pipeline.writing.weighing import list_text_defects, weigh_dimensions, weigh_elements
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import BOX_CORNERS, Object
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import REASONING_MEMBER, SCORE_LABELS
from judge.types import Attribute, Defect, Element

if TYPE_CHECKING:
    from judge.pipeline.prepared_sample import PreparedSample

MAX_SCORE_DIFFERENCE = 1.0
"""A larger difference between the written score and the score by the rubric's rule is noted in the
verdict."""


LOW_LABEL_MASS = 0.5
"""A label mass below this is noted in the verdict."""


class Answer:
    """A reply parsed by its form: the values and the probabilities behind them.

    Args:
        form: the form.
        reply: the reply to it.
        allow_missing: accept a reply without an answer to some blanks (`Reply.missing`).

    Raises:
        ReplyError: the reply does not fit the form, or has no answer to a blank.
    """

    def __init__(self, form: Form, reply: Reply, *, allow_missing: bool = False) -> None:
        if reply.missing and not allow_missing:
            raise ReplyError(next(iter(reply.missing.values())))
        self.values = form.without(reply.missing).parse(reply.text)
        self.missing = reply.missing
        """Name of a blank without a usable answer -> why."""
        elements = dict(form.root.members).get("elements")
        self._element_names = [key for key, _ in elements.members] if isinstance(elements, Object) else []
        self.blank_probabilities = reply.probabilities
        """Path of a blank -> label -> probability, as the backend reported them."""
        self.is_exact = reply.exact
        """Whether the probabilities are the model's own, not estimates."""
        self.is_complete = True
        """False once a number had to be taken from the written label alone."""

    def probabilities(self, blank: str, labels: Sequence[str], written: object) -> dict[str, float]:
        """Return the probabilities of a blank's labels.

        Args:
            blank: path of the blank.
            labels: labels of the blank.
            written: the value in the reply; it gets probability 1 if the backend reported nothing for the
                blank.

        Returns:
            Label -> probability, summing to 1.

        Raises:
            ReplyError: the backend reported other labels, or numbers that are not a distribution.
        """
        reported = self.blank_probabilities.get(blank)
        if reported is None:
            self.is_complete = False
            return {label: float(label == str(written)) for label in labels}
        values = [reported.get(label, 0.0) for label in labels]
        total = sum(reported.values())
        if (
            set(reported) - set(labels)
            or not all(math.isfinite(v) and v >= 0 for v in values)
            or abs(total - 1) > 0.01
        ):
            raise ReplyError(
                f"{blank}: the backend's probabilities are not a distribution over {', '.join(labels)}"
            )
        return {label: value / total for label, value in zip(labels, values, strict=True)}

    def score_distribution(self, blank: str, written: object) -> list[float]:
        """Return the probabilities of the labels 1 to 5 at a blank."""
        return list(self.probabilities(blank, SCORE_LABELS, written).values())

    def element_probability(self, index: int, written: object) -> float:
        """Return the probability that the element of this index is present."""
        return self.probabilities(f"elements.{index}", ("true", "false"), str(written).lower())["true"]

    def element_probabilities(self) -> dict[str, float]:
        """Return the elements that have an answer, with the probability that each is present."""
        written = self.values.get("elements", {})
        return {
            name: self.element_probability(index, written[name])
            for index, name in enumerate(self._element_names)
            if name in written
        }

    def defect_probability(self, index: int) -> float:
        """Return the probability of naming another defect where the defect of this index was named."""
        return self.probabilities(f"defects.{index}.open", ("open", "close"), "open")["open"]

    def dimension_distributions(self, rubric: Rubric) -> dict[str, list[float]]:
        """Return the distributions of those dimensions of the rubric that the form asks for."""
        names = [dimension.name for dimension in rubric.dimensions if dimension.name in self.values]
        return {name: self.score_distribution(f"dimensions.{name}", self.values[name]) for name in names}

    def part_probability(self) -> float:
        """Return the probability that the image shows the part that the question looks for."""
        written = str(self.values["there"]).lower()
        return self.probabilities("there", ("true", "false"), written)["true"]


def mean_label_mass(reply: Reply, notes: list[str]) -> float | None:
    """Return the mean probability that a model gave to all labels of a blank together.

    Args:
        reply: the reply.
        notes: gets a note if it is low.

    Returns:
        The mean over the blanks, rounded to three decimals; None if the backend did not measure it.
    """
    masses = reply.label_mass
    if not masses:
        return None
    mean = round(min(1.0, sum(masses.values()) / len(masses)), 3)
    if mean < LOW_LABEL_MASS:
        lowest = min(masses, key=lambda blank: masses[blank])
        notes.append(
            f"the model gave the labels of the form only {mean:.1%} of its probability on average "
            f"({masses[lowest]:.1%} at {lowest}): it wanted to write something else, so "
            "trust its numbers less"
        )
    return mean


def parse_reply(
    reply: Reply,
    prepared: PreparedSample,
    rubric: Rubric,
    notes: list[str],
    absent_reply: Reply | ReplyError | None = None,
) -> dict[str, Any]:
    """Parse a reply to the fields of a scored verdict.

    A blank without a usable answer is left out with a note, if the score does not depend on it.

    Args:
        reply: the backend's reply.
        prepared: the sample with the request that was answered.
        rubric: the rubric of the request.
        notes: notes for the reader are appended.
        absent_reply: the reply about what must be absent, if it was asked in a request of its own.

    Raises:
        ReplyError: the reply does not fit the form, or its probabilities are not usable.
    """
    answer = Answer(prepared.request.form, reply, allow_missing=True)
    _check_missing(answer, prepared, rubric, notes)
    elements = _parse_elements(answer, prepared.statements)
    reading = prepared.reading
    if reading is not None:
        elements = weigh_elements(elements, reading, notes)
    attributes = _parse_attributes(answer, rubric)
    distributions = answer.dimension_distributions(rubric)
    if reading is not None:
        distributions = weigh_dimensions(distributions, reading, rubric, notes)
    supports = dimension_supports(elements, distributions)
    by_rule = score_by_rule(rubric, supports)
    is_written = "score" in answer.values
    distribution = _choose_distribution(
        answer.score_distribution("score", answer.values["score"]) if is_written else by_rule or [],
        by_rule,
        prepared,
        rubric,
        notes,
    )
    absent = _parse_absent_elements(prepared, absent_reply, notes)
    if absent:
        distribution = _shift_by_absent(rubric, distribution, distributions, elements, absent)
        elements = [*elements, *absent]
    if prepared.depth == "score":
        distributions = {name: support_to_distribution(support) for name, support in supports.items()}
    defects = parse_defects(answer, rubric, prepared.size)
    if reading is not None:
        defects = list_text_defects(reading, rubric, prepared.size, notes, defects)
    if not answer.is_exact:
        notes.append("the backend estimated the probabilities from the most likely tokens")
    if not answer.is_complete:
        notes.append("the backend gave no probabilities: numbers are those of the written labels")
    # Without measured facts the model's score covers everything: see `ModelInfo.images_only`.
    facts = prepared.facts
    distribution = mix_in_facts(distribution, rubric.score.measured if facts else {}, facts)
    score, explanation = expectation(distribution), answer.values.get("explanation", "")
    if not explanation and prepared.depth == "verdict":
        explanation = explain_by_rubric(rubric, attributes, defects, facts, score, prepared.size)
    explanation = add_excluded(explanation, absent, rubric)
    return {
        "score": score,
        "distribution": distribution,
        "dimensions": build_dimensions(distributions),
        "elements": elements,
        "attributes": attributes,
        "defects": defects,
        "explanation": explanation,
        "reasoning": answer.values.get(REASONING_MEMBER, ""),
        "thought": replace_surrogates(reply.thought),
    }


def _check_missing(answer: Answer, prepared: PreparedSample, rubric: Rubric, notes: list[str]) -> None:
    """Note the blanks without an answer; raise `ReplyError` if the score depends on one, or one is a list.

    A list that is missing is not empty: a verdict without defects would say that there are none.
    """
    dimensions = {f"dimensions.{name}" for name in rubric.score.dimensions}
    is_by_rule = bool(dimensions) and prepared.depth in ("score", *rubric.score.depths)
    needed = {"defects"} | (dimensions if is_by_rule or prepared.absent_request else set())
    needed |= set() if is_by_rule else {"score"}
    for name, reason in answer.missing.items():
        is_counted = is_by_rule and name.startswith("elements.") and "dimensions.alignment" in dimensions
        if name in needed or is_counted:
            raise ReplyError(f"{reason}; the score depends on it" if name != "defects" else reason)
        notes.append(f"no answer: {reason}")


def _choose_distribution(
    written: list[float],
    by_rule: list[float] | None,
    prepared: PreparedSample,
    rubric: Rubric,
    notes: list[str],
) -> list[float]:
    """Choose between the written score and the score by the rule, and note a large difference."""
    if by_rule and prepared.depth == "verdict":
        written_score, rule_score = expectation(written), expectation(by_rule)
        if abs(written_score - rule_score) > MAX_SCORE_DIFFERENCE:
            notes.append(
                f"the scores disagree: {written_score:.2f} written, {rule_score:.2f} by the rubric's rule"
            )
    return by_rule if by_rule and prepared.depth in ("score", *rubric.score.depths) else written


def _parse_attributes(answer: Answer, rubric: Rubric) -> dict[str, Attribute]:
    attributes = {}
    for question in rubric.attributes:
        if question.name not in answer.values:
            continue
        written = answer.values[question.name]
        probabilities = answer.probabilities(f"attributes.{question.name}", question.labels, written)
        label = max(probabilities, key=probabilities.__getitem__)
        attributes[question.name] = Attribute(label=label, probabilities=probabilities)
    return attributes


def _parse_elements(answer: Answer, statements: Sequence[Statement]) -> list[Element]:
    """Return the elements, none more probable than the elements it needs; see `judge.elements.statements`.

    The model was asked whether the image shows each of them; for one that must be absent its answer is
    inverted.
    """
    reported = answer.element_probabilities()
    if answer.missing:
        statements = [
            statement.model_copy(update={"needs": [name for name in statement.needs if name in reported]})
            for statement in statements
            if statement.name in reported
        ]
    if [statement.name for statement in statements] != list(reported):
        statements = annotate_elements(list(reported))
    probabilities = cap_by_dependencies(statements, reported)
    probabilities = {s.name: invert_if_unwanted(s.expected, probabilities[s.name]) for s in statements}
    return [
        Element(
            name=statement.name,
            expected=statement.expected,
            present=probabilities[statement.name] >= 0.5,
            probability=probabilities[statement.name],
            kind=statement.kind,
            needs=statement.needs,
        )
        for statement in statements
    ]


def _parse_absent_elements(
    prepared: PreparedSample, reply: Reply | ReplyError | None, notes: list[str]
) -> list[Element]:
    """Return the elements that must be absent, from the reply to the request about them."""
    if prepared.absent_request is None or reply is None:
        return []
    try:
        if isinstance(reply, ReplyError):
            raise reply
        return _parse_elements(Answer(prepared.absent_request.form, reply), prepared.absent_statements)
    except ReplyError as error:
        names = ", ".join(statement.name for statement in prepared.absent_statements)
        notes.append(f"what must be absent could not be checked ({names}): {error}")
        return []


def _shift_by_absent(
    rubric: Rubric,
    distribution: list[float],
    distributions: dict[str, list[float]],
    elements: list[Element],
    absent: list[Element],
) -> list[float]:
    """Return the distribution of the score with what must be absent taken into account.

    The score moves by as much as the rubric's rule moves when these elements are added to the others. The
    distribution of `alignment` in `distributions` is replaced likewise.
    """
    before = dimension_supports(elements, distributions)
    after = dimension_supports([*elements, *absent], distributions)
    rules = [score_by_rule(rubric, supports) for supports in (before, after)]
    if "alignment" in distributions:
        means = [sum(value * share for value, share in supports["alignment"]) for supports in (before, after)]
        distributions["alignment"] = _shift_mean(distributions["alignment"], means[1] - means[0])
    if rules[0] is None or rules[1] is None:
        return distribution
    return _shift_mean(distribution, expectation(rules[1]) - expectation(rules[0]))


def _shift_mean(distribution: list[float], shift: float) -> list[float]:
    mean = min(5.0, max(1.0, expectation(distribution) + shift))
    return tilt_to_mean(distribution, mean) if shift else distribution


def invert_if_unwanted(expected: bool, probability: float) -> float:
    """Return the probability that the image is as asked, from the probability that it shows an element."""
    return probability if expected else 1 - probability


def parse_defects(answer: Answer, rubric: Rubric, size: tuple[int, int]) -> list[Defect]:
    """Return the defects in an answer.

    Args:
        answer: the parsed reply.
        rubric: names the families of the kinds.
        size: width and height in pixels of the image that the boxes refer to.

    Raises:
        ReplyError: the probabilities of a defect are not usable.
    """
    items = answer.values.get("defects", [])
    return [_parse_defect(answer, rubric, size, index, item) for index, item in enumerate(items)]


def _parse_defect(
    answer: Answer, rubric: Rubric, size: tuple[int, int], index: int, item: dict[str, Any]
) -> Defect:
    box = from_relative(refine_box(answer, f"defects.{index}.box", item["box"]), *size)
    place = describe_position(box, *size)
    return Defect(
        family=rubric.family(item["kind"]),
        kind=item["kind"],
        box=box,
        severity=item["severity"],
        confidence=answer.defect_probability(index),
        explanation=item.get("explanation")
        or rubric.render_sentence("region", kind=item["kind"], severity=item["severity"], place=place),
    )


def refine_box(answer: Answer, blank: str, written: Sequence[int]) -> list[float]:
    """Return a box (0..1000) from the median of each coordinate's distribution.

    The median is finer than the grid on which the model writes, and it does not fall between two candidate
    positions as a mean would.

    Args:
        answer: the parsed reply.
        blank: path of the box.
        written: the box in the reply; used where there is no distribution, or if the medians are not in
            order.
    """
    box = [
        _median_coordinate(answer.blank_probabilities.get(f"{blank}.{corner}"), value)
        for corner, value in zip(BOX_CORNERS, written, strict=True)
    ]
    is_ordered = box[0] < box[2] and box[1] < box[3]
    return box if is_ordered else list(map(float, written))


def _median_coordinate(reported: Mapping[str, float] | None, written: int) -> float:
    """Return the median of a coordinate, with the share of each label spread evenly over one grid step."""
    if not reported or len(reported) < 2:
        return float(written)
    shares = sorted((float(label), share) for label, share in reported.items())
    step = shares[1][0] - shares[0][0]
    half, below = sum(share for _, share in shares) / 2, 0.0
    for coordinate, share in shares:
        if below + share >= half and share > 0:
            return coordinate + step * ((half - below) / share - 0.5)
        below += share
    return float(written)
