"""The numbers are only as good as the rulers: hand-worked cases, invariances, and what is undefined."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paths import SHARED

from eval.metrics.agreement import (
    Measure,
    accuracy_by_kind,
    bootstrap,
    box_f1,
    box_iou,
    boxes_mask,
    bradley_terry,
    calibration,
    combined,
    constant_accuracy,
    element_accuracy,
    element_f1,
    expected_calibration_error,
    f1_of,
    image_accuracy,
    inversion_accuracy,
    krcc,
    mae,
    median_over,
    pairwise_accuracy,
    pixel_f1,
    pixel_iou,
    plcc,
    preference_accuracy,
    region_f1,
    rmse,
    srcc,
    tie_accuracy,
    tie_optimised_accuracy,
)
from judge.errors import InputError

CORRELATIONS = [srcc, plcc, krcc, lambda x, y: plcc(x, y, fitted=True)]


def value(measure: Measure) -> float:
    assert measure.value is not None, measure.note
    return measure.value


# ---------------------------------------------------------------------------------------- correlations


def test_correlations_of_a_case_worked_by_hand() -> None:
    # Ranks 1 3 2 4 against 1 2 3 4: sum d^2 = 2, rho = 1 - 6*2/(4*15); one of six pairs is discordant.
    predicted, truth = [10.0, 30.0, 20.0, 40.0], [1.0, 2.0, 3.0, 4.0]
    assert value(srcc(predicted, truth)) == pytest.approx(0.8)
    assert value(krcc(predicted, truth)) == pytest.approx(4 / 6)
    assert value(plcc(predicted, truth)) == pytest.approx(0.8)


def test_ties_take_their_mean_rank() -> None:
    # Ranks 1.5 1.5 3 against 1 2 3: Pearson of the ranks is 1.5 / sqrt(1.5 * 2).
    assert value(srcc([5.0, 5.0, 9.0], [1.0, 2.0, 3.0])) == pytest.approx(1.5 / math.sqrt(3))


def test_logistic_straightens_a_saturating_judge() -> None:
    truth = np.linspace(1, 5, 60)
    predicted = 1 / (1 + np.exp(-(truth - 3) * 2.5))
    assert value(plcc(predicted, truth)) < 0.99
    inverse = np.log(predicted / (1 - predicted))
    assert value(plcc(inverse, 1 + 4 * predicted, fitted=True)) == pytest.approx(1.0, abs=1e-9)


def test_published_baseline_of_a_challenge_comes_out_as_published() -> None:
    """SRCC, raw and fitted PLCC of the talking-head baseline; the organisers publish .7892 = mean of two."""
    folder = SHARED / "thqa_ntire"
    if not folder.is_dir():
        pytest.skip("the challenge's label files are not on this machine")
    with (folder / "thqa_ntire_val.csv").open() as file:
        truth = {row["Video"]: float(row["Score"]) for row in csv.DictReader(file)}
    with zipfile.ZipFile(folder / "baseline_example.zip") as archive:
        rows = csv.reader(io.StringIO(archive.read("output.txt").decode()))
        given_ = {name.strip(): float(score) for name, score in rows if name.strip() in truth}
    names = sorted(truth)
    x, y = [given_[name] for name in names], [truth[name] for name in names]
    assert value(srcc(x, y)) == pytest.approx(0.770249, abs=1e-6)
    assert value(plcc(x, y)) == pytest.approx(0.806485, abs=1e-6)
    assert value(plcc(x, y, fitted=True)) == pytest.approx(0.808119, abs=1e-5)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize(
    ("predicted", "truth", "said"),
    [
        ([], [], "at least 2 pairs"),
        ([1.0], [2.0], "at least 2 pairs"),
        ([3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 3.0, 4.0], "predictions are equal"),
        ([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0], "true values are equal"),
    ],
)
def test_an_undefined_correlation_is_said_in_words(correlation, predicted, truth, said) -> None:
    measure = correlation(predicted, truth)
    assert measure.value is None
    assert said in measure.note


def test_the_fit_needs_as_many_pairs_as_parameters() -> None:
    assert "at least 4" in plcc([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], fitted=True).note


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_an_unscored_row_cannot_slip_in_as_nan(correlation) -> None:
    with pytest.raises(InputError, match=r"predicted\[1\]"):
        correlation([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(InputError, match="one number per truth"):
        correlation([1.0], [1.0, 2.0])


numbers = st.integers(-1000, 1000).map(float)
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=30)


@given(pairs)
def test_rank_correlations_see_only_order(rows) -> None:
    """A judge on another monotonic scale has the same rank correlation."""
    x, y = np.array(rows).T
    for correlation in (srcc, krcc):
        plain, moved = correlation(x, y), correlation(np.cbrt(x) * 7 + 3, y)
        if plain.value is None:
            assert moved.value is None
        else:
            assert value(moved) == pytest.approx(plain.value, abs=1e-9)


@given(pairs)
def test_correlations_are_symmetric_bounded_and_odd(rows) -> None:
    x, y = np.array(rows).T
    for correlation in (srcc, krcc, plcc):
        plain = correlation(x, y)
        assume(plain.value is not None)
        assert -1 <= value(plain) <= 1
        assert value(correlation(y, x)) == pytest.approx(value(plain), abs=1e-9)
        assert value(correlation(-x, y)) == pytest.approx(-value(plain), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(pairs)
def test_a_fit_never_ends_in_nan_or_a_warning(rows) -> None:
    x, y = np.array(rows).T
    measure = plcc(x, y, fitted=True)
    assert (measure.value is None) == bool(measure.note)


# -------------------------------------------------------------------------------- yes-and-no questions


def test_elements_are_pooled_cut_at_half_and_no_answer_is_wrong() -> None:
    # Right: .5 counts as present, .49 as absent; wrong: the third; the fourth was not answered.
    assert value(element_accuracy([0.5, 0.49, 0.2, None], [True, False, True, False])) == 0.5
    assert value(element_accuracy([0.9, 0.1], [0.5, 0.34])) == 1.0  # the truth is cut the same way


def test_the_constant_answer_is_the_commoner_one() -> None:
    assert value(constant_accuracy([True, False, False, False])) == 0.75
    assert value(constant_accuracy([True])) == 1.0
    assert constant_accuracy([]).value is None


def test_accuracy_by_kind_adds_up_to_the_whole() -> None:
    kinds = ["object", "count", "object", "count", "count"]
    probabilities, truth = [0.9, 0.9, 0.1, 0.8, 0.1], [True, False, False, True, True]
    parts = accuracy_by_kind(kinds, probabilities, truth)
    assert {kind: m.value for kind, m in parts.items()} == {"object": 1.0, "count": pytest.approx(1 / 3)}
    whole = element_accuracy(probabilities, truth)
    assert value(whole) == pytest.approx(sum(value(m) * m.count for m in parts.values()) / whole.count)


def test_image_level_accuracy_ignores_where_and_how_many() -> None:
    found = [["a", "b"], [], ["c"], None]
    assert value(image_accuracy(found, [["x"], [], [], []])) == 0.5
    assert image_accuracy([], []).value is None


# ------------------------------------------------------------------------------------ boxes and regions


def test_iou_worked_by_hand() -> None:
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0  # touching edges share nothing
    assert box_iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0  # no area


def test_boxes_match_one_to_one_and_the_best_pair_first() -> None:
    """Two predictions on one truth are one hit and one false alarm, whichever comes first."""
    truth = [[(0, 0, 10, 10)]]
    for order in ([(0, 0, 10, 12), (0, 0, 10, 10)], [(0, 0, 10, 10), (0, 0, 10, 12)]):
        result = box_f1([order], truth)
        assert (value(result.precision), value(result.recall)) == (0.5, 1.0)
        assert value(result.f1) == pytest.approx(2 / 3)
        assert result.matches == [(0, order.index((0, 0, 10, 10)), 0, 1.0)]


def test_a_match_needs_half_and_exactly_half_is_enough() -> None:
    assert value(box_f1([[(0, 0, 10, 5)]], [[(0, 0, 10, 10)]]).f1) == 1.0
    assert value(box_f1([[(0, 0, 10, 4.9)]], [[(0, 0, 10, 10)]]).f1) == 0.0


def test_boxes_are_pooled_over_pictures_and_never_match_across_them() -> None:
    box, other = (0, 0, 10, 10), (50, 50, 60, 60)
    result = box_f1([[box], [box], []], [[box, other], [], [box]])
    # 1 hit of 2 predicted and of 3 true.
    assert value(result.f1) == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert result.counts.tolist() == [[1, 1, 1, 2], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_f1_without_predictions_or_truth_is_said_in_words() -> None:
    box = (0, 0, 10, 10)
    silent = box_f1([[]], [[box]])
    assert silent.f1.value == 0.0
    assert silent.f1.note == "no box was predicted at all, so F1 is 0"
    assert silent.precision.value is None
    alarm = box_f1([[box]], [[]])
    assert alarm.f1.value == 0.0
    assert "every prediction is wrong" in alarm.f1.note
    nothing = box_f1([[], []], [[], []])
    assert nothing.f1.value is None
    assert nothing.f1.note


corner = st.integers(0, 40)
a_box = st.tuples(corner, corner, st.integers(1, 40), st.integers(1, 40)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
pictures = st.lists(st.tuples(st.lists(a_box, max_size=4), st.lists(a_box, max_size=4)), max_size=4)


@given(pictures, st.integers(-50, 50))
def test_box_f1_is_bounded_symmetric_and_blind_to_place(rows, shift) -> None:
    predicted, truth = [p for p, _ in rows], [t for _, t in rows]

    def moved(side):
        return [[(a + shift, b, c + shift, d) for a, b, c, d in boxes] for boxes in side]

    f1 = box_f1(predicted, truth).f1
    assert f1.value is None or 0 <= f1.value <= 1
    assert box_f1(truth, predicted).f1.value == pytest.approx(f1.value)
    assert box_f1(moved(predicted), moved(truth)).f1.value == pytest.approx(f1.value)


@given(pictures)
def test_a_judge_that_repeats_the_truth_is_perfect(rows) -> None:
    truth = [t for _, t in rows]
    assume(any(truth))
    assert value(box_f1(truth, truth).f1) == 1.0


def canvas(*boxes: tuple[int, int, int, int], side: int = 512) -> np.ndarray:
    return boxes_mask(boxes, side, side)


@pytest.mark.parametrize(("side", "kept"), [(13, False), (14, True)])
def test_the_smallest_region_that_counts_is_14_pixels_wide(side: int, kept: bool) -> None:
    """A contour runs through pixel centres: 14x14 px encloses 169 > 157.2864, 13x13 encloses 144 < 150."""
    block = canvas((100, 100, 100 + side, 100 + side))
    result = region_f1([block], [block])
    assert result.counts.tolist() == [[kept, kept, kept, kept]]
    assert result.f1.value == (1.0 if kept else None)


def test_truth_counts_from_a_smaller_area_than_predictions() -> None:
    """12 x 15 px encloses 11 * 14 = 154: a true region that a prediction of the same shape cannot hit."""
    block = canvas((100, 100, 112, 115))
    result = region_f1([block], [block])
    assert result.counts.tolist() == [[0, 0, 0, 1]]
    assert result.f1.value == 0.0
    assert result.f1.note == "no region was predicted at all, so F1 is 0"


def test_a_ring_hits_the_full_box_because_holes_are_filled() -> None:
    ring = canvas((100, 100, 200, 200))
    ring[105:195, 105:195] = False
    assert value(region_f1([ring], [canvas((100, 100, 200, 200))]).f1) == 1.0
    assert value(pixel_f1([ring], [canvas((100, 100, 200, 200))])) < 0.4  # pixels see the hole


def test_a_hit_needs_more_than_a_tenth_and_one_region_may_hit_several() -> None:
    # Prediction 100x100; truth inside it: 100x20 (IoU .2, hit) and 20x20 (IoU .04, missed).
    predicted, truth = canvas((0, 0, 100, 100)), canvas((0, 0, 100, 20), (0, 60, 20, 80))
    result = region_f1([predicted], [truth])
    assert result.counts.tolist() == [[1, 1, 1, 2]]
    assert value(result.f1) == pytest.approx(2 * 0.5 / 1.5)
    two = region_f1([predicted], [canvas((0, 0, 100, 30), (0, 60, 100, 90))])
    assert two.counts.tolist() == [[1, 1, 2, 2]]
    # IoU exactly .1 is no hit: 100x10 of 100x100.
    assert region_f1([predicted], [canvas((0, 0, 100, 10))]).counts.tolist() == [[0, 1, 0, 1]]


def test_regions_are_pooled_over_the_data_set() -> None:
    a, b = canvas((0, 0, 50, 50)), canvas((300, 300, 350, 350))
    empty = np.zeros((512, 512), dtype=bool)
    result = region_f1([a, empty, b], [a, b, empty])
    assert (value(result.precision), value(result.recall), value(result.f1)) == (0.5, 0.5, 0.5)


def test_silence_on_a_broken_data_set_is_zero_and_silence_on_a_clean_one_undefined() -> None:
    empty = np.zeros((64, 64), dtype=np.uint8)
    broken = region_f1([empty], [canvas((0, 0, 50, 50))])
    assert (broken.f1.value, broken.precision.value, broken.recall.value) == (0.0, None, 0.0)
    assert broken.f1.note == "no region was predicted at all, so F1 is 0"
    assert region_f1([empty], [empty]).f1.value is None


def test_masks_of_any_size_and_value_are_brought_to_512() -> None:
    small = boxes_mask([(10, 20, 60, 90)], 224, 224)
    large = cv2.resize(small.astype(np.uint8), (896, 896), interpolation=cv2.INTER_NEAREST)
    assert value(region_f1([small], [large * 255]).f1) == 1.0
    with pytest.raises(InputError, match="mask"):
        region_f1([np.zeros((8, 8, 3))], [small])


def test_a_region_that_touches_the_edge_counts() -> None:
    corner_block = canvas((0, 0, 20, 20))
    assert value(region_f1([corner_block], [corner_block]).f1) == 1.0


@settings(max_examples=15, deadline=None)
@given(st.lists(a_box, min_size=1, max_size=3), st.lists(a_box, min_size=1, max_size=3))
def test_region_f1_is_blind_to_mirrors(predicted, truth) -> None:
    # At 512 pixels already: the 8-bit bilinear resize rounds rows and columns differently.
    p, t = (canvas(*((6 * a, 6 * b, 6 * c, 6 * d) for a, b, c, d in side)) for side in (predicted, truth))
    plain = region_f1([p], [t]).counts
    assert (region_f1([p[:, ::-1]], [t[:, ::-1]]).counts == plain).all()
    assert (region_f1([p.T], [t.T]).counts == plain).all()


def test_boxes_are_drawn_filled_and_cut_at_the_picture() -> None:
    mask = boxes_mask([(-5, 1.2, 2.6, 3), (90, 90, 95, 95)], 5, 4)
    assert mask.astype(int).tolist() == [[0] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0] * 5]


def test_pixel_f1_worked_by_hand() -> None:
    a, b = boxes_mask([(0, 0, 4, 2)], 8, 8), boxes_mask([(0, 0, 2, 2)], 8, 8)
    assert value(pixel_f1([a], [b])) == pytest.approx(2 * 4 / (8 + 4))
    empty = np.zeros((8, 8), dtype=bool)
    assert pixel_f1([empty], [empty]).value is None
    assert pixel_f1([empty], [a]).note == "nothing was marked, so F1 is 0"
    with pytest.raises(InputError, match="shape"):
        pixel_f1([empty], [np.zeros((4, 4))])


# ------------------------------------------------------------------------------------------- certainty


def test_an_interval_holds_the_value_and_narrows_with_more_pictures() -> None:
    def width(count: int) -> float:
        right = np.arange(count) % 4 > 0
        interval = bootstrap(lambda draw: float(right[draw].mean()), count)
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < 0.75 < interval.high
        return interval.high - interval.low

    assert width(400) == pytest.approx(width(100) / 2, rel=0.2)
    assert width(100) == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 100), rel=0.15)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert bootstrap(lambda d: float(values[d].mean()), 30) == bootstrap(
        lambda d: float(values[d].mean()), 30
    )


def test_an_interval_that_cannot_be_had_is_said_in_words() -> None:
    assert "at least 2 pictures" in bootstrap(lambda draw: 1.0, 1).note
    never = bootstrap(lambda draw: None, 5, rounds=10)
    assert (never.low, never.high, never.note) == (None, None, "undefined in 10 of 10 draws: too few data")


def test_a_measure_cannot_be_nan_or_silently_undefined() -> None:
    with pytest.raises(ValueError, match="finite"):
        Measure(float("nan"))
    with pytest.raises(ValueError, match="say why"):
        Measure(None)
    assert f1_of(np.zeros((0, 4), dtype=np.int64))[0].value is None


# ------------------------------------------------------------------------------------ errors and medians


def test_errors_are_on_the_scale_of_the_truth_and_after_the_fit_when_asked() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 4.0]
    assert value(rmse(x, y)) == pytest.approx(math.sqrt((1 + 0 + 4 + 0) / 4))
    assert value(mae(x, y)) == pytest.approx(0.75)
    truth = np.linspace(1, 5, 40)
    assert value(rmse(truth * 20 - 7, truth, fitted=True)) < 0.05  # a judge on another scale
    assert rmse([], []).note
    assert "at least 4" in mae([1.0, 2.0], [1.0, 2.0], fitted=True).note


def test_five_parameters_fit_at_least_as_well_as_four_on_a_bent_line() -> None:
    chance = np.random.default_rng(0)
    x = chance.uniform(0, 10, 200)
    y = 1 / (1 + np.exp(-(x - 5))) * 3 + 0.2 * x + chance.normal(0, 0.05, 200)
    assert value(plcc(x, y, fitted=True, parameters=5)) > value(plcc(x, y, fitted=True)) > 0.9
    with pytest.raises(InputError, match="4 or 5"):
        plcc(x, y, fitted=True, parameters=3)


def test_the_median_over_scenes_leaves_out_scenes_that_have_no_correlation() -> None:
    scenes = ["a"] * 3 + ["b"] * 3 + ["c"]
    x = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 9.0]
    y = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 5.0]
    found = median_over(srcc, x, y, scenes, interval=True)
    assert (found.value, found.count) == (0.0, 2)
    assert "1 of 3 groups" in found.note
    assert median_over(srcc, [1.0], [2.0], ["a"]).value is None


# ------------------------------------------------------------------------------------------------- pairs


def brute_pairs(x, y):
    rows = [(x[i] - x[j], y[i] - y[j]) for i in range(len(x)) for j in range(i)]
    return [(float(np.sign(a)), float(np.sign(b)), abs(a)) for a, b in rows]


small = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=2, max_size=12)


@given(small)
def test_pairwise_measures_agree_with_counting_by_hand(rows) -> None:
    x, y = np.array(rows, dtype=float).T
    pairs = brute_pairs(x, y)
    ordered = [(a, b) for a, b, _ in pairs if b]
    found = pairwise_accuracy(x, y)
    if ordered:
        assert value(found) == pytest.approx(np.mean([a == b for a, b in ordered]))
    else:
        assert found.value is None
    assert value(tie_accuracy(x, y)) == pytest.approx(np.mean([a == b for a, b, _ in pairs]))
    best = max(
        np.mean([(b == 0) if d <= tie else a == b for a, b, d in pairs])
        for tie in {0.0, *(d for *_, d in pairs)}
    )
    optimised = tie_optimised_accuracy(x, y)
    assert value(optimised.accuracy) == pytest.approx(best)
    assert value(tie_accuracy(x, y, tie=optimised.tie)) == pytest.approx(best)


def test_pairs_of_different_groups_are_never_compared() -> None:
    x, y = [1.0, 2.0, 9.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    assert value(pairwise_accuracy(x, y, ["a", "a", "b", "b"])) == 0.5
    assert pairwise_accuracy(x, y, list("abcd")).value is None


def test_a_point_is_half_where_exactly_one_side_ties() -> None:
    first, second = [2.0, 1.0, 1.0, 1.0, None], [1.0, 1.0, 2.0, 1.0, 3.0]
    # right, judge ties a decided pair, judge decides a tied pair, both tie, not answered
    assert value(preference_accuracy(first, second, [1, 1, 0.5, 0.5, 0])) == pytest.approx(
        (1 + 0.5 + 0.5 + 1 + 0) / 5
    )


def test_inversions_are_counted_per_list_and_human_ties_are_none() -> None:
    # First list: perfect. Second: of three pairs one is inverted, one tied by people.
    predicted, places = [3.0, 2.0, 1.0, 5.0, 6.0, 1.0], [1.0, 2.0, 3.0, 1.0, 2.0, 2.0]
    found = inversion_accuracy(predicted, places, ["a"] * 3 + ["b"] * 3)
    assert value(found) == pytest.approx((1 + (1 - 1 / 3)) / 2)
    tied = inversion_accuracy([1.0, 1.0], [1.0, 2.0], ["a", "a"])
    assert value(tied) == 0.5
    assert "1 pairs that the judge ties" in tied.note


def test_strengths_are_those_of_greatest_likelihood() -> None:
    from scipy.optimize import minimize

    chance = np.random.default_rng(3)
    a = chance.integers(0, 5, 400)
    b = (a + chance.integers(1, 5, 400)) % 5
    won = (chance.random(400) < 1 / (1 + np.exp(0.5 * (b - a)))).astype(float)

    def loss(theta):
        p = 1 / (1 + np.exp(theta[b] - theta[a]))
        return -(won * np.log(p) + (1 - won) * np.log(1 - p)).sum()

    best = minimize(loss, np.zeros(5), method="BFGS").x
    ranking = bradley_terry([f"m{i}" for i in a], [f"m{i}" for i in b], won, interval=True)
    assert [s.name for s in ranking] == [f"m{i}" for i in np.argsort(-best)]
    for entry in ranking:
        expected = (best - best.mean())[int(entry.name[1:])]
        assert value(entry.strength) == pytest.approx(expected, abs=1e-3)
        assert entry.strength.interval.low < expected < entry.strength.interval.high


def test_a_ranking_that_pairs_leave_open_says_why() -> None:
    for pairs, said in (
        ([("a", "b", 1)], "a never lost"),
        ([("a", "b", 1), ("b", "a", 1), ("c", "d", 1), ("d", "c", 1)], "2 parts"),
    ):
        ranking = bradley_terry(*zip(*pairs, strict=True))
        assert all(entry.strength.value is None and said in entry.strength.note for entry in ranking)
    even = bradley_terry(["a", "b"], ["b", "a"], [0.5, 0.5])
    assert [value(entry.strength) for entry in even] == [0.0, 0.0]
    with pytest.raises(InputError, match="another than the first"):
        bradley_terry(["a"], ["a"], [1])


# ------------------------------------------------------------------------------- elements and calibration


def test_precision_and_recall_of_elements_count_no_answer_as_not_found() -> None:
    f1, precision, recall = element_f1([0.9, 0.9, None, 0.1], [1, 0, 1, 1])
    assert (value(precision), value(recall)) == (0.5, pytest.approx(1 / 3))
    assert value(f1) == pytest.approx(0.4)


def test_calibration_of_a_case_worked_by_hand() -> None:
    # Bin 0.9..1: said .95 and .95, one true of two: |.95 - .5|. Bin .1...2: said .1, true 0.
    assert value(expected_calibration_error([0.95, 0.95, 0.1], [True, False, False])) == pytest.approx(
        (2 * 0.45 + 0.1) / 3
    )
    bins = calibration([0.95, 1.0, 0.1], [True, False, False])
    assert (bins[9].count, bins[9].frequency, bins[0].confidence) == (2, 0.5, None)
    assert value(expected_calibration_error([1.0, 0.0], [True, False])) == 0
    with pytest.raises(InputError, match="probabilities"):
        expected_calibration_error([1.2], [True])


def test_pixel_iou_is_a_mean_over_pictures_and_two_empty_masks_agree() -> None:
    a, b = boxes_mask([(0, 0, 4, 2)], 8, 8), boxes_mask([(0, 0, 2, 2)], 8, 8)
    empty = np.zeros((8, 8), dtype=bool)
    assert value(pixel_iou([a, empty], [b, empty])) == pytest.approx((0.5 + 1) / 2, abs=1e-4)


# --------------------------------------------------------------------------------------------- intervals

PAIRS = np.random.default_rng(1).normal(size=(2, 120))
TRUTH, SAID = PAIRS[0], PAIRS[0] + PAIRS[1]
MEASURES = {
    "srcc": (lambda x, y, **k: srcc(x, y, **k)),
    "plcc": (lambda x, y, **k: plcc(x, y, **k)),
    "plcc fitted": (lambda x, y, **k: plcc(x, y, fitted=True, **k)),
    "krcc": (lambda x, y, **k: krcc(x, y, **k)),
    "rmse": (lambda x, y, **k: rmse(x, y, **k)),
    "mae": (lambda x, y, **k: mae(x, y, **k)),
    "pairs": (lambda x, y, **k: pairwise_accuracy(x, y, **k)),
    "ties": (lambda x, y, **k: tie_optimised_accuracy(x, y, **k).accuracy),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_an_interval_is_that_of_drawing_the_rows_anew(measure) -> None:
    """The quick intervals against the slow bootstrap that computes the measure once a draw."""
    found = measure(SAID, TRUTH, interval=True)
    slow = bootstrap(lambda draw: measure(SAID[draw], TRUTH[draw]).value, len(SAID), rounds=300)
    width = slow.high - slow.low
    assert found.interval.low <= found.value <= found.interval.high
    assert found.interval.low == pytest.approx(slow.low, abs=0.25 * width)
    assert found.interval.high == pytest.approx(slow.high, abs=0.25 * width)


def test_elements_of_one_picture_are_drawn_together() -> None:
    said, true = [0.9] * 40, [1.0] * 20 + [0.0] * 20
    alone = element_accuracy(said, true, interval=True).interval
    pictures = element_accuracy(said, true, groups=[i // 10 for i in range(40)], interval=True).interval
    assert pictures.high - pictures.low > 1.5 * (alone.high - alone.low)


def test_a_weighted_sum_is_undefined_with_its_parts_and_never_surer_than_they_are() -> None:
    parts = {"a": srcc(SAID, TRUTH, interval=True), "b": plcc(SAID, TRUTH, interval=True)}
    found = combined(parts, {"a": 0.5, "b": 0.5})
    assert value(found) == pytest.approx((parts["a"].value + parts["b"].value) / 2)
    assert found.interval.low <= found.value <= found.interval.high
    broken = combined({"a": srcc([1.0, 1.0], [1.0, 2.0])}, {"a": 1.0})
    assert broken.value is None
    assert "predictions are equal" in broken.note


def test_json_of_a_measure_has_null_and_words_where_there_is_no_number() -> None:
    assert srcc([1.0, 1.0], [1.0, 2.0], interval=True).plain() == {
        "value": None,
        "low": None,
        "high": None,
        "note": "all predictions are equal, so the correlation is undefined",
        "count": 2,
    }
    assert json.loads(json.dumps(srcc(SAID, TRUTH, interval=True).plain(), allow_nan=False))["low"] > 0


@settings(max_examples=25, deadline=None)
@given(small)
def test_no_measure_and_no_interval_is_ever_nan(rows) -> None:
    x, y = np.array(rows, dtype=float).T
    for measure in MEASURES.values():
        json.dumps(measure(x, y, interval=True).plain(), allow_nan=False)
