"""F1 of connected regions by the rule of the EvalMuse structure track, and F1 and IoU of pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_values import box_strategy, defined

from eval.metrics.boxes import boxes_to_mask
from eval.metrics.masks import pixel_f1, pixel_iou, region_f1
from judge.errors import InputError


def draw(*boxes: tuple[int, int, int, int], side: int = 512) -> np.ndarray:
    return boxes_to_mask(boxes, side, side)


@pytest.mark.parametrize(("side", "counts"), [(13, False), (14, True)])
def test_the_smallest_region_that_counts_is_14_pixels_wide(side: int, counts: bool) -> None:
    """A contour runs through pixel centres: 14x14 px encloses 169 > 157.2864, 13x13 encloses 144 < 150."""
    block = draw((100, 100, 100 + side, 100 + side))
    result = region_f1([block], [block])
    assert result.counts.tolist() == [[counts, counts, counts, counts]]
    assert result.f1.value == (1.0 if counts else None)


def test_true_regions_count_from_a_smaller_area_than_predicted_ones() -> None:
    """12 x 15 px encloses 11 * 14 = 154: a true region that a prediction of the same shape cannot hit."""
    block = draw((100, 100, 112, 115))
    result = region_f1([block], [block])
    assert result.counts.tolist() == [[0, 0, 0, 1]]
    assert result.f1.value == 0.0
    assert result.f1.note == "no region was predicted at all, so F1 is 0"


def test_a_ring_hits_the_full_box_because_holes_are_filled() -> None:
    ring = draw((100, 100, 200, 200))
    ring[105:195, 105:195] = False
    assert defined(region_f1([ring], [draw((100, 100, 200, 200))]).f1) == 1.0
    assert defined(pixel_f1([ring], [draw((100, 100, 200, 200))])) < 0.4  # Pixels are not filled.


def test_a_hit_needs_an_iou_above_a_tenth_and_one_region_may_hit_several() -> None:
    # Prediction 100x100; truth inside it: 100x20 (IoU .2, hit) and 20x20 (IoU .04, missed).
    predicted, truth = draw((0, 0, 100, 100)), draw((0, 0, 100, 20), (0, 60, 20, 80))
    result = region_f1([predicted], [truth])
    assert result.counts.tolist() == [[1, 1, 1, 2]]
    assert defined(result.f1) == pytest.approx(2 * 0.5 / 1.5)
    two_hits = region_f1([predicted], [draw((0, 0, 100, 30), (0, 60, 100, 90))])
    assert two_hits.counts.tolist() == [[1, 1, 2, 2]]
    # An IoU of exactly .1 is no hit: 100x10 of 100x100.
    assert region_f1([predicted], [draw((0, 0, 100, 10))]).counts.tolist() == [[0, 1, 0, 1]]


def test_regions_are_pooled_over_the_data_set() -> None:
    a, b = draw((0, 0, 50, 50)), draw((300, 300, 350, 350))
    empty = np.zeros((512, 512), dtype=bool)
    result = region_f1([a, empty, b], [a, b, empty])
    assert (defined(result.precision), defined(result.recall), defined(result.f1)) == (0.5, 0.5, 0.5)


def test_no_prediction_is_f1_0_with_true_regions_and_undefined_without() -> None:
    empty = np.zeros((64, 64), dtype=np.uint8)
    defective = region_f1([empty], [draw((0, 0, 50, 50))])
    assert (defective.f1.value, defective.precision.value, defective.recall.value) == (0.0, None, 0.0)
    assert defective.f1.note == "no region was predicted at all, so F1 is 0"
    assert region_f1([empty], [empty]).f1.value is None


def test_masks_of_any_size_and_value_are_resized_to_512() -> None:
    small = boxes_to_mask([(10, 20, 60, 90)], 224, 224)
    large = cv2.resize(small.astype(np.uint8), (896, 896), interpolation=cv2.INTER_NEAREST)
    assert defined(region_f1([small], [large * 255]).f1) == 1.0
    with pytest.raises(InputError, match="mask"):
        region_f1([np.zeros((8, 8, 3))], [small])


def test_a_region_that_touches_the_edge_counts() -> None:
    corner_block = draw((0, 0, 20, 20))
    assert defined(region_f1([corner_block], [corner_block]).f1) == 1.0


@settings(max_examples=15, deadline=None)
@given(st.lists(box_strategy, min_size=1, max_size=3), st.lists(box_strategy, min_size=1, max_size=3))
def test_region_f1_is_invariant_to_mirroring(predicted, truth) -> None:
    # At 512 pixels already: the 8-bit bilinear resize rounds rows and columns differently.
    p, t = (draw(*((6 * a, 6 * b, 6 * c, 6 * d) for a, b, c, d in side)) for side in (predicted, truth))
    original = region_f1([p], [t]).counts
    assert (region_f1([p[:, ::-1]], [t[:, ::-1]]).counts == original).all()
    assert (region_f1([p.T], [t.T]).counts == original).all()


def test_pixel_f1_computed_by_hand() -> None:
    a, b = boxes_to_mask([(0, 0, 4, 2)], 8, 8), boxes_to_mask([(0, 0, 2, 2)], 8, 8)
    assert defined(pixel_f1([a], [b])) == pytest.approx(2 * 4 / (8 + 4))
    empty = np.zeros((8, 8), dtype=bool)
    assert pixel_f1([empty], [empty]).value is None
    assert pixel_f1([empty], [a]).note == "nothing was marked, so F1 is 0"
    with pytest.raises(InputError, match="shape"):
        pixel_f1([empty], [np.zeros((4, 4))])


def test_pixel_iou_is_a_mean_over_images_and_two_empty_masks_agree() -> None:
    a, b = boxes_to_mask([(0, 0, 4, 2)], 8, 8), boxes_to_mask([(0, 0, 2, 2)], 8, 8)
    empty = np.zeros((8, 8), dtype=bool)
    assert defined(pixel_iou([a, empty], [b, empty])) == pytest.approx((0.5 + 1) / 2, abs=1e-4)
