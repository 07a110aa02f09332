"""Verdicts on a suite's items, made by hand."""

from __future__ import annotations

from eval.suites.base import Item
from judge.types import Defect, Element, Provenance, Verdict

ORIGIN = Provenance(
    model="m", backend="b", rubric="default", rubric_hash="h", depth="verdict", version="1", milliseconds=20
)


def verdict(item: Item, score: float | None = 3.0, **fields) -> Verdict:
    """A verdict on an item; None is unscored."""
    if score is None:
        return Verdict(id=item.id, status="unscored", reason="no reply", provenance=ORIGIN)
    elements = [Element(name=e.name, present=True, probability=0.75) for e in item.labels.elements]
    given = {"size": (32, 24), "elements": elements, **fields}
    return Verdict(id=item.id, status="scored", score=score, provenance=ORIGIN, **given)


def defect(box, family="artifact", severity="moderate") -> Defect:
    return Defect(
        family=family, kind="other", box=box, severity=severity, confidence=0.9, explanation="it is bent"
    )
