"""Datasets of photographs: they are read as written, and folders without one are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from finetune.cli import app
from finetune.photos.dataset import PhotoDataset, write_photo_dataset
from finetune.photos.estimators import fit_estimators
from finetune.photos.image_jobs import WHOLE_SHARES, distorted_photo_jobs, is_held_out
from judge import InputError
from judge.evidence.facts import ESTIMATED_KINDS, VECTOR_LENGTH, ImageMeasurement, load_estimators
from judge.evidence.pretrained import extract_features
from judge.scenes.distorted_photos import distort_randomly


def test_a_dataset_is_read_as_written_and_estimators_are_fitted_on_it(tmp_path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    jobs = list(distorted_photo_jobs([tmp_path / "a.png"], 12, seed=5))
    write_photo_dataset(tmp_path / "data", jobs, workers=1)
    dataset = PhotoDataset(tmp_path / "data")
    assert dataset.images.shape == (12, 224, 224, 3) and dataset.measured.shape == (12, VECTOR_LENGTH)
    expected, truth = distort_randomly(photo, 5 * 1_000_003)
    assert (dataset.rows[0].kind, dataset.rows[0].score) == (truth.kind, pytest.approx(truth.quality))
    measured = ImageMeasurement.from_pixels(expected)
    assert np.allclose(dataset.measured[0], measured.vector)
    assert np.allclose(dataset.features[0], extract_features(expected), atol=1e-4)
    own = tmp_path / "own.safetensors"
    fit_estimators([dataset], dataset, [dataset], own, steps=3)
    estimators = load_estimators(own)
    strengths = estimators.estimate_strengths(np.stack([measured.whole]))
    opinions = estimators.estimate_opinions(np.array(dataset.features))
    assert strengths.shape == (1, len(ESTIMATED_KINDS)) and np.isfinite(strengths).all()
    assert opinions.shape == (12,) and ((opinions >= 0) & (opinions <= 1)).all()
    load_estimators.cache_clear()
    fit_estimators([], dataset, out=own)  # the opinions alone: strengths are estimated as before
    assert (load_estimators(own).estimate_strengths(np.stack([measured.whole])) == strengths).all()


def test_estimators_are_fitted_on_measures_without_images(tmp_path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    jobs = list(distorted_photo_jobs([tmp_path / "a.png"], 40, 5, WHOLE_SHARES, recompressed=True))
    write_photo_dataset(tmp_path / "measures", jobs, workers=1, keep_images=False)
    assert not (tmp_path / "measures/images.npy").exists()
    dataset = PhotoDataset(tmp_path / "measures", load_images=False)
    assert not any(example.areas for example in dataset.rows)
    uncompressed = [distort_randomly(photo, 5 * 1_000_003 + n, WHOLE_SHARES)[0] for n in range(40)]
    is_uncompressed = [
        np.allclose(vector, ImageMeasurement.from_pixels(image).vector)
        for vector, image in zip(dataset.measured, uncompressed, strict=True)
    ]
    assert 10 < sum(is_uncompressed) < 30  # the others were encoded as JPEG
    with pytest.raises(InputError, match=r"images.npy.*for `estimates` alone"):
        PhotoDataset(tmp_path / "measures")


def test_a_photograph_is_held_out_by_its_name_alone() -> None:
    names = [f"{n}.bmp" for n in range(400)]
    assert 70 < sum(map(is_held_out, names)) < 130
    assert all(is_held_out(f"images/{name}") == is_held_out(name) for name in names)


def test_a_folder_without_dataset_or_images_is_one_error_line(tmp_path) -> None:
    with pytest.raises(InputError, match="rows.jsonl"):
        PhotoDataset(tmp_path)
    for command in (["pool", "out", str(tmp_path)], ["opinions", "out", str(tmp_path)]):
        result = CliRunner().invoke(app, ["photos", *command])
        assert result.exit_code == 2 and result.output.count("\n") == 1, result.output


def test_a_dataset_of_another_version_is_refused(tmp_path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((1, 224, 224, 3), np.uint8))
    np.save(tmp_path / "measured.npy", np.zeros((1, 3), np.float32))
    row = {"source": "scene", "name": "1", "score": 5.0, "spots": []}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="another version"):
        PhotoDataset(tmp_path)
