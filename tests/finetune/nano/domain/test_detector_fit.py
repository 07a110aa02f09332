"""Fitting the detector of drawings, at a small size."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from finetune.nano.domain.detector import compute_features, fit_detector, write_detector
from finetune.nano.domain.drawings import PROGRAMS, draw_simple_scene
from finetune.nano.domain.other_images import Icons, change_photo
from finetune.nano.domain.samples import find_sources, make_dataset
from judge.errors import InputError
from judge.evidence import drawings
from judge.evidence.drawings import INPUT_SIDE

ICONS = {
    "prefix": "t", "width": 24, "height": 24,
    "icons": {name: {"body": '<path fill="#c33" d="M2 2h9v15h-9z M14 4l6 9-9 7z"/>'} for name in (
        "gear", "red-heart", "cat-face", "printer")},
}  # fmt: skip


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    path = tmp_path / "icons.json"
    path.write_text(json.dumps(ICONS))
    return path


def test_a_small_fit_is_written_and_tells_its_images_apart(
    tmp_path: Path, icons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC).save(photos / "a.png")
    images, is_drawing = make_dataset(40, find_sources([photos], [photos], [icons]), seed=1)
    assert images.shape == (80, INPUT_SIDE, INPUT_SIDE, 3) and is_drawing.sum() == 40
    features = compute_features(images)
    lines: list[str] = []
    tensors = fit_detector(features, is_drawing, report=lines.append)
    assert len(lines) == 1
    write_detector(tensors, ["photos"], tmp_path / "d.safetensors")
    assert (tmp_path / "d.safetensors").stat().st_size < 200_000
    monkeypatch.setattr(drawings, "DETECTOR_FILE", tmp_path / "d.safetensors")
    assert drawings.fitted_sources() == ["photos"]
    drawings._load_detector.cache_clear()
    logits = np.array([drawings.drawing_logit(Image.fromarray(image)) for image in images])
    drawings._load_detector.cache_clear()
    assert (logits[is_drawing] > np.median(logits)).mean() > 0.8


def test_icons_of_the_vocabulary_are_left_out(icons: Path) -> None:
    found = Icons(icons)
    assert len(found.icons) == 2
    assert found.draw(Random(1), 96).shape == (96, 96, 3)
    with pytest.raises(InputError, match="icons"):
        find_sources([icons.parent], [icons.parent], [icons.parent / "none.json"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_random_source_draws_the_same_image(program: str) -> None:
    first, second = (draw_simple_scene(Random(3), 96, program) for _ in range(2))
    assert (first == second).all() and first.shape == (96, 96, 3)


def test_changed_photographs_keep_three_channels() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    for number in range(40):
        changed = change_photo(Random(number), photo)
        assert changed.dtype == np.uint8 and changed.ndim == 3 and changed.shape[2] == 3
