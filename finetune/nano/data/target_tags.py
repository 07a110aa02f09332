"""What a target token is about. Loss weights and measurements are looked up by these tags."""

from __future__ import annotations

from finetune.nano.tasks import Task
from judge.rubrics.form import Segment
from judge.rubrics.form_nodes import BOX_CORNERS

HARD, COORDINATE, GRADED = 0, 1, 2
"""Kinds of targets: one token; a bell of neighboring coordinates; two neighboring score labels."""

TAGS = ("literal", "object", "count", "relation", "background", "counts", "color", "kind", "corner", "open",
        "another defect", "defect corner", "defect", "state", "attribute", "severity", "score",
        "text")  # fmt: skip
"""What a target token is about."""
STATEMENT_TAGS = TAGS[1:5]
"""The kinds of elements."""
TAG_WEIGHTS = {"literal": 0.03, "object": 4.0, "count": 4.0, "relation": 4.0, "background": 3.0,
               "counts": 3.0, "color": 2.0, "kind": 2.0, "corner": 1.0, "open": 2.5,
               "another defect": 4.0, "defect corner": 1.3, "defect": 1.5, "state": 2.0, "attribute": 1.5,
               "severity": 0.7, "score": 3.0, "text": 0.35}  # fmt: skip
"""Weight of a target token in the loss."""
NUMBER_WEIGHT = 2.0
"""Weight of a number in free text. "3 of 5 elements" is short to write and easy to get wrong."""


def tag_of(segment: Segment, task: Task) -> str:
    """Return the tag of a segment of a task's answer."""
    blank = segment.blank
    if segment.role in ("literal", "text"):
        return segment.role
    is_damage = blank.startswith("defects.")
    if segment.role == "branch":
        return "another defect" if is_damage else "open"
    last = blank.rpartition(".")[2]
    if blank.startswith("elements."):
        return task.statement_kinds[blank]
    if blank.startswith("counts."):
        return "counts"
    if blank.startswith("attributes."):
        return "attribute"
    if blank.startswith("dimensions.") or blank == "score":
        return "score"
    if last in BOX_CORNERS:
        return "defect corner" if is_damage else "corner"
    if blank.startswith("state."):
        return "state"
    if last == "kind" and is_damage:
        return "defect"
    return last if last in TAGS else "attribute"
