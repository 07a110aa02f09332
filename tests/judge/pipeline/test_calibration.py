"""Calibration: scores on the human scale, percentiles, and no verdict outside the calibrated domain."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from command_line import assert_error, run
from PIL import Image
from random_backend import RandomBackend

from finetune import calibration as fitting
from judge.backends.base import Reply, Request
from judge.errors import InputError
from judge.evidence.similarity import compute_statistics
from judge.judge import Judge
from judge.pipeline.calibration import OUTSIDE_DOMAIN, Calibration, ScoreMap
from judge.pipeline.distributions import expectation
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import ScoreRule


class HarshBackend(RandomBackend):
    """Scores an image by its brightness, too low by up to one point and with too much confidence."""

    def _fill(self, request: Request) -> Reply:
        reply = super()._fill(request)
        brightness = float(np.asarray(request.images[0].convert("L")).mean()) / 255
        weights = {str(n): math.exp(-((1 + 3 * brightness - n) ** 2) / 0.3) for n in range(1, 6)}
        total = sum(weights.values())
        reply.probabilities["score"] = {label: weight / total for label, weight in weights.items()}
        values = json.loads(reply.text) | {"score": int(max(weights, key=weights.__getitem__))}
        return Reply(json.dumps(values), reply.probabilities)


def smooth_image(brightness: float, seed: int) -> Image.Image:
    """A vertical ramp with a little noise around a brightness of 0 to 1."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-20, 20, 48)[:, None, None] + rng.normal(0, 1, (48, 64, 3))
    return Image.fromarray(np.clip(255 * brightness + ramp, 0, 255).astype(np.uint8))


def harsh_judge(**options) -> Judge:
    return Judge(backend=HarshBackend(), rubric="quality", **({"calibration": False} | options))


@pytest.fixture(scope="module")
def labelled_images(tmp_path_factory) -> Path:
    """A folder of 120 images whose human score is their brightness, with noise in the opinions."""
    root = tmp_path_factory.mktemp("calibration") / "photos"
    root.mkdir()
    random, rows = Random(4), ["image,mos_0_100,std"]
    for n in range(120):
        brightness = random.uniform(0.05, 0.95)
        smooth_image(brightness, n).save(root / f"{n}.png")
        opinion = min(100, max(0, 100 * brightness + random.gauss(0, 6)))
        rows.append(f"{n}.png,{opinion:.2f},15")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def calibration(labelled_images: Path) -> Calibration:
    return fitting.fit_calibration(harsh_judge(), fitting.label_source("live-itw", labelled_images))


# -- Applying a calibration ------------------------------------------------------------------------------


def test_percentiles_run_from_0_to_100_and_ties_count_half() -> None:
    score_map = ScoreMap(knots=[(1, 1), (5, 5)], quantiles=[2.0, 3.0, 4.0, 4.0, 5.0])
    percentiles = [score_map.percentile(score) for score in (1.0, 2.0, 2.5, 3.0, 4.0, 5.0)]
    assert percentiles == [0, 0, 12.5, 25, 62.5, 100]


def test_calibrated_scores_are_nearer_to_people_and_keep_their_ranking(calibration: Calibration) -> None:
    report = calibration.report["score"]
    assert report["after"]["rmse"] < 0.35 < 0.5 < report["before"]["rmse"]
    assert report["after"]["ece"] < 0.1 < report["before"]["ece"]
    assert report["after"]["srcc"] > report["before"]["srcc"] - 0.02
    assert abs(report["after"]["bias"]) < 0.1
    samples = [{"image": smooth_image(n / 40, 1000 + n)} for n in range(1, 40)]
    before = [verdict.score for verdict in harsh_judge().many(samples, depth="score")]
    calibrated_judge = harsh_judge(calibration=calibration)
    after = [verdict.score for verdict in calibrated_judge.many(samples, depth="score")]
    scored = sorted((b, a) for b, a in zip(before, after, strict=True) if a is not None)
    assert len(scored) > 30
    assert all(a1 < a2 for (b1, a1), (b2, a2) in pairwise(scored) if b1 < b2)


def test_a_calibrated_verdict_has_a_percentile_and_a_distribution_with_its_mean(
    calibration: Calibration,
) -> None:
    image = smooth_image(0.5, 7)
    verdict = harsh_judge(calibration=calibration)(image, depth="score")
    assert expectation(verdict.distribution) == pytest.approx(verdict.score, abs=1e-6)
    assert 30 < verdict.percentile < 70
    assert harsh_judge()(image, depth="score").percentile is None


