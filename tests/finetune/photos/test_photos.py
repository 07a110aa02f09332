"""Distorted photographs: exact, repeatable, of the size they were; pools that refuse what is none."""

from __future__ import annotations

import json
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from finetune.cli import app
from finetune.photos.estimates import apart, averaged, fit, perceptron
from finetune.photos.pool import WHOLES, Example, Pool, build, distorted, is_held_out
from finetune.photos.questions import ask
from judge import InputError
from judge.evidence.facts import KINDS as ESTIMATED
from judge.evidence.facts import LOCAL, WIDTH, Measured, estimators
from judge.rubrics.rubric import Rubric
from judge.scenes.distorted import Spot, distort, whole
from judge.scenes.distortions import KINDS, MAKERS, kind_of


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    y, x = np.mgrid[0:96, 0:128]
    waves = np.stack([np.sin(x / (3 + c)) * np.cos(y / (5 - c)) for c in range(3)], -1)
    return np.clip(128 + 70 * waves, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_stronger_distortion_is_further_from_the_original(maker: str, photograph: np.ndarray) -> None:
    errors = []
    for strength in (0.0, 0.5, 1.0):
        image, truth = whole(photograph, maker, strength, seed=3)
        assert image.shape == photograph.shape and image.dtype == np.uint8
        assert (truth.kind, truth.strength) == (kind_of(maker), strength)
        errors.append(float(np.abs(image.astype(int) - photograph).mean()))
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_seed_gives_one_picture_and_its_truth(photograph: np.ndarray) -> None:
    for seed in range(6):
        (one, truth), (again, same) = (distort(photograph, seed) for _ in range(2))
        assert (one == again).all() and truth == same


def test_an_area_is_all_that_changes(photograph: np.ndarray) -> None:
    image, truth = distort(photograph, 11, shares=(0, 0, 1, 0))
    changed = np.abs(image.astype(int) - photograph).max(-1) > 24
    for spot in truth.spots:
        x1, y1, x2, y2 = (v * side for v, side in zip(spot.box, (128, 96, 128, 96), strict=True))
        changed[max(0, int(y1) - 9) : int(y2) + 10, max(0, int(x1) - 9) : int(x2) + 10] = False
        assert spot.kind in LOCAL
    assert truth.kind == "none" and not changed.any() and 1 <= truth.quality < 5


def test_what_is_distorted_is_what_is_estimated() -> None:
    assert tuple(KINDS) == ESTIMATED


def test_a_pool_is_read_as_written_and_estimators_are_fitted_on_it(tmp_path, photograph: np.ndarray) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.png")
    build(tmp_path / "pool", list(distorted([tmp_path / "a.png"], 12, seed=5)), workers=1)
    pool = Pool(tmp_path / "pool")
    assert pool.images.shape == (12, 224, 224, 3) and pool.measured.shape == (12, WIDTH)
    expected, truth = distort(photograph, 5 * 1_000_003)
    assert (pool.rows[0].kind, pool.rows[0].score) == (truth.kind, pytest.approx(truth.quality))
    assert np.allclose(pool.measured[0], Measured.of(expected).row)
    fit([pool], pool, tmp_path / "own.safetensors", steps=3)
    seems, good = estimators(tmp_path / "own.safetensors").read(np.stack([Measured.of(expected).whole]))
    assert seems.shape == (1, len(ESTIMATED)) and np.isfinite(seems).all() and np.isfinite(good).all()


def test_estimators_are_fitted_on_measures_without_pictures(tmp_path, photograph: np.ndarray) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.png")
    build(
        tmp_path / "bare",
        list(distorted([tmp_path / "a.png"], 40, 5, WHOLES, saved=True)),
        workers=1,
        pictures=False,
    )
    assert not (tmp_path / "bare/images.npy").exists()
    bare = Pool(tmp_path / "bare", pictures=False)
    assert not any(example.spots for example in bare.rows)
    as_distorted = [
        np.allclose(numbers, Measured.of(distort(photograph, 5 * 1_000_003 + n, WHOLES)[0]).row)
        for n, numbers in enumerate(bare.measured)
    ]
    assert 10 < sum(as_distorted) < 30  # the others have been through a JPEG file
    fit([bare], bare, tmp_path / "own.safetensors", steps=3)
    with pytest.raises(InputError, match=r"images.npy.*for `estimates` alone"):
        Pool(tmp_path / "bare")


def test_perceptrons_averaged_into_one_say_the_mean_of_what_each_says(tmp_path) -> None:
    r = np.random.default_rng(3)
    rows, strengths = (r.random((40, n), np.float32) for n in (5, len(ESTIMATED)))
    opined = {"known": rows, "shares": rows[:, 0], "scale": rows[:2], "base": np.ones(2, np.float32)}

    def said(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
        save_file({**weights, **opined}, tmp_path / name)
        return estimators(tmp_path / name).read(rows)[0]

    members = [perceptron(rows, strengths, steps=3, seed=seed) for seed in range(3)]
    apart_said = [said(member, f"{n}.safetensors") for n, member in enumerate(members)]
    assert not np.allclose(apart_said[0], apart_said[1], atol=1e-3)
    assert said(averaged(members), "all.safetensors") == pytest.approx(np.mean(apart_said, axis=0), abs=1e-5)


def test_a_photographs_own_opinion_says_nothing_of_what_is_told_about_it(tmp_path) -> None:
    """Two pools that differ in the opinion of one photograph only: its estimate is the same in both."""
    r = np.random.default_rng(2)
    pictures = r.integers(0, 256, (10, 48, 64, 3), np.uint8)

    def estimated(name: str, of_first: float) -> np.ndarray:
        scores = [of_first, *np.linspace(1, 5, 9)]
        jobs = [partial(_rated, p, str(n), s) for n, (p, s) in enumerate(zip(pictures, scores, strict=True))]
        build(tmp_path / name, [job for job in jobs for _ in range(2)], workers=1)
        return apart(Pool(tmp_path / name))

    low, high = estimated("low", 1.0), estimated("high", 5.0)
    assert low[:2] == pytest.approx(high[:2]) and not np.allclose(low[2:], high[2:])


def _rated(picture: np.ndarray, name: str, score: float) -> tuple[np.ndarray, Example]:
    return picture, Example("opinion", name, score, kind="")


def test_an_adapter_is_taught_the_rubrics_own_form_under_what_was_measured(photograph: np.ndarray) -> None:
    rubric, r = Rubric.load("quality"), Random(1)
    facts = Measured.of(photograph).facts()
    spot = Spot("noise", 0.8, (0.1, 0.1, 0.6, 0.6))
    task = ask(r, rubric, Example("distorted", "x", 2.2, "blur", 0.9, (spot,)), facts, score_only=False)
    assert task.form == rubric.form() and task.values["degradation"] == "blur"
    assert task.values["severity"] == "strong" and task.values["defects"][0]["box"] == [100, 100, 600, 600]
    assert task.soft == {"score": 2.2} and "Measured: a" in task.user
    rated = ask(r, rubric, Example("opinion", "x", 4.0, kind=""), facts, score_only=False)
    assert rated.values["degradation"] in rubric.attributes[0].labels


def test_the_held_out_quarter_goes_by_name_alone() -> None:
    names = [f"{n}.bmp" for n in range(400)]
    assert 70 < sum(map(is_held_out, names)) < 130
    assert all(is_held_out(f"images/{name}") == is_held_out(name) for name in names)


def test_what_is_no_pool_and_no_folder_of_pictures_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="rows.jsonl"):
        Pool(tmp_path)
    for command in (["pool", "out", str(tmp_path)], ["opinions", "out", str(tmp_path)]):
        result = CliRunner().invoke(app, ["photos", *command])
        assert result.exit_code == 2 and result.output.count("\n") == 1, result.output


def test_a_pool_of_another_version_is_refused(tmp_path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((1, 224, 224, 3), np.uint8))
    np.save(tmp_path / "measured.npy", np.zeros((1, 3), np.float32))
    row = {"source": "scene", "name": "1", "score": 5.0, "spots": []}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="another version"):
        Pool(tmp_path)
