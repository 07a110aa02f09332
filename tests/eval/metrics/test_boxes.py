"""IoU and F1 of boxes, and masks drawn from boxes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from metric_values import box_strategy, defined

from eval.metrics.boxes import box_f1, box_iou, boxes_to_mask


def test_iou_computed_by_hand() -> None:
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0  # Touching edges share nothing.
    assert box_iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0  # No area.


def test_boxes_match_one_to_one_and_the_best_pair_first() -> None:
    """Two predictions on one true box are one hit and one false alarm, whichever comes first."""
    truth = [[(0, 0, 10, 10)]]
    for order in ([(0, 0, 10, 12), (0, 0, 10, 10)], [(0, 0, 10, 10), (0, 0, 10, 12)]):
        result = box_f1([order], truth)
        assert (defined(result.precision), defined(result.recall)) == (0.5, 1.0)
        assert defined(result.f1) == pytest.approx(2 / 3)
        assert result.matches == [(0, order.index((0, 0, 10, 10)), 0, 1.0)]


def test_a_match_needs_an_iou_of_exactly_half_or_more() -> None:
    assert defined(box_f1([[(0, 0, 10, 5)]], [[(0, 0, 10, 10)]]).f1) == 1.0
    assert defined(box_f1([[(0, 0, 10, 4.9)]], [[(0, 0, 10, 10)]]).f1) == 0.0


def test_boxes_are_pooled_over_images_and_never_match_across_them() -> None:
    box, other = (0, 0, 10, 10), (50, 50, 60, 60)
    result = box_f1([[box], [box], []], [[box, other], [], [box]])
    # 1 hit of 2 predicted and of 3 true.
    assert defined(result.f1) == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert result.counts.tolist() == [[1, 1, 1, 2], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_f1_without_predictions_or_truth_has_a_note() -> None:
    box = (0, 0, 10, 10)
    no_prediction = box_f1([[]], [[box]])
    assert no_prediction.f1.value == 0.0
    assert no_prediction.f1.note == "no box was predicted at all, so F1 is 0"
    assert no_prediction.precision.value is None
    no_truth = box_f1([[box]], [[]])
    assert no_truth.f1.value == 0.0
    assert "every prediction is wrong" in no_truth.f1.note
    neither = box_f1([[], []], [[], []])
    assert neither.f1.value is None
    assert neither.f1.note


images = st.lists(
    st.tuples(st.lists(box_strategy, max_size=4), st.lists(box_strategy, max_size=4)), max_size=4
)


@given(images, st.integers(-50, 50))
def test_box_f1_is_bounded_symmetric_and_independent_of_position(rows, shift) -> None:
    predicted, truth = [p for p, _ in rows], [t for _, t in rows]

    def move(side):
        return [[(a + shift, b, c + shift, d) for a, b, c, d in boxes] for boxes in side]

    f1 = box_f1(predicted, truth).f1
    assert f1.value is None or 0 <= f1.value <= 1
    assert box_f1(truth, predicted).f1.value == pytest.approx(f1.value)
    assert box_f1(move(predicted), move(truth)).f1.value == pytest.approx(f1.value)


@given(images)
def test_predictions_equal_to_the_truth_have_f1_1(rows) -> None:
    truth = [t for _, t in rows]
    assume(any(truth))
    assert defined(box_f1(truth, truth).f1) == 1.0


def test_boxes_are_drawn_filled_and_cut_at_the_edges_of_the_image() -> None:
    mask = boxes_to_mask([(-5, 1.2, 2.6, 3), (90, 90, 95, 95)], 5, 4)
    assert mask.astype(int).tolist() == [[0] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0] * 5]
