"""Measures on photographs: strengths of distortions, opinions, and a student compared with its teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_photos import make_synthetic_photo
from typer.testing import CliRunner

from eval.bench.__main__ import app
from finetune.photos.image_jobs import is_held_out
from judge.scenes.distortions import DISTORTIONS


def write_rated_images(folder: Path) -> list[str]:
    """Write 24 images in the format of LIVE in the Wild and return their names.

    Images with more contrast have a lower opinion.
    """
    (folder / "clive_train/images").mkdir(parents=True)
    names = [f"{n}.png" for n in range(24)]
    lines = ["image,mos_0_100,std"]
    for n, name in enumerate(names):
        pixels = np.random.default_rng(n).integers(100 - 4 * n, 110 + 4 * n, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "clive_train/images" / name)
        lines.append(f"{name},{90 - n},10")
    (folder / "clive_train/labels.csv").write_text("\n".join(lines) + "\n")
    return names


def test_strengths_of_distortions_are_measured_before_and_after_jpeg_compression(tmp_path: Path) -> None:
    write_rated_images(tmp_path)
    (tmp_path / "kodak24").mkdir()
    for n in range(2):
        make_synthetic_photo(192, 256, n).save(tmp_path / f"kodak24/{n}.png")
    result = CliRunner().invoke(app, ["photos", "--data", str(tmp_path), "--contents", "2", "--json"])
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    for key in ("as_jpeg", "within", "judge_within"):
        assert printed[key].keys() == DISTORTIONS.keys()
    for distortion in ("gaussian_blur", "gaussian_noise"):
        assert (
            min(printed[f"{distortion}_srcc"], printed["as_jpeg"][distortion], printed["within"][distortion])
            > 0.7
        )
    result = CliRunner().invoke(app, ["photos", "--data", str(tmp_path), "--contents", "3"])
    assert result.exit_code == 2 and "3 images in kodak24" in result.stderr


def test_a_student_is_compared_with_its_teacher_on_held_out_photographs(tmp_path: Path) -> None:
    names = write_rated_images(tmp_path)
    result = CliRunner().invoke(
        app, ["student", "--data", str(tmp_path), "--count", "5", "--rounds", "1", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert (printed["student"], printed["teacher"]) == ("embedded-student", "embedded")
    assert printed["photographs"]["pictures"] == sum(map(is_held_out, names)) > 3
    assert printed["scenes"]["pictures"] == 5
    for part in (printed["photographs"], printed["scenes"]):
        assert -1 <= part["student_srcc"] <= 1 and -1 <= part["teacher_srcc"] <= 1
        assert part["times"] == pytest.approx(part["teacher_ms"] / part["student_ms"])
    result = CliRunner().invoke(app, ["student", "--data", str(tmp_path / "gone")])
    assert result.exit_code == 2 and "clive_train/labels.csv" in result.stderr
