"""The share of what was read in a verdict: elements, dimensions and defects.

An element that wants a text has the probability `READER_SHARE` times that of the reader plus the rest times
that of the model; so has the distribution of a dimension with `by_texts`. The reader's probability that the
text is right is `EXACT_PROBABILITY` if it was read as wanted, and falls with the edit distance; the constants
were rounded from frequencies on 420 drawn images (`eval.bench.accuracy.drawn_text`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from judge.elements.statements import cap_elements
from judge.elements.text import truncate
from judge.evidence.text_matching import TextMatch
from judge.media.regions import iou
from judge.pipeline.distributions import expectation
from judge.pipeline.scoring import support_to_distribution
from judge.pipeline.writing.reading import TextReading
from judge.types import Defect, Element, Severity

if TYPE_CHECKING:
    from judge.elements.wanted_text import WantedText
    from judge.rubrics.rubric import Rubric

READER_SHARE = 0.7
"""Share of the reader where a model answers as well."""
EXACT_PROBABILITY = 0.98
"""Probability that a text is right that was read as wanted."""
NEAR_PROBABILITY = 0.1
"""The same if one character differs; each further character halves it."""
MIN_PROBABILITY = 0.04
MIN_SIMILARITY = 0.5
"""What is less similar to a wanted text is another text."""
WRONG_CREDIT = 0.75
"""Highest credit, 0 to 1, of a text that is not right: the label 4."""
DISAGREEMENT = 0.5
"""A larger difference between the probabilities of model and reader is noted."""
SAME_PLACE = 0.3
"""Defects of one kind that share this part of their union are one."""
WRONG_SPELLING, MISSING_TEXT, EXTRA_TEXT = "wrong spelling", "missing text", "extra text"
"""Kinds of defects that the reader finds, if the rubric has them."""

_TEXTS = {
    "en": {
        WRONG_SPELLING: 'reads "{read}", wanted "{wanted}"',
        MISSING_TEXT: 'nothing like "{wanted}" was read',
        EXTRA_TEXT: 'reads "{read}", which must be absent',
        "right": 'reads "{wanted}" as wanted',
        "absent": '"{wanted}" is absent, as wanted',
        "others": "also read: {texts}",
    },
    "zh": {
        WRONG_SPELLING: "读到“{read}”，应为“{wanted}”",
        MISSING_TEXT: "没有读到“{wanted}”",
        EXTRA_TEXT: "读到不应出现的“{read}”",
        "right": "“{wanted}”书写正确",
        "absent": "没有出现“{wanted}”，符合要求",
        "others": "还读到：{texts}",
    },
}
"""Sentences of the reader, for each language of a rubric."""


def probability_right(match: TextMatch) -> float:
    """Return the probability, 0 to 1, that an image shows a text exactly, from what was read."""
    if match.is_exact:
        return EXACT_PROBABILITY
    if match.similarity < MIN_SIMILARITY:
        return MIN_PROBABILITY
    return max(MIN_PROBABILITY, NEAR_PROBABILITY * 0.5 ** (match.distance - 1))


def element_probability(match: TextMatch, wanted: WantedText) -> float:
    """Return the reader's probability, 0 to 1, that the image is as asked."""
    probability = probability_right(match)
    return probability if wanted.expected else 1 - probability


def accuracy_distribution(reading: TextReading) -> list[float]:
    """Return the reader's probabilities of the labels 1 to 5: how much of the wanted writing is there.

    A text has 5 if it is right. If it is not, it has 1 + 4 times its similarity, at most 4, and 1 if what was
    read is another text. The texts of a sample count alike.
    """
    pairs = []
    for match, wanted in zip(reading.matches, reading.wanted, strict=True):
        right = element_probability(match, wanted)
        credit = min(WRONG_CREDIT, match.similarity) if match.similarity >= MIN_SIMILARITY else 0.0
        share = 1 / len(reading.matches)
        pairs += [(5.0, right * share), (1 + 4 * credit * wanted.expected, (1 - right) * share)]
    return support_to_distribution(pairs)


def weigh_elements(elements: list[Element], reading: TextReading, notes: list[str]) -> list[Element]:
    """Return the elements with the reader's share in those that want a text.

    Args:
        elements: with the model's probabilities.
        reading: what was read.
        notes: a note for each large disagreement is appended.
    """
    known = {
        statement.name: (match, wanted)
        for statement, match, wanted in zip(reading.statements, reading.matches, reading.wanted, strict=True)
    }
    weighed = []
    for element in elements:
        if element.name in known:
            match, wanted = known[element.name]
            reader = element_probability(match, wanted)
            if abs(reader - element.probability) > DISAGREEMENT:
                notes.append(
                    f"model and text reader disagree on {element.label}: {element.probability:.2f} and "
                    f'{reader:.2f} (read: "{match.read}")'
                )
            probability = READER_SHARE * reader + (1 - READER_SHARE) * element.probability
            update = {"probability": probability, "present": probability >= 0.5, "kind": "text"}
            element = element.model_copy(update=update)
        weighed.append(element)
    return cap_elements(weighed)


