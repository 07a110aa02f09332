"""Boxes, polygons and masks, compared with brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.errors import InputError
from judge.media.regions import (
    box_area,
    box_to_mask,
    clip_box,
    from_relative,
    iou,
    mask_iou,
    mask_to_box,
    polygon_to_mask,
    scale_box,
    to_relative,
)

pixel = st.integers(0, 40)
sides = st.integers(1, 5000)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x1, x2 = sorted((draw(pixel), draw(pixel)))
    y1, y2 = sorted((draw(pixel), draw(pixel)))
    return float(x1), float(y1), float(x2), float(y2)


@given(boxes(), boxes())
def test_iou_of_boxes_equals_that_of_their_masks(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> None:
    """Boxes exclude x2 and y2. This finds an error of one pixel on either side."""
    assert iou(a, b) == pytest.approx(mask_iou(box_to_mask(a, 40, 40), box_to_mask(b, 40, 40)))
    assert iou(a, b) == iou(b, a)


def test_iou_of_empty_or_inverted_boxes_is_zero() -> None:
    assert iou((3, 3, 3, 9), (3, 3, 3, 9)) == 0
    assert iou((9, 9, 1, 1), (0, 0, 10, 10)) == 0
    assert box_area((9, 9, 1, 1)) == 0


@given(boxes())
def test_a_box_converted_to_a_mask_and_back_is_the_same(box: tuple[float, float, float, float]) -> None:
    back = mask_to_box(box_to_mask(box, 40, 40))
    assert back == (box if box_area(box) else None)


@given(st.data(), sides, sides)
def test_converting_to_relative_and_back_moves_a_box_by_half_a_grid_step_at_most(
    data: st.DataObject, width: int, height: int
) -> None:
    x1, x2 = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y1, y2 = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    relative = to_relative((x1, y1, x2, y2), width, height)
    assert all(0 <= value <= 1000 and value % 10 == 0 for value in relative)
    assert relative[0] < relative[2] and relative[1] < relative[3]
    back = from_relative(relative, width, height)
    # Half a step from rounding, or a full step if a thin box was widened.
    for value, converted, size in zip((x1, y1, x2, y2), back, (width, height) * 2, strict=True):
        assert abs(value - converted) <= size * 0.01 * (1 + 1e-6)


@given(st.data(), sides, sides)
def test_boxes_on_the_grid_convert_to_pixels_and_back_exactly(
    data: st.DataObject, width: int, height: int
) -> None:
    """A box that a model wrote must be the same when it is shown to the model again."""
    xs = sorted(data.draw(st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True)))
    ys = sorted(data.draw(st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True)))
    box = (xs[0] * 10, ys[0] * 10, xs[1] * 10, ys[1] * 10)
    assert to_relative(from_relative(box, width, height), width, height) == box


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (0, 0, 0, 0), (100, 100, 100, 100), (200, 0, 300, 10)])
def test_boxes_outside_the_image_or_without_area_become_one_grid_step(
    box: tuple[float, float, float, float],
) -> None:
    """The form accepts no empty box, so a defect of one pixel at the edge must still give one."""
    x1, y1, x2, y2 = to_relative(box, 100, 100)
    assert 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000


@pytest.mark.parametrize(
    ("box", "size", "grid", "field"),
    [
        ((0, 0, 1, 1), (0, 10), 10, "size"),
        ((0, 0, 1, 1), (10, -1), 10, "size"),
        ((0, 0, 1, 1), (10, 10), 0, "grid"),
        ((0, 0, 1, 1), (10, 10), 7, "grid"),
        ((0, 0, math.nan, 1), (10, 10), 10, "box"),
        ((0, 0, math.inf, 1), (10, 10), 10, "box"),
    ],
)
def test_invalid_sizes_grids_and_boxes_are_rejected(
    box: tuple[float, float, float, float], size: tuple[int, int], grid: int, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        to_relative(box, *size, grid=grid)
    assert caught.value.field == field


def test_scaling_a_box_multiplies_its_coordinates() -> None:
    assert scale_box((10, 20, 30, 40), 4.0, 2.0) == (40, 40, 120, 80)


def test_clipping_keeps_the_part_inside_the_image() -> None:
    assert clip_box((-5, 2, 50, 8), 20, 6) == (0, 2, 20, 6)


def is_inside(x: float, y: float, corners: list[tuple[float, float]]) -> bool:
    """Apply the even-odd rule to one point."""
    inside = False
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (ya > y) != (yb > y) and x >= xa + (y - ya) * (xb - xa) / (yb - ya):
            inside = not inside
    return inside


# With these fractions no pixel centre lies exactly on an edge, where rounding would decide.
corner = st.tuples(
    st.integers(-5, 20).map(lambda n: n + 0.13717), st.integers(-5, 20).map(lambda n: n + 0.29113)
)


@given(st.lists(corner, max_size=8))
def test_a_polygon_contains_exactly_the_pixels_whose_centre_is_inside(
    corners: list[tuple[float, float]],
) -> None:
    mask = polygon_to_mask(corners, 15, 12)
    for row in range(12):
        for column in range(15):
            assert mask[row, column] == is_inside(column + 0.5, row + 0.5, corners)


@pytest.mark.parametrize("points", [[], [(1, 1)], [(1, 1), (9, 9)]])
def test_polygons_of_fewer_than_three_points_enclose_nothing(points: list[tuple[float, float]]) -> None:
    """Real annotation files contain such polygons; they must not stop a run."""
    assert not polygon_to_mask(points, 10, 10).any()


def test_polygons_with_infinite_corners_are_rejected() -> None:
    with pytest.raises(InputError, match="points"):
        polygon_to_mask([(0, 0), (math.inf, 0), (0, 5)], 10, 10)


def test_mask_iou_of_empty_masks_is_zero_and_shapes_must_be_equal() -> None:
    empty = np.zeros((3, 4), dtype=bool)
    assert mask_iou(empty, empty) == 0
    with pytest.raises(InputError, match="shape"):
        mask_iou(empty, np.zeros((4, 3), dtype=bool))
