"""Values and strategies for tests of metrics."""

from __future__ import annotations

from hypothesis import strategies as st

from eval.metrics.metric_value import MetricValue


def defined(metric: MetricValue) -> float:
    """Return the value of a metric that must be defined."""
    assert metric.value is not None, metric.note
    return metric.value


small_score_pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=2, max_size=12)
"""(predicted, true) scores with many ties."""

_corner = st.integers(0, 40)
_length = st.integers(1, 40)
box_strategy = st.tuples(_corner, _corner, _length, _length).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
"""Boxes x1, y1, x2, y2 with an area."""
