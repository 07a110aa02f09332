"""Accuracy, and precision, recall and F1 of elements."""

from __future__ import annotations

import numpy as np
import pytest
from metric_values import defined

from eval.metrics.classification import (
    accuracy_by_kind,
    element_accuracy,
    element_f1,
    f1_from_counts,
    image_accuracy,
    majority_class_accuracy,
)


def test_elements_are_pooled_and_cut_at_half_and_a_missing_answer_is_wrong() -> None:
    # Right: .5 counts as present, .49 as absent. Wrong: the third; the fourth has no answer.
    assert defined(element_accuracy([0.5, 0.49, 0.2, None], [True, False, True, False])) == 0.5
    assert defined(element_accuracy([0.9, 0.1], [0.5, 0.34])) == 1.0  # The truth is cut in the same way.


def test_the_constant_answer_is_the_more_frequent_one() -> None:
    assert defined(majority_class_accuracy([True, False, False, False])) == 0.75
    assert defined(majority_class_accuracy([True])) == 1.0
    assert majority_class_accuracy([]).value is None


def test_accuracies_by_kind_average_to_the_overall_accuracy() -> None:
    kinds = ["object", "count", "object", "count", "count"]
    probabilities, truth = [0.9, 0.9, 0.1, 0.8, 0.1], [True, False, False, True, True]
    by_kind = accuracy_by_kind(kinds, probabilities, truth)
    assert {kind: m.value for kind, m in by_kind.items()} == {"object": 1.0, "count": pytest.approx(1 / 3)}
    overall = element_accuracy(probabilities, truth)
    weighted = sum(defined(m) * m.count for m in by_kind.values()) / overall.count
    assert defined(overall) == pytest.approx(weighted)


def test_image_accuracy_ignores_place_and_number_of_defects() -> None:
    predicted = [["a", "b"], [], ["c"], None]
    assert defined(image_accuracy(predicted, [["x"], [], [], []])) == 0.5
    assert image_accuracy([], []).value is None


def test_elements_without_an_answer_count_as_not_predicted() -> None:
    f1, precision, recall = element_f1([0.9, 0.9, None, 0.1], [1, 0, 1, 1])
    assert (defined(precision), defined(recall)) == (0.5, pytest.approx(1 / 3))
    assert defined(f1) == pytest.approx(0.4)


def test_f1_of_no_rows_is_undefined() -> None:
    assert f1_from_counts(np.zeros((0, 4), dtype=np.int64))[0].value is None
