"""Kinds and dependencies of elements: a statement about an absent object counts as absent."""

from __future__ import annotations

import pytest
from PIL import Image

from judge.backends.scripted import Scripted
from judge.elements.statements import annotate_elements, cap_by_dependencies, classify_element
from judge.judge import Judge

ELEMENTS = ["red cat", "cat", "couch", "two red cats on couch", "no couch"]


@pytest.mark.parametrize(
    ("element", "kind"),
    [("red cat", "object"), ("two red cats", "count"), ("cat left of house", "relation"),
     ("red", "attribute"), ("man holding umbrella", "activity"), ("the house is red", "attribute"),
     ("vintage illustration", "style"), ("text 'Stop'", "text"), ("wedding ring", "object"),
     ("cat bigger than dog", "relation")],
)  # fmt: skip
def test_elements_are_classified_by_their_words(element: str, kind: str) -> None:
    assert classify_element(element) == kind


def test_an_element_needs_the_things_that_it_mentions() -> None:
    needs = {statement.name: statement.needs for statement in annotate_elements(ELEMENTS)}
    assert needs == {
        "red cat": ["cat"], "cat": [], "couch": [], "no couch": [],
        "two red cats on couch": ["red cat", "cat", "couch"],
    }  # fmt: skip
    assert annotate_elements(["cat house", "cat"])[0].needs == [], "a cat house has no cat in it"


def test_no_element_is_more_probable_than_the_elements_it_needs() -> None:
    reported = dict(zip(ELEMENTS, [0.9, 0.2, 0.8, 0.7, 0.5], strict=True))
    capped = cap_by_dependencies(annotate_elements(ELEMENTS), reported)
    assert capped == dict(zip(ELEMENTS, [0.2, 0.2, 0.8, 0.2, 0.5], strict=True))


def test_a_verdict_counts_a_property_of_an_absent_thing_as_absent() -> None:
    answer = {
        "elements": {"cat": False, "red cat": True}, "degradation": "none", "defects": [],
        "alignment": 3, "structure": 3, "score": 3, "explanation": "",
    }  # fmt: skip
    judge = Judge(backend=Scripted([answer]))
    cat, red = judge(Image.new("RGB", (32, 32)), prompt="a red cat", elements=["cat", "red cat"]).elements
    assert not cat.present and not red.present and red.probability == 0
    assert (red.kind, red.needs) == ("object", ["cat"])
