"""The bench of reading label files and scoring predictions."""

from __future__ import annotations

from eval.bench.speed.suites import measure_suites


def test_reading_and_scoring_are_timed() -> None:
    result = measure_suites(seed=1, rows=50, predictions=300)
    assert result["read_rows"] == 50
    assert result["score_seconds"] > 0
