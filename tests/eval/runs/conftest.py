"""Data of the small suite and a complete run over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_runs import ROWS, judge_plan
from small_suite import SMALL, write_suite

from eval.runs.plan import Plan


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("small") / "data", ROWS)


@pytest.fixture(scope="session")
def complete_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("complete") / "run"
    judge_plan(Plan(SMALL, data), out)
    return out


@pytest.fixture(autouse=True)
def small_suite_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `eval.suites.load_suite` return the small suite for any name."""
    import eval.suites

    monkeypatch.setattr(eval.suites, "load_suite", lambda name: SMALL)