def test_a_verdict_of_a_depth_without_calibration_is_unchanged(calibration: Calibration) -> None:
    verdict = harsh_judge(calibration=calibration)(smooth_image(0.5, 7), depth="verdict")
    assert verdict.percentile is None


def test_an_image_far_from_the_calibration_gets_no_score(calibration: Calibration) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    checkerboard = Image.fromarray(np.stack([board, 255 - board, 0 * board], -1).astype(np.uint8))
    verdict = harsh_judge(calibration=calibration)(checkerboard, depth="score")
    assert (verdict.status, verdict.score) == ("unscored", None)
    assert verdict.reason.startswith(OUTSIDE_DOMAIN) and verdict.abstained
    assert "99 % of the live-itw images are within" in verdict.reason
    reasons = [calibration.abstain_reason(smooth_image(n / 30, 500 + n)) for n in range(3, 28)]
    assert reasons.count("") >= 23


@pytest.mark.parametrize("shade", [0, 255])
def test_image_statistics_are_finite_for_uniform_images(shade: int) -> None:
    assert np.isfinite(compute_statistics(Image.new("RGB", (3, 900), (shade,) * 3))).all()


# -- Finding a calibration -------------------------------------------------------------------------------


def test_the_calibration_in_the_adapters_folder_is_used_for_its_rubric_only(
    calibration: Calibration, tmp_path: Path
) -> None:
    (tmp_path / "calibration.json").write_text(calibration.model_dump_json())
    assert Judge(adapter=str(tmp_path), rubric="quality").calibration == calibration
    assert Judge(adapter=str(tmp_path), rubric="default").calibration is None
    assert Judge(adapter=str(tmp_path), rubric="quality", calibration=False).calibration is None
    with pytest.raises(InputError, match="calibrate again"):
        Judge(rubric="default", calibration=tmp_path)


def test_each_adapter_of_a_rubric_has_its_own_calibration(calibration: Calibration, tmp_path: Path) -> None:
    for name in ("base", "adapter", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "judge.json").write_text(json.dumps({"adapters": {"quality": "photos"}}))
    (tmp_path / "adapter/calibration.json").write_text(calibration.model_dump_json())
    assert Judge(str(tmp_path), rubric="quality").calibration is None
    (tmp_path / "photos/calibration.json").write_text(calibration.model_dump_json())
    assert Judge(str(tmp_path), rubric="quality").calibration == calibration


def test_a_calibration_of_other_weights_is_not_used_and_noted(calibration: Calibration) -> None:
    other = calibration.model_copy(update={"revision": "of others"})
    backend = HarshBackend()
    backend.revision = "these"
    judge = Judge(backend=backend, rubric="quality", calibration=other)
    verdict = judge(smooth_image(0.5, 1), depth="score")
    assert verdict.percentile is None
    assert any("calibration was not used" in note for note in verdict.provenance.notes)


@pytest.mark.parametrize("text", ["{}", "not json", '{"format": 2}'])
def test_a_damaged_file_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(InputError, match="judge calibrate"):
        Judge(calibration=tmp_path)


# -- Fitting a calibration -------------------------------------------------------------------------------


def test_too_few_labels_are_an_error(labelled_images: Path) -> None:
    source = fitting.label_source("live-itw", labelled_images, limit=20)
    with pytest.raises(InputError, match="at least 30"):
        fitting.fit_calibration(harsh_judge(), source)


def test_constant_scores_are_an_error(labelled_images: Path) -> None:
    class ConstantBackend(HarshBackend):
        def _fill(self, request: Request) -> Reply:
            request.images[:] = [Image.new("RGB", (8, 8))]
            return super()._fill(request)

    # Without measured facts in the score, every image gets the same score.
    rubric = Rubric.load("quality").model_copy(update={"score": ScoreRule()})
    judge = Judge(backend=ConstantBackend(), rubric=rubric, calibration=False)
    with pytest.raises(InputError, match="the same"):
        fitting.fit_calibration(judge, fitting.label_source("live-itw", labelled_images))


def test_the_command_writes_the_file_and_prints_measurements(
    labelled_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("judge.judge.Judge.backend", HarshBackend())
    out = tmp_path / "made" / "calibration.json"
    arguments = ["calibrate", "--suite", "live-itw", "--data", str(labelled_images)]
    result = run(*arguments, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "ece" in result.stdout and "abstains beyond distance" in result.stdout
    assert Calibration.load(out).rubric == "quality"
    assert_error(run(*arguments), "give a file")
    assert_error(run(*arguments, "--out", str(out), "--quantile", "2"), "between 0 and 1")
