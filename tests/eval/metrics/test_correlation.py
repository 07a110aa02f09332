"""SRCC, PLCC and KRCC: cases computed by hand, invariances, and what is undefined."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from metric_values import defined
from paths import SHARED

from eval.metrics.correlation import krcc, plcc, srcc
from judge.errors import InputError

FITTED_PLCC = partial(plcc, logistic_parameters=4)
CORRELATIONS = [srcc, plcc, krcc, FITTED_PLCC]


def test_correlations_of_a_case_computed_by_hand() -> None:
    # Ranks 1 3 2 4 against 1 2 3 4: sum d^2 = 2, rho = 1 - 6*2/(4*15); one of six pairs is discordant.
    predicted, truth = [10.0, 30.0, 20.0, 40.0], [1.0, 2.0, 3.0, 4.0]
    assert defined(srcc(predicted, truth)) == pytest.approx(0.8)
    assert defined(krcc(predicted, truth)) == pytest.approx(4 / 6)
    assert defined(plcc(predicted, truth)) == pytest.approx(0.8)


def test_ties_take_their_mean_rank() -> None:
    # Ranks 1.5 1.5 3 against 1 2 3: Pearson of the ranks is 1.5 / sqrt(1.5 * 2).
    assert defined(srcc([5.0, 5.0, 9.0], [1.0, 2.0, 3.0])) == pytest.approx(1.5 / math.sqrt(3))


def test_the_published_baseline_of_a_challenge_is_reproduced() -> None:
    """The organisers publish .7892 for the talking-head baseline: the mean of SRCC and fitted PLCC."""
    folder = SHARED / "thqa_ntire"
    if not folder.is_dir():
        pytest.skip("the challenge's label files are not on this machine")
    with (folder / "thqa_ntire_val.csv").open() as file:
        truth = {row["Video"]: float(row["Score"]) for row in csv.DictReader(file)}
    with zipfile.ZipFile(folder / "baseline_example.zip") as archive:
        rows = csv.reader(io.StringIO(archive.read("output.txt").decode()))
        predicted = {name.strip(): float(score) for name, score in rows if name.strip() in truth}
    names = sorted(truth)
    x, y = [predicted[name] for name in names], [truth[name] for name in names]
    assert defined(srcc(x, y)) == pytest.approx(0.770249, abs=1e-6)
    assert defined(plcc(x, y)) == pytest.approx(0.806485, abs=1e-6)
    assert defined(FITTED_PLCC(x, y)) == pytest.approx(0.808119, abs=1e-5)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize(
    ("predicted", "truth", "note"),
    [
        ([], [], "at least 2 pairs"),
        ([1.0], [2.0], "at least 2 pairs"),
        ([3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 3.0, 4.0], "predictions are equal"),
        ([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0], "true values are equal"),
    ],
)
def test_an_undefined_correlation_has_a_note(correlation, predicted, truth, note) -> None:
    metric = correlation(predicted, truth)
    assert metric.value is None
    assert note in metric.note


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_nan_and_unequal_lengths_are_input_errors(correlation) -> None:
    with pytest.raises(InputError, match=r"predicted\[1\]"):
        correlation([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(InputError, match="one number per truth"):
        correlation([1.0], [1.0, 2.0])


numbers = st.integers(-1000, 1000).map(float)
score_pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=30)


@given(score_pairs)
def test_rank_correlations_are_invariant_to_monotonic_scales(rows) -> None:
    x, y = np.array(rows).T
    for correlation in (srcc, krcc):
        original, rescaled = correlation(x, y), correlation(np.cbrt(x) * 7 + 3, y)
        if original.value is None:
            assert rescaled.value is None
        else:
            assert defined(rescaled) == pytest.approx(original.value, abs=1e-9)


@given(score_pairs)
def test_correlations_are_symmetric_bounded_and_odd(rows) -> None:
    x, y = np.array(rows).T
    for correlation in (srcc, krcc, plcc):
        original = correlation(x, y)
        assume(original.value is not None)
        assert -1 <= defined(original) <= 1
        assert defined(correlation(y, x)) == pytest.approx(defined(original), abs=1e-9)
        assert defined(correlation(-x, y)) == pytest.approx(-defined(original), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(score_pairs)
def test_a_fitted_correlation_is_a_number_or_has_a_note(rows) -> None:
    x, y = np.array(rows).T
    metric = FITTED_PLCC(x, y)
    assert (metric.value is None) == bool(metric.note)
