"""RMSE and MAE."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_values import defined

from eval.metrics.prediction_error import mae, rmse


def test_errors_are_on_the_scale_of_the_truth_and_optionally_after_the_logistic() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 4.0]
    assert defined(rmse(x, y)) == pytest.approx(math.sqrt((1 + 0 + 4 + 0) / 4))
    assert defined(mae(x, y)) == pytest.approx(0.75)
    truth = np.linspace(1, 5, 40)
    assert defined(rmse(truth * 20 - 7, truth, logistic_parameters=4)) < 0.05  # A judge on another scale.
    assert rmse([], []).note
    assert "at least 4" in mae([1.0, 2.0], [1.0, 2.0], logistic_parameters=4).note
