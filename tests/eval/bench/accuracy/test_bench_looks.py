"""The bench of closer looks, with the embedded judge on one small set."""

from __future__ import annotations

from typing import Any

import pytest

from eval.bench import parts


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """One image with a defect, the same without it, and one usual scene."""
    return parts.looks(5, 1, 1, 6, "embedded", None)


def test_large_images_are_looked_at_though_the_judge_would_abstain(measured: dict[str, Any]) -> None:
    assert measured["unscored"] == 0
    assert 0 < measured["looks"] <= 6


def test_an_image_without_a_score_is_neither_found_nor_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    open_judge = parts.open_judge
    monkeypatch.setattr(parts, "open_judge", lambda model, adapter, **_: open_judge(model, adapter))
    abstained = parts.looks(5, 1, 1, 6, "embedded", None)
    assert abstained["unscored"] == 2
    assert abstained["found"] == abstained["clean_stays_clean"] == abstained["clean_without_looks"] == 0
