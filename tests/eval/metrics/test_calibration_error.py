"""`eval.metrics.calibration`: bins and the expected calibration error."""

from __future__ import annotations

import pytest
from metric_values import defined

from eval.metrics.calibration import calibration_bins, expected_calibration_error
from judge.errors import InputError


def test_calibration_computed_by_hand() -> None:
    # Bin .9 to 1: predicted .95 twice, one of two is true: |.95 - .5|. Bin .1 to .2: predicted .1, true 0.
    error = expected_calibration_error([0.95, 0.95, 0.1], [True, False, False])
    assert defined(error) == pytest.approx((2 * 0.45 + 0.1) / 3)
    bins = calibration_bins([0.95, 1.0, 0.1], [True, False, False])
    assert (bins[9].count, bins[9].frequency, bins[0].confidence) == (2, 0.5, None)
    assert defined(expected_calibration_error([1.0, 0.0], [True, False])) == 0
    with pytest.raises(InputError, match="probabilities"):
        expected_calibration_error([1.2], [True])
