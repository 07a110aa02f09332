"""`MetricValue`: never NaN, never undefined without a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.metrics.correlation import srcc
from eval.metrics.metric_value import MetricValue


def test_a_metric_cannot_be_nan_or_undefined_without_a_note() -> None:
    with pytest.raises(ValueError, match="finite"):
        MetricValue(float("nan"))
    with pytest.raises(ValueError, match="say why"):
        MetricValue(None)


def test_an_undefined_metric_is_null_with_a_note_in_json() -> None:
    assert srcc([1.0, 1.0], [1.0, 2.0], interval=True).as_dict() == {
        "value": None,
        "low": None,
        "high": None,
        "note": "all predictions are equal, so the correlation is undefined",
        "count": 2,
    }
    truth = np.random.default_rng(1).normal(size=120)
    metric = srcc(truth + np.random.default_rng(2).normal(size=120), truth, interval=True)
    assert json.loads(json.dumps(metric.as_dict(), allow_nan=False))["low"] > 0
