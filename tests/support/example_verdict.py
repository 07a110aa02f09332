"""A verdict with up to 12 defects and 20 elements, for tests of its display."""

from __future__ import annotations

from judge.types import Attribute, Defect, Dimension, Element, Provenance, Verdict

RELATIVE_BOXES = [(0.1, 0.2, 0.4, 0.5), (0.5, 0.0, 0.8, 0.3), (0.5, 0.01, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)]
"""Boxes of the defects, as shares of the image's sides."""
ELEMENT_NAMES = [
    "red circle",
    "two blue cats left of a house",
    "ein schöner Baum 中文",
    "[bold]x[/bold] \x1b[31m",
]


def example_verdict(
    size: tuple[int, int] | None = (64, 64),
    defect_count: int = 3,
    element_count: int = 4,
    **changes: object,
) -> Verdict:
    """Make a verdict on an image of some size, with changes to its fields."""
    width, height = size or (64, 64)
    defects = [
        Defect(
            family="artifact",
            kind="displaced part",
            box=(x1 * width, y1 * height, x2 * width, y2 * height),
            severity="moderate",
            confidence=0.8,
            explanation="the wheel of the red car is out of place",
        )
        for x1, y1, x2, y2 in (RELATIVE_BOXES * 3)[:defect_count]
    ]
    elements = [
        Element(name=name, present=index % 2 == 0, probability=0.5)
        for index, name in enumerate((ELEMENT_NAMES * 5)[:element_count])
    ]
    fields = {
        "status": "scored",
        "score": 3.4,
        "distribution": [0.05, 0.1, 0.35, 0.4, 0.1],
        "size": size,
        "dimensions": {"alignment": Dimension(score=3.9, distribution=[0, 0, 0.3, 0.5, 0.2])},
        "attributes": {"degradation": Attribute(label="blur", probabilities={"blur": 0.8, "none": 0.2})},
        "elements": elements,
        "defects": defects,
        "explanation": "two of four are there",
        "provenance": Provenance(
            model="m",
            backend="b",
            rubric="default",
            rubric_hash="0",
            depth="verdict",
            version="0",
            milliseconds=12,
            notes=["animation: judged by its first frame"],
        ),
    }
    return Verdict.model_validate(fields | changes)


def example_unscored_verdict(reason: str) -> Verdict:
    """Make an unscored verdict."""
    return example_verdict(
        defect_count=0, element_count=0, status="unscored", score=None, distribution=None, reason=reason
    )
