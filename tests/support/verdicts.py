"""Verdicts and defects made by hand, for tests of metrics."""

from __future__ import annotations

from eval.suites.shared.samples import SuiteSample
from judge.types import Defect, Element, Provenance, Verdict

PROVENANCE = Provenance(
    model="m", backend="b", rubric="default", rubric_hash="h", depth="verdict", version="1", milliseconds=20
)


def make_verdict(sample: SuiteSample, score: float | None = 3.0, **fields) -> Verdict:
    """Make a verdict on a sample, unscored without a score. Its elements are present with probability .75."""
    if score is None:
        return Verdict(id=sample.id, status="unscored", reason="no reply", provenance=PROVENANCE)
    elements = [Element(name=e.name, present=True, probability=0.75) for e in sample.labels.elements]
    fields = {"size": (32, 24), "elements": elements, **fields}
    return Verdict(id=sample.id, status="scored", score=score, provenance=PROVENANCE, **fields)


def make_defect(box, family="artifact", severity="moderate") -> Defect:
    """Make a defect with a box."""
    return Defect(
        family=family, kind="other", box=box, severity=severity, confidence=0.9, explanation="it is bent"
    )
