"""The reward's examples run from the command line, and write what they promise."""

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
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    curve = json.loads((tmp_path / "run" / "curves.json").read_text())
    assert [row["step"] for row in curve] == sorted({row["step"] for row in curve}) and len(curve) >= 2
    assert all(0 <= row["reward"] <= 1 and row["truth"] >= 0 for row in curve)
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


def test_the_truth_of_an_svg_is_read_from_its_tags() -> None:
    from examples.grpo_svg import thing, truth

    def svg(*things) -> str:
        return "".join(token for one in things for token in thing(*one))

    asked = ["red circle", "two blue stars"]
    circle, star, other = (
        ("red", "circle", (0, 0), 44),
        ("blue", "star", (56, 0), 44),
        ("blue", "star", (0, 56), 44),
    )
    assert truth(svg(circle, star, other), asked) == 1.0
    assert truth(svg(circle, star), asked) == 0.5, "one is not two"
    assert truth(svg(circle, star, other, ("blue", "star", (56, 56), 44)), asked) == 0.5, "nor are three"
    assert truth(svg(circle, ("red", "star", (0, 0), 52)), asked) == 0.0, "what is covered is not there"
    assert truth("<use href=", asked) == 0.0