def weigh_dimensions(
    distributions: Mapping[str, list[float]], reading: TextReading, rubric: Rubric, notes: list[str]
) -> dict[str, list[float]]:
    """Return the distributions of the dimensions with the reader's share in those with `by_texts`.

    Args:
        distributions: dimension -> the model's probabilities of the labels 1 to 5.
        reading: what was read; without a wanted text nothing changes.
        rubric: the rubric.
        notes: a note for a large disagreement is appended.
    """
    weighed = dict(distributions)
    if not reading.matches:
        return weighed
    reader = accuracy_distribution(reading)
    for name in filter(weighed.__contains__, text_dimensions(rubric)):
        model = weighed[name]
        if abs(expectation(model) - expectation(reader)) > 4 * DISAGREEMENT:
            notes.append(
                f"model and text reader disagree on {name}: {expectation(model):.1f} and "
                f"{expectation(reader):.1f} of 5"
            )
        weighed[name] = [
            READER_SHARE * r + (1 - READER_SHARE) * m for r, m in zip(reader, model, strict=True)
        ]
    return weighed


def text_dimensions(rubric: Rubric) -> list[str]:
    """Return the names of the dimensions in which the reader has a share."""
    return [dimension.name for dimension in rubric.dimensions if dimension.by_texts]


def list_text_defects(
    reading: TextReading,
    rubric: Rubric,
    size: tuple[int, int],
    notes: list[str],
    defects: Sequence[Defect] = (),
) -> list[Defect]:
    """Return the reader's defects, then those of the model that are not the same.

    Args:
        reading: what was read.
        rubric: the reader only finds kinds that it has.
        size: width and height of the image in pixels.
        notes: a note is appended if there are more than a verdict lists.
        defects: of the model.
    """
    found = _find_defects(reading, rubric, size)
    others = [
        d for d in defects if not any(d.kind == f.kind and iou(d.box, f.box) >= SAME_PLACE for f in found)
    ]
    limit = reading.max_defects
    if limit and len(found) + len(others) > limit:
        notes.append(f"{len(found) + len(others) - limit} more defects are not listed: the limit is {limit}")
    return [*found, *others][:limit]


def _find_defects(reading: TextReading, rubric: Rubric, size: tuple[int, int]) -> list[Defect]:
    """Return a defect for each text that is not as wanted.

    The box of a misspelt text is where it was read; a missing text has that of the whole image.
    """
    if not reading.max_defects or rubric.defects is None:
        return []
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    kinds = [kind for group in rubric.defects.kinds.values() for kind in group]
    defects = []
    for match, wanted in zip(reading.matches, reading.wanted, strict=True):
        kind = fault_of(match, wanted)
        if not kind or kind not in kinds:
            continue
        severity: Severity = "moderate" if kind == WRONG_SPELLING and match.distance <= 2 else "critical"
        box = whole if kind == MISSING_TEXT or match.box is None else match.box
        defects.append(
            Defect(
                family=rubric.family(kind),
                kind=kind,
                box=box,
                severity=severity,
                confidence=1 - element_probability(match, wanted),
                explanation=truncate(
                    explain_match(match, wanted, rubric.language), rubric.defects.explanation
                ),
            )
        )
    return defects


def fault_of(match: TextMatch, wanted: WantedText) -> str:
    """Return the kind of defect that a text is; empty if it is as wanted."""
    if not wanted.expected:
        return EXTRA_TEXT if match.is_exact else ""
    if match.is_exact:
        return ""
    return WRONG_SPELLING if match.similarity >= MIN_SIMILARITY else MISSING_TEXT


def explain_match(match: TextMatch, wanted: WantedText, language: str) -> str:
    """Return what was read for a wanted text, in words."""
    kind = fault_of(match, wanted) or ("right" if wanted.expected else "absent")
    return _TEXTS[language][kind].format(read=match.read, wanted=wanted.text)


def explain_others(texts: Sequence[str], language: str) -> str:
    """Return a sentence that names writing that was not asked for."""
    return _TEXTS[language]["others"].format(texts=", ".join(f"“{text}”" for text in texts))
