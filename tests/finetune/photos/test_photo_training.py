"""What the estimators and the adapter for photographs are trained on."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest
from safetensors.numpy import save_file

from finetune.photos.dataset import PhotoDataset, write_photo_dataset
from finetune.photos.estimators import average_perceptrons, cross_fit_opinions, fit_perceptron
from finetune.photos.image_jobs import Example
from finetune.photos.tasks import judge_photo
from judge.evidence.facts import ESTIMATED_KINDS, ImageMeasurement, load_estimators
from judge.rubrics.rubric import Rubric
from judge.scenes.distorted_photos import DistortedArea


def test_averaged_perceptrons_give_the_mean_of_their_estimates(tmp_path) -> None:
    rng = np.random.default_rng(3)
    rows, strengths = (rng.random((40, n), np.float32) for n in (5, len(ESTIMATED_KINDS)))
    kernel = {"known": rows, "shares": rows[:, 0], "scale": rows[:2], "base": np.ones(2, np.float32)}

    def estimate(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
        save_file({**weights, **kernel}, tmp_path / name)
        return load_estimators(tmp_path / name).estimate(rows)[0]

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


def _rated(image: np.ndarray, name: str, score: float) -> tuple[np.ndarray, Example]:
    return image, Example("opinion", name, score, kind="")


def test_a_task_fills_the_rubrics_own_form_and_shows_measured_facts(photo: np.ndarray) -> None:
    rubric, r = Rubric.load("quality"), Random(1)
    facts = ImageMeasurement.from_pixels(photo).to_facts()
    area = DistortedArea("noise", 0.8, (0.1, 0.1, 0.6, 0.6))
    distorted = Example("distorted", "x", 2.2, "blur", 0.9, (area,))
    task = judge_photo(r, rubric, distorted, facts, score_only=False)
    assert task.form == rubric.form() and task.values["degradation"] == "blur"
    assert task.values["severity"] == "strong" and task.values["defects"][0]["box"] == [100, 100, 600, 600]
    assert task.exact_scores == {"score": 2.2} and "Measured: a" in task.prompt
    rated = judge_photo(r, rubric, Example("opinion", "x", 4.0, kind=""), facts, score_only=False)
    assert rated.values["degradation"] in rubric.attributes[0].labels
