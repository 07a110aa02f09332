"""Precision and recall of elements against elements written by people."""

from __future__ import annotations

import pytest

from judge.elements.matching import precision_recall


def test_equal_names_count_fully() -> None:
    assert precision_recall(["Red cat", "dog"], ["a red cat (animal)"]) == (0.5, 1.0)


def test_soft_matching_counts_shared_words() -> None:
    precision, recall = precision_recall(["red cat"], ["cat", "red"], soft=True)
    assert precision == recall == pytest.approx(2 / 3)


def test_an_empty_list_matches_an_empty_list_only() -> None:
    assert precision_recall([], []) == (1.0, 1.0)
    assert precision_recall([], ["cat"]) == (0.0, 0.0)
