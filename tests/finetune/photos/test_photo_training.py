"""What the estimators and the adapter for photographs are trained on."""

from __future__ import annotations

from functools import partial
from random import Random

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from synthetic_photos import make_synthetic_photo

from finetune.photos.dataset import PhotoDataset, write_photo_dataset
from finetune.photos.estimators import (
    DistortionChanges,
    average_perceptrons,
    cross_fit_opinions,
    fit_opinions,
    fit_perceptron,
    opinions_without_held_out,
)
from finetune.photos.image_jobs import Example
from finetune.photos.tasks import judge_photo
from judge.evidence.facts import ESTIMATED_KINDS, load_estimators, measure_image, squash_opinions
from judge.evidence.pretrained import extract_features
from judge.rubrics.rubric import Rubric
from judge.scenes.distorted_photos import DistortedArea


def test_averaged_perceptrons_give_the_mean_of_their_estimates(tmp_path) -> None:
    rng = np.random.default_rng(3)
    rows, strengths = (rng.random((40, n), np.float32) for n in (5, len(ESTIMATED_KINDS)))
    opinions = {"opinion_weight": rows[:2], "opinion_bias": np.ones(2, np.float32)}

    def estimate(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
        save_file({**weights, **opinions}, tmp_path / name)
        return load_estimators(tmp_path / name).estimate_strengths(rows)

    members = [fit_perceptron(rows, strengths, steps=3, seed=seed) for seed in range(3)]
    separate = [estimate(member, f"{n}.safetensors") for n, member in enumerate(members)]
    assert not np.allclose(separate[0], separate[1], atol=1e-3)
    combined = estimate(average_perceptrons(members), "all.safetensors")
    assert combined == pytest.approx(np.mean(separate, axis=0), abs=1e-5)


def test_a_cross_fitted_opinion_does_not_depend_on_the_photographs_own_score(tmp_path) -> None:
    """Two datasets differ in the score of one photograph only: its estimate is the same in both."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (10, 48, 64, 3), np.uint8)

    def cross_fit(name: str, first_score: float) -> np.ndarray:
        scores = [first_score, *np.linspace(1, 5, 9)]
        jobs = [partial(_rated, i, str(n), s) for n, (i, s) in enumerate(zip(images, scores, strict=True))]
        write_photo_dataset(tmp_path / name, [job for job in jobs for _ in range(2)], workers=1)
        return cross_fit_opinions(PhotoDataset(tmp_path / name))

    low, high = cross_fit("low", 1.0), cross_fit("high", 5.0)
    assert low[:2] == pytest.approx(high[:2]) and not np.allclose(low[2:], high[2:])


def test_an_opinion_falls_as_a_distortion_grows_if_distorted_photographs_say_so(tmp_path) -> None:
    """The rated photographs have one score, so only the distorted ones tell anything."""
    rng = np.random.default_rng(4)
    photos = [make_synthetic_photo(64, 96, seed) for seed in range(4)]
    rated = [partial(_rated, rng.integers(0, 256, (48, 64, 3), np.uint8), str(n), 3.0) for n in range(6)]
    jobs = [
        partial(_blurred, np.asarray(photo), str(n), strength)
        for n, photo in enumerate(photos)
        for strength in (0.0, 0.3, 0.6, 0.9)
    ]
    write_photo_dataset(tmp_path / "rated", rated, workers=1)
    write_photo_dataset(tmp_path / "distorted", jobs, workers=1)
    distorted = PhotoDataset(tmp_path / "distorted")
    changes = DistortionChanges.collect([distorted])
    assert changes.quality.reshape(4, 4).mean(1) == pytest.approx(np.zeros(4), abs=1e-6)
    weight, bias = fit_opinions(PhotoDataset(tmp_path / "rated"), changes)
    opinions = (np.array(distorted.features) @ weight + bias).reshape(4, 4)
    assert (np.diff(opinions, axis=1) < 0).all()


def _blurred(image: np.ndarray, name: str, strength: float) -> tuple[np.ndarray, Example]:
    blurred = cv2.GaussianBlur(image, (0, 0), 8 * strength) if strength else image
    return blurred, Example("distorted", name, 5 - 4 * strength, "blur", strength)


def test_a_judge_is_measured_with_the_opinions_that_were_fitted_without_the_held_out_photographs(
    photo,
) -> None:
    image = Image.fromarray(photo)
    shipped = measure_image(image, ["seems_good"])
    with opinions_without_held_out():
        other = measure_image(image, ["seems_good"])
    features = extract_features(photo)[None]
    assert shipped["seems_good"] == pytest.approx(load_estimators().estimate_opinions(features)[0])
    assert other["seems_good"] == pytest.approx(
        load_estimators().without_held_out().estimate_opinions(features)[0]
    )
    assert shipped != other and measure_image(image, ["seems_good"]) == shipped


def test_squashed_opinions_keep_their_order_and_lie_between_0_and_1() -> None:
    values = np.linspace(-0.4, 1.4, 181, dtype=np.float32)
    squashed = squash_opinions(values)
    assert (np.diff(squashed) > 0).all() and squashed[0] > 0 and squashed[-1] < 1
    inner = (values > 0.1) & (values < 0.9)
    assert squashed[inner] == pytest.approx(values[inner])


def _rated(image: np.ndarray, name: str, score: float) -> tuple[np.ndarray, Example]:
    return image, Example("opinion", name, score, kind="")


def test_a_task_fills_the_rubrics_own_form_and_shows_measured_facts(photo: np.ndarray) -> None:
    rubric, r = Rubric.load("quality"), Random(1)
    facts = measure_image(Image.fromarray(photo), rubric.facts)
    area = DistortedArea("noise", 0.8, (0.1, 0.1, 0.6, 0.6))
    distorted = Example("distorted", "x", 2.2, "blur", 0.9, (area,))
    task = judge_photo(r, rubric, distorted, facts, score_only=False)
    assert task.form == rubric.form() and task.values["degradation"] == "blur"
    assert task.values["severity"] == "strong" and task.values["defects"][0]["box"] == [100, 100, 600, 600]
    assert task.exact_scores == {"score": 2.2} and "Measured: a" in task.prompt
    rated = judge_photo(r, rubric, Example("opinion", "x", 4.0, kind=""), facts, score_only=False)
    assert rated.values["degradation"] in rubric.attributes[0].labels
