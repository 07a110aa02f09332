"""The bench of drawn writing: images with known faults, and how often they are decided right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.bench.accuracy import drawn_text
from eval.bench.accuracy.drawn_text import DrawnText, draw_texts, find_fonts
from eval.bench.accuracy.text import measure_text
from eval.metrics.bootstrap import wilson_interval
from judge.types import Element, Provenance, Verdict

PROVENANCE = Provenance(
    model="m", backend="b", rubric="text", rubric_hash="0", depth="verdict", version="0", milliseconds=0
)


@pytest.fixture(scope="module")
def images() -> list[DrawnText]:
    latin, _ = find_fonts()
    if not latin:
        pytest.skip("no font on this machine")
    return list(draw_texts(15, 3, latin, []))


class Believer:
    """A judge that takes every text for right, but sees where there is none."""

    def __call__(self, image: Any, prompt: str) -> Verdict:
        element = Element(name="t", present=True, probability=0.9, kind="text")
        return Verdict(status="scored", score=4, elements=[element], provenance=PROVENANCE)


def test_a_third_has_a_fault_a_fifth_has_no_writing_and_seeds_repeat(images: list[DrawnText]) -> None:
    faults = [drawn.fault for drawn in images]
    assert (faults.count("no text"), faults.count("")) == (3, 7)
    assert all((drawn.shown == drawn.wanted) == (not drawn.fault) for drawn in images)
    assert all(drawn.wanted in drawn.prompt for drawn in images)
    again = next(iter(draw_texts(1, 3, find_fonts()[0], [])))
    assert np.array_equal(np.asarray(again.image), np.asarray(images[0].image))


@pytest.mark.parametrize("fault", ["changed", "missing", "doubled"])
def test_a_fault_is_one_character(fault: Any) -> None:
    import random

    spoilt = drawn_text._spoil("HELLO WORLD", fault, random.Random(1))
    assert spoilt != "HELLO WORLD" and abs(len(spoilt) - 11) == (fault != "changed")


def test_right_is_present_where_it_is_as_wanted_and_absent_elsewhere(images: list[DrawnText]) -> None:
    result = measure_text(Believer(), images)
    assert result["accuracy"] == pytest.approx(7 / 15) and result["fault.as wanted"] == 1
    assert result["fault.no text"] == 0 and len(result["errors"]) == 8
    assert result["notes"]["script"].startswith("no font with Chinese")
    low, high = result["interval_95"]["accuracy"]
    assert low < 7 / 15 < high


def test_the_interval_of_a_share_of_one_has_a_width() -> None:
    assert wilson_interval(200, 200) == pytest.approx((0.9811, 1.0), abs=1e-3)
