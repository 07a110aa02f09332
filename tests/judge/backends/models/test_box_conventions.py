"""Boxes between pixels of the original image and the numbers that a family writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.backends.models.boxes import BoxConvention, read_box, write_box
from judge.backends.models.families import boxes_by_name
from judge.errors import InputError

ORIGINAL, RESIZED = (1600, 1200), (644, 476)


@pytest.mark.parametrize(
    ("convention", "written"),
    [
        (BoxConvention.RELATIVE_1000_XYXY, (250, 125, 750, 501)),
        (BoxConvention.RELATIVE_1000_YXYX, (125, 250, 501, 750)),
        (BoxConvention.RESIZED_PIXELS_XYXY, (161, 60, 483, 238)),
        (BoxConvention.JUDGE_GRID, (250, 120, 750, 500)),
    ],
)
def test_a_box_is_written_as_the_family_writes_it(
    convention: BoxConvention, written: tuple[int, ...]
) -> None:
    assert write_box((400, 150, 1200, 601), convention, ORIGINAL, RESIZED) == written


@pytest.mark.parametrize("convention", BoxConvention)
@given(x=st.floats(0, 1500), y=st.floats(0, 1100), width=st.floats(40, 1600), height=st.floats(40, 1200))
def test_a_box_that_is_written_and_read_is_off_by_half_a_step(
    convention: BoxConvention, x: float, y: float, width: float, height: float
) -> None:
    box = (x, y, min(x + width, 1600), min(y + height, 1200))
    found = read_box(write_box(box, convention, ORIGINAL, RESIZED), convention, ORIGINAL, RESIZED)
    limits = convention.limits(RESIZED)
    for index, (a, b) in enumerate(zip(box, found, strict=True)):
        # The last multiple of the step may lie before the edge.
        step = convention.step * ORIGINAL[index % 2] / limits[index % 2]
        assert abs(a - b) <= step / 2 + 1e-6


def test_a_thin_box_keeps_one_step_and_one_outside_is_clipped() -> None:
    convention = BoxConvention.RESIZED_PIXELS_XYXY
    assert write_box((800, 600, 800.1, 600.1), convention, ORIGINAL, RESIZED) == (322, 238, 323, 239)
    assert write_box((-50, -50, 5000, 5000), convention, ORIGINAL, RESIZED) == (0, 0, *RESIZED)
    assert read_box((0, 0, 9999, 9999), convention, ORIGINAL, RESIZED) == (0, 0, *ORIGINAL)


@pytest.mark.parametrize("box", [(0, 0, float("nan"), 1), (0, 0, float("inf"), 1)])
def test_numbers_that_are_not_finite_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="finite"):
        write_box(box, BoxConvention.RELATIVE_1000_XYXY, ORIGINAL, RESIZED)
    with pytest.raises(InputError, match="finite"):
        read_box(box, BoxConvention.RELATIVE_1000_XYXY, ORIGINAL, RESIZED)


@pytest.mark.parametrize(
    ("name", "convention"),
    [
        ("Qwen/Qwen2.5-VL-72B-Instruct", BoxConvention.RESIZED_PIXELS_XYXY),
        ("qwen2.5vl:7b", BoxConvention.RESIZED_PIXELS_XYXY),
        ("qwen/qwen2_5_vl", BoxConvention.RESIZED_PIXELS_XYXY),
        ("Qwen2.5-Omni-7B", BoxConvention.RESIZED_PIXELS_XYXY),
        ("Qwen/Qwen2-VL-7B-Instruct", BoxConvention.RELATIVE_1000_XYXY),
        ("qwen3-vl-plus", BoxConvention.RELATIVE_1000_XYXY),
        ("google/gemini-3-pro", BoxConvention.RELATIVE_1000_YXYX),
        ("gpt-5", BoxConvention.RELATIVE_1000_XYXY),
    ],
)
def test_a_hosted_model_has_a_convention_by_its_name(name: str, convention: BoxConvention) -> None:
    assert boxes_by_name(name) is convention
