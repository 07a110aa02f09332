"""Verdicts that rest on what was read alone, for a model that does not know the rubric.

The dimensions with `by_texts` have the reader's distribution, and so has the score. All other dimensions and
elements are left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from judge.errors import ReplyError
from judge.pipeline.distributions import expectation
from judge.pipeline.scoring import build_dimensions
from judge.pipeline.writing.reading import TextReading
from judge.pipeline.writing.weighing import (
    accuracy_distribution,
    element_probability,
    explain_match,
    explain_others,
    list_text_defects,
    text_dimensions,
)
from judge.types import Box, Element, TextLine

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

NO_WANTED_TEXT = (
    "the prompt asks for no particular writing, and only writing can be read on this image: quote the wanted "
    'text in the prompt (a sign that says "OPEN"), or run with --model ..., see `judge models`'
)
MAX_OTHERS = 5
"""Lines that an explanation names beside the wanted ones."""


def judge_by_reading(
    reading: TextReading, rubric: Rubric, size: tuple[int, int], notes: list[str], *, explains: bool
) -> dict[str, Any]:
    """Return the fields of a scored verdict.

    Args:
        reading: what was read.
        rubric: the rubric.
        size: width and height of the image in pixels.
        notes: what was left out is appended.
        explains: whether to write an explanation.

    Raises:
        ReplyError: the prompt asks for no particular writing, or the rubric has no dimension with `by_texts`.
    """
    names = text_dimensions(rubric)
    if not reading.wanted:
        raise ReplyError(NO_WANTED_TEXT)
    if not names:
        raise ReplyError(f"rubric {rubric.name} has no dimension that is decided by what was read")
    distribution = accuracy_distribution(reading)
    notes.append(f"decided by the text reader alone (rapidocr {version('rapidocr')})")
    left_out = [d.name for d in rubric.dimensions if d.name not in names]
    left_out += [question.name for question in rubric.attributes] + list(reading.left_out)
    if left_out:
        notes.append(f"left out, as the model was not trained to judge it: {', '.join(left_out)}")
    return {
        "score": expectation(distribution),
        "distribution": distribution,
        "dimensions": build_dimensions(dict.fromkeys(names, distribution)),
        "elements": _build_elements(reading),
        "defects": list_text_defects(reading, rubric, size, notes),
        "explanation": _explain(reading, rubric) if explains and rubric.explanation else "",
    }


def _build_elements(reading: TextReading) -> list[Element]:
    elements = []
    for statement, match, wanted in zip(reading.statements, reading.matches, reading.wanted, strict=True):
        probability = element_probability(match, wanted)
        elements.append(
            Element(
                name=statement.name,
                expected=wanted.expected,
                present=probability >= 0.5,
                probability=probability,
                kind="text",
            )
        )
    return elements


def _explain(reading: TextReading, rubric: Rubric) -> str:
    """Return what was read for each wanted text, and what else was read."""
    language = rubric.language
    pairs = zip(reading.matches, reading.wanted, strict=True)
    parts = [explain_match(match, wanted, language) for match, wanted in pairs]
    boxes = [match.box for match in reading.matches if match.box is not None]
    others = [line.text for line in reading.lines if not any(_covers(box, line) for box in boxes)]
    if others:
        parts.append(explain_others(_shorten(others), language))
    return "; ".join(parts)


def _shorten(texts: Sequence[str]) -> list[str]:
    """Return the first texts, each of a readable length."""
    shown = [text if len(text) <= 40 else f"{text[:40]}…" for text in texts[:MAX_OTHERS]]
    return [*shown, f"+{len(texts) - MAX_OTHERS}"] if len(texts) > MAX_OTHERS else shown


def _covers(box: Box, line: TextLine) -> bool:
    """Return whether a line stands in the box of a wanted text."""
    x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
    overlap = min(box[2], line.box[2]) - max(box[0], line.box[0])
    is_level = box[1] <= y <= box[3] or line.box[1] <= (box[1] + box[3]) / 2 <= line.box[3]
    return (box[0] <= x <= box[2] or overlap > 0.3 * (box[2] - box[0])) and is_level
