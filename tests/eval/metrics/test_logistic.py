"""The logistic mapping of predictions onto the human scale."""

from __future__ import annotations

import numpy as np
import pytest
from metric_values import defined

from eval.metrics.correlation import plcc
from judge.errors import InputError


def test_the_logistic_linearises_saturating_predictions() -> None:
    truth = np.linspace(1, 5, 60)
    predicted = 1 / (1 + np.exp(-(truth - 3) * 2.5))
    assert defined(plcc(predicted, truth)) < 0.99
    inverse = np.log(predicted / (1 - predicted))
    fitted = plcc(inverse, 1 + 4 * predicted, logistic_parameters=4)
    assert defined(fitted) == pytest.approx(1.0, abs=1e-9)


def test_the_fit_needs_as_many_pairs_as_parameters() -> None:
    assert "at least 4" in plcc([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], logistic_parameters=4).note


def test_five_parameters_fit_at_least_as_well_as_four_on_a_bent_line() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(0, 10, 200)
    y = 1 / (1 + np.exp(-(x - 5))) * 3 + 0.2 * x + random.normal(0, 0.05, 200)
    five, four = (defined(plcc(x, y, logistic_parameters=n)) for n in (5, 4))
    assert five > four > 0.9
    with pytest.raises(InputError, match="4 or 5"):
        plcc(x, y, logistic_parameters=3)
