"""Random forms: their shapes, and the check of the replies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from eval.bench.accuracy.forms import draw_form_shapes, find_fault, measure_forms
from judge.errors import ReplyError


class FirstLabelBackend:
    """A backend that fills every form with its first labels, or replies with a fixed text."""

    brief, size = True, 64

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def complete(self, requests: list[Any]) -> list[Any]:
        return [SimpleNamespace(text=self.text or self._fill(request.form)) for request in requests]

    choose = complete

    def _fill(self, form: Any) -> str:
        from judge.rubrics.form_nodes import Literal, Text

        walk, text = form.walk(), ""
        part = next(walk)
        while True:
            answer = ""
            if isinstance(part, Literal):
                text += part.text
            elif isinstance(part, Text):
                answer = "fine"
                text += answer + '"'
            else:
                answer = part.labels[0]
                text += answer
            try:
                part = walk.send(answer)
            except StopIteration:
                return text


def test_shapes_cover_the_range_and_are_reproducible() -> None:
    shapes = list(draw_form_shapes(500, 0))
    assert shapes == list(draw_form_shapes(500, 0))
    assert {len(names) for names, _ in shapes} == set(range(13))
    assert {max_defects for _, max_defects in shapes} == set(range(7))
    assert all(len(set(names)) == len(names) for names, _ in shapes)
    assert any("<|im_end|>" in names for names, _ in shapes)


@pytest.fixture
def rubric() -> Any:
    pytest.importorskip("judge.backends.base")
    from judge.rubrics.rubric import Rubric

    return Rubric.load("default")


def test_valid_replies_are_counted_and_invalid_ones_are_listed_with_a_reason(rubric: Any) -> None:
    images = [Image.new("RGB", (64, 64))]
    assert measure_forms(FirstLabelBackend(), rubric, images, 40, 1)["valid"] == 40
    result = measure_forms(FirstLabelBackend('{"score":3'), rubric, images, 7, 1, batch=3)
    assert (result["valid"], result["valid_score_depth"]) == (0, 0)
    assert [failure["form"] for failure in result["failures"]] == [0, 1, 2, 0, 1]
    assert "not JSON" in result["failures"][0]["reason"]


def test_a_failed_row_and_text_that_is_not_canonical_are_faults(rubric: Any) -> None:
    form = rubric.form(["red circle"], 0)
    assert find_fault(form, ReplyError("score: missing")) == "score: missing"
    text = FirstLabelBackend().complete([SimpleNamespace(form=form)])[0].text
    assert find_fault(form, SimpleNamespace(text=text)) == ""
    assert "canonical" in find_fault(form, SimpleNamespace(text=text.replace(":", ": ")))
