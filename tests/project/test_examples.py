"""The examples run from the command line and write their curves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("example", ["grpo_svg", "refl"])
def test_an_example_writes_its_curves_and_their_plot(tmp_path: Path, example: str) -> None:
    command = [sys.executable, "-m", f"examples.{example}", "--out", str(tmp_path / "run"), "--smoke"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    curve = json.loads((tmp_path / "run" / "curves.json").read_text())
    assert [row["step"] for row in curve] == sorted({row["step"] for row in curve}) and len(curve) >= 2
    assert all(0 <= row["reward"] <= 1 and row["truth"] >= 0 for row in curve)
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


def test_the_truth_of_a_drawing_is_read_from_its_svg_tags() -> None:
    from examples.grpo_svg import measure_truth, object_tokens

    def drawing(*objects: tuple[str, str, tuple[int, int], int]) -> str:
        return "".join(token for item in objects for token in object_tokens(*item))

    elements = ["red circle", "two blue stars"]
    circle = ("red", "circle", (0, 0), 44)
    star, second_star, third_star = (("blue", "star", at, 44) for at in ((56, 0), (0, 56), (56, 56)))
    cover = ("red", "star", (0, 0), 52)
    assert measure_truth(drawing(circle, star, second_star), elements) == 1.0
    assert measure_truth(drawing(circle, star), elements) == 0.5, "one star is not two"
    assert measure_truth(drawing(circle, star, second_star, third_star), elements) == 0.5, "nor are three"
    assert measure_truth(drawing(circle, cover), elements) == 0.0, "a covered object does not count"
    assert measure_truth("<use href=", elements) == 0.0
