"""What the bench says of photographs: strengths of distortions, opinions, a student beside its teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photographic import textured
from PIL import Image
from typer.testing import CliRunner

from eval.bench.__main__ import app
from finetune.photos.pool import is_held_out
from judge.scenes.distortions import MAKERS


def rated(folder: Path) -> list[str]:
    """Two dozen pictures laid out as LIVE in the Wild; the more contrast, the worse. Returns their names."""
    (folder / "clive_train/images").mkdir(parents=True)
    names = [f"{n}.png" for n in range(24)]
    lines = ["image,mos_0_100,std"]
    for n, name in enumerate(names):
        pixels = np.random.default_rng(n).integers(100 - 4 * n, 110 + 4 * n, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "clive_train/images" / name)
        lines.append(f"{name},{90 - n},10")
    (folder / "clive_train/labels.csv").write_text("\n".join(lines) + "\n")
    return names


def test_strengths_of_distortions_are_measured_before_and_after_pictures_are_saved(tmp_path: Path) -> None:
    rated(tmp_path)
    (tmp_path / "kodak24").mkdir()
    for n in range(2):
        textured(192, 256, n).save(tmp_path / f"kodak24/{n}.png")
    result = CliRunner().invoke(app, ["photos", "--data", str(tmp_path), "--contents", "2", "--json"])
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    for apart in ("as_jpeg", "within", "judge_within"):
        assert told[apart].keys() == MAKERS.keys()
    for maker in ("gaussian_blur", "gaussian_noise"):
        assert min(told[f"{maker}_srcc"], told["as_jpeg"][maker], told["within"][maker]) > 0.7
    result = CliRunner().invoke(app, ["photos", "--data", str(tmp_path), "--contents", "3"])
    assert result.exit_code == 2 and "3 pictures in kodak24" in result.stderr


def test_a_student_is_measured_beside_its_teacher_on_photographs_that_are_held_out(tmp_path: Path) -> None:
    names = rated(tmp_path)
    result = CliRunner().invoke(
        app, ["student", "--data", str(tmp_path), "--count", "5", "--rounds", "1", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["student"], told["teacher"]) == ("embedded-student", "embedded")
    assert told["photographs"]["pictures"] == sum(map(is_held_out, names)) > 3
    assert told["scenes"]["pictures"] == 5
    for found in (told["photographs"], told["scenes"]):
        assert -1 <= found["student_srcc"] <= 1 and -1 <= found["teacher_srcc"] <= 1
        assert found["times"] == pytest.approx(found["teacher_ms"] / found["student_ms"])
    result = CliRunner().invoke(app, ["student", "--data", str(tmp_path / "gone")])
    assert result.exit_code == 2 and "clive_train/labels.csv" in result.stderr
