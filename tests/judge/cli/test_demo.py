"""`make demo` is the first thing a visitor runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from PIL import Image

from judge.cli import demo
from judge.errors import BackendError
from judge.types import Verdict


def test_the_demo_writes_verdicts_and_drawings_with_any_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny.checkpoint(tmp_path / "model")
    demo.run(tmp_path / "demo", str(model))
    for number in range(1, 5):
        verdict = Verdict.model_validate_json((tmp_path / "demo" / f"{number}.json").read_text("utf-8"))
        assert verdict.id == f"demo-{number}"
        with Image.open(tmp_path / "demo" / f"{number}.png") as drawn:
            assert drawn.width > 224
    printed = capsys.readouterr().out
    assert "4 verdicts in" in printed
    assert printed.count("truth: score") == 4


def test_the_demo_shows_four_different_things() -> None:
    scenes = [scene for _, scene in demo.examples()]
    assert [len(scene.sample.labels.defects) for scene in scenes] == [0, 0, 2, 1]
    assert scenes[0].sample.labels.score == 5.0


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError):
        demo.run(tmp_path / "demo", str(tmp_path / "none"))


def test_the_printed_verdict_is_json() -> None:
    text = demo.pretty(Verdict.model_validate_json(VERDICT))
    assert json.loads(text)["score"] == 3.333
    assert '"distribution": [ 0.0, 0.0, 0.667, 0.333, 0.0 ]' in text


VERDICT = json.dumps({
    "status": "scored", "score": 3.3333333, "distribution": [0, 0, 0.6666667, 0.3333333, 0],
    "provenance": {"model": "m", "backend": "b", "rubric": "r", "rubric_hash": "h", "depth": "verdict",
                   "version": "0", "milliseconds": 1.0},
})  # fmt: skip
