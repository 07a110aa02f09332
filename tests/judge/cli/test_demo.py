"""`judge demo`, `make demo` and `python -m judge.cli.demo`: the first command that a visitor runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import tiny
from command_line import assert_error, run
from PIL import Image

from judge.cli.demo import format_verdict
from judge.scenes.examples import find_examples
from judge.types import Verdict


def test_the_demo_writes_verdicts_and_overlays_with_any_model(tmp_path: Path) -> None:
    model = tiny.write_checkpoint(tmp_path / "model")
    result = run("demo", "--out", str(tmp_path / "demo"), "--model", str(model))
    assert result.exit_code == 0, result.output
    for number in range(1, 5):
        verdict = Verdict.model_validate_json((tmp_path / "demo" / f"{number}.json").read_text("utf-8"))
        assert verdict.id == f"demo-{number}"
        with Image.open(tmp_path / "demo" / f"{number}.png") as overlay:
            assert overlay.width > 224
    assert "4 verdicts in" in result.stdout
    assert result.stdout.count("truth: score") == 4


def test_the_demo_shows_four_different_cases() -> None:
    scenes = [scene for _, scene in find_examples()]
    assert [len(scene.sample.labels.defects) for scene in scenes] == [0, 0, 2, 1]
    assert scenes[0].sample.labels.score == 5.0


def test_a_missing_model_gives_one_line(tmp_path: Path) -> None:
    missing = run("demo", "--out", str(tmp_path), "--model", str(tmp_path / "none"))
    assert_error(missing, "there is no such folder")


def test_the_module_runs_as_a_script() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "judge.cli.demo", "--help"], capture_output=True, text=True, check=True
    )
    assert "--out" in completed.stdout and "--model" in completed.stdout


def test_the_printed_verdict_is_json() -> None:
    text = format_verdict(Verdict.model_validate_json(VERDICT))
    assert json.loads(text)["score"] == 3.333
    assert '"distribution": [ 0.0, 0.0, 0.667, 0.333, 0.0 ]' in text


VERDICT = json.dumps({
    "status": "scored", "score": 3.3333333, "distribution": [0, 0, 0.6666667, 0.3333333, 0],
    "provenance": {"model": "m", "backend": "b", "rubric": "r", "rubric_hash": "h", "depth": "verdict",
                   "version": "0", "milliseconds": 1.0},
})  # fmt: skip
